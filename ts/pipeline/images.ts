/** Bytes of some images of a data set, changed as training shows them. */
import type { Dataset } from '../dataset/dataset.ts'

/** An image a row, in channel, height, width order. @param change called with the bytes of each row, to change them in place; default: as they are. */
export function readImages(
  dataset: Dataset,
  sampleIndices: Int32Array,
  change?: (image: Uint8Array, row: number) => void,
): Uint8Array<ArrayBuffer> {
  const [channels, height, width] = dataset.imageShape
  const dims = channels * height * width
  const pixels = new Uint8Array(sampleIndices.length * dims)
  sampleIndices.forEach((image, row) => {
    dataset.read(image, pixels, row * dims)
    change?.(pixels.subarray(row * dims, (row + 1) * dims), row)
  })
  return pixels
}
