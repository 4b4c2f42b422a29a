/** The directions of a data set, along which drift is measured: from a fixed sample of its images, as training shows them; of latents from the means. */
import type { DatasetConfig } from '../../protocol/index.ts'
import { findDirections, type Directions } from '../assignment/directions.ts'
import { countNumbers, type Dataset } from '../dataset/dataset.ts'
import { createSimdKernel } from '../kernel/simd/simd.ts'
import { flips } from '../random/sample.ts'
import { shuffledIndex } from '../random/shuffle.ts'
import { createAugment } from './augment.ts'
import { readLatents } from './latents.ts'
import { readPixels } from './pixels.ts'

const MAX_IMAGES = 1024
const MIN_IMAGES = 64
/** Bounds memory and time for large images: 2^22 numbers are 1,024 images of 32x32 in colour and some. */
const MAX_NUMBERS = 2 ** 22
/** The sample is the data set's, the same for every run. */
const SEED = 0

/** @param config without it: the images as they are. Takes some tenths of a second: once per thread. */
export function datasetDirections(dataset: Dataset, config?: DatasetConfig): Directions {
  const dims = countNumbers(dataset)
  const rows = Math.min(dataset.numImages, MAX_IMAGES, Math.max(MIN_IMAGES, Math.floor(MAX_NUMBERS / dims)))
  const sample = Int32Array.from({ length: rows }, (_, position) => shuffledIndex(SEED, 0, dataset.numImages, position))
  const mirrored = new Uint8Array(rows)
  if (config?.horizontalFlip) flips(SEED, 0, mirrored)
  const augment = config && createAugment(config, dataset.imageShape, SEED)
  const data =
    dataset.dtype === 'float32'
      ? readLatents(dataset, sample, mirrored)
      : Float32Array.from(readPixels(dataset, sample, (image, row) => augment?.(image, row, mirrored[row] === 1)))
  const { labels, numClasses } = dataset
  const labelled = labels ? { labels: sample.map((image) => labels[image]), numClasses } : {}
  // A kernel of its own: its memory goes when it does, while a thread's only grows.
  return findDirections({ data, rows, dims, scale: 1, offset: 0 }, createSimdKernel(), labelled)
}
