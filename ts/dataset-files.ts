/** A data set as files that Python reads, for as long as a call takes. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TrainConfig } from '../protocol/index.ts'
import { isOwnDataset, type OwnDataset } from './dataset/custom.ts'
import type { Dataset } from './dataset/dataset.ts'
import { openDataset, openOwn, type BuildOptions } from './dataset/table.ts'
import { ImmiscibleError } from './errors.ts'

export interface DatasetFiles extends Pick<Dataset, 'name' | 'numImages' | 'imageShape' | 'numClasses' | 'sha256'> {
  /** Raw uint8 [N, C, H, W]. */
  readonly images: string
  /** Raw int32 [N]; empty where there are none. */
  readonly labels: string
  readonly classNames: readonly string[]
}

/** Throws a DATASET error for latents, which nobody who reads pixels can take. */
export async function withDatasetFiles<T>(
  given: TrainConfig['dataset'] | OwnDataset,
  work: (files: DatasetFiles) => Promise<T>,
  options: BuildOptions = {},
): Promise<T> {
  // One that was decoded is a file already.
  const opening = { ...options, memoryBytes: 0 }
  const opened = isOwnDataset(given) ? (await openOwn(given, opening)).dataset : await openDataset(given, opening)
  if (opened.dtype !== 'uint8') throw new ImmiscibleError('DATASET', `${opened.name}: expected pixels, got latents`)
  const { labels: _labels, stored, read: _read, ...dataset } = opened
  using files = writeDatasetFiles(opened)
  const { images, labels } = files
  return await work({ ...dataset, images, labels, classNames: stored.record.classNames })
}

/** Images and labels of an open data set; gone with it when disposed, but for a file that was there before. */
export function writeDatasetFiles({ labels: classes, stored }: Dataset): Pick<DatasetFiles, 'images' | 'labels'> & Disposable {
  const folder = mkdtempSync(join(tmpdir(), 'immiscible-dataset-'))
  const remove = (): void => rmSync(folder, { recursive: true, force: true })
  try {
    const [written, labels] = [join(folder, 'images'), join(folder, 'labels')]
    const images = stored.images instanceof Uint8Array ? written : stored.images.path
    if (stored.images instanceof Uint8Array) writeFileSync(written, stored.images)
    writeFileSync(labels, classes ?? new Int32Array(0))
    return { images, labels, [Symbol.dispose]: remove }
  } catch (error) {
    remove()
    throw error
  }
}
