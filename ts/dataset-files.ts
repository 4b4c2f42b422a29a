/** A data set as files that Python reads, for as long as a call takes. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TrainConfig } from '../protocol/index.ts'
import { openDataset } from './dataset/table.ts'
import { ImmiscibleError } from './errors.ts'

export interface DatasetFiles {
  /** Raw uint8 [N, C, H, W]. */
  readonly images: string
  /** Raw int32 [N]; empty where there are none. */
  readonly labels: string
  /** C, H, W. */
  readonly imageShape: readonly number[]
  readonly numClasses: number
}

/** Throws a DATASET error for latents, which no judge of pixels can read. */
export async function withDatasetFiles<T>(config: TrainConfig['dataset'], work: (files: DatasetFiles) => Promise<T>): Promise<T> {
  // One that was decoded is a file already.
  const { name, dtype, labels: classes, imageShape, numClasses, stored } = await openDataset(config, { memoryBytes: 0 })
  if (dtype !== 'uint8') throw new ImmiscibleError('DATASET', `${name}: expected pixels to compare samples with, got latents`)
  const folder = mkdtempSync(join(tmpdir(), 'immiscible-dataset-'))
  try {
    const [written, labels] = [join(folder, 'images'), join(folder, 'labels')]
    const images = stored.images instanceof Uint8Array ? written : stored.images.path
    if (stored.images instanceof Uint8Array) writeFileSync(written, stored.images)
    writeFileSync(labels, classes ?? new Int32Array(0))
    return await work({ images, labels, imageShape, numClasses })
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}
