/** Pixels: uint8 on the wire, augmented in training; int8 for a strategy. */
import type { TrainConfig } from '../../protocol/index.ts'
import type { Matrix } from '../assignment/assignment.ts'
import { countNumbers, type Dataset } from '../dataset/dataset.ts'
import type { Arena, Kernel } from '../kernel/kernel.ts'
import { createAugment } from './augment.ts'
import type { PoolImages } from './images.ts'

export function openPixels(config: TrainConfig, dataset: Dataset, kernel: Kernel): PoolImages {
  const augment = createAugment(config.dataset, dataset.imageShape, config.seed)
  const dims = countNumbers(dataset)
  return {
    draw: ({ sampleIndices, firstSample, flips }) =>
      readPixels(dataset, sampleIndices, (image, row) => augment(image, firstSample + row, flips[row] === 1)),
    stored: ({ sampleIndices }) => readPixels(dataset, sampleIndices),
    toMatrix: (pixels, arena) => toPixelMatrix(pixels, dims, config.dataset.imageScale, kernel, arena),
  }
}

/** An image a row, in channel, height, width order. @param change called with the bytes of each row, to change them in place; default: as they are. */
export function readPixels(
  dataset: Dataset,
  sampleIndices: Int32Array,
  change?: (image: Uint8Array, row: number) => void,
): Uint8Array<ArrayBuffer> {
  const dims = countNumbers(dataset)
  const pixels = new Uint8Array(sampleIndices.length * dims)
  sampleIndices.forEach((image, row) => {
    dataset.read(image, pixels, row * dims)
    change?.(pixels.subarray(row * dims, (row + 1) * dims), row)
  })
  return pixels
}

/** Pixels 0 .. 255 as numbers from -imageScale to imageScale. */
export function toPixelMatrix(pixels: Uint8Array, dims: number, imageScale: number, kernel: Kernel, arena: Arena): Matrix {
  const data = arena.array(Int8Array, pixels.length)
  kernel.packPixels(pixels, data)
  return { data, rows: pixels.length / dims, dims, scale: imageScale / 127.5, offset: (0.5 * imageScale) / 127.5 }
}
