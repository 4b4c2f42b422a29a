/** Pixels of some images of a data set, mirrored where they are to be. */
import type { Dataset } from '../dataset/dataset.ts'

/** uint8, an image a row, in channel, height, width order. @param flips 1 where the row is mirrored. */
export function readImages(dataset: Dataset, sampleIndices: Int32Array, flips: Uint8Array): Uint8Array<ArrayBuffer> {
  const [channels, height, width] = dataset.imageShape
  const dims = channels * height * width
  const pixels = new Uint8Array(sampleIndices.length * dims)
  sampleIndices.forEach((image, row) => {
    dataset.read(image, pixels, row * dims)
    if (!flips[row]) return
    for (let line = row * dims; line < (row + 1) * dims; line += width) pixels.subarray(line, line + width).reverse()
  })
  return pixels
}
