/** A data set as files that Python reads, for as long as a call takes. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TrainConfig } from '../protocol/index.ts'
import type { Dataset } from './dataset/dataset.ts'
import { openDataset, type BuildOptions } from './dataset/table.ts'

export interface DatasetFiles extends Pick<Dataset, 'name' | 'numImages' | 'imageShape' | 'dtype' | 'numClasses' | 'sha256'> {
  /** Raw, as stored: uint8 [N, C, H, W] for pixels. */
  readonly images: string
  /** Raw int32 [N]; empty where there are none. */
  readonly labels: string
  readonly classNames: readonly string[]
}

export async function withDatasetFiles<T>(
  config: TrainConfig['dataset'],
  work: (files: DatasetFiles) => Promise<T>,
  options: BuildOptions = {},
): Promise<T> {
  // One that was decoded is a file already.
  const { labels: classes, stored, read: _read, ...dataset } = await openDataset(config, { ...options, memoryBytes: 0 })
  const folder = mkdtempSync(join(tmpdir(), 'immiscible-dataset-'))
  try {
    const [written, labels] = [join(folder, 'images'), join(folder, 'labels')]
    const images = stored.images instanceof Uint8Array ? written : stored.images.path
    if (stored.images instanceof Uint8Array) writeFileSync(written, stored.images)
    writeFileSync(labels, classes ?? new Int32Array(0))
    return await work({ ...dataset, images, labels, classNames: stored.record.classNames })
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}
