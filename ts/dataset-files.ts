/** A data set as files that Python reads, for as long as a call takes. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TrainConfig } from '../protocol/index.ts'
import { loadDataset } from './dataset/table.ts'

export interface DatasetFiles {
  /** Raw uint8 [N, C, H, W]. */
  readonly images: string
  /** Raw int32 [N]; empty where there are none. */
  readonly labels: string
  /** C, H, W. */
  readonly imageShape: readonly number[]
  readonly numClasses: number
}

export async function withDatasetFiles<T>(config: TrainConfig['dataset'], work: (files: DatasetFiles) => Promise<T>): Promise<T> {
  const dataset = loadDataset(config)
  const dims = dataset.imageShape.reduce((product, size) => product * size, 1)
  const pixels = new Uint8Array(dataset.numImages * dims)
  for (let index = 0; index < dataset.numImages; index++) dataset.read(index, pixels, index * dims)
  const folder = mkdtempSync(join(tmpdir(), 'immiscible-dataset-'))
  try {
    const [images, labels] = [join(folder, 'images'), join(folder, 'labels')]
    writeFileSync(images, pixels)
    writeFileSync(labels, dataset.labels ?? new Int32Array(0))
    const { imageShape, numClasses } = dataset
    return await work({ images, labels, imageShape, numClasses })
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}
