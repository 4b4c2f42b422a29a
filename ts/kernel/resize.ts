/** The two passes of a resize of 8-bit images, as Pillow has them: weighted sums in fixed point, rounded and clipped to 8 bits after each. */
import type { WeightedSums } from './kernel.ts'

/** Of a weight, behind the point: 8 bits of result and 2 of room for the filters that overshoot; PRECISION_BITS of Pillow's Resample.c. */
export const WEIGHT_BITS = 32 - 8 - 2
/** What rounds to nearest. */
const HALF = 1 << (WEIGHT_BITS - 1)

/** See `Kernel.resizeRows`. */
export function resizeRows(
  pixels: Uint8Array,
  rowStep: number,
  numRows: number,
  channels: number,
  sums: WeightedSums,
  out: Uint8Array,
): void {
  const { starts } = sums
  let to = 0
  for (let channel = 0; channel < channels; channel++) {
    for (let y = 0; y < numRows; y++) {
      const row = y * rowStep + channel
      for (let x = 0; x < starts.length; x++) out[to++] = level(pixels, row + starts[x] * channels, channels, sums, x)
    }
  }
}

/** See `Kernel.resizeColumns`. */
export function resizeColumns(pixels: Uint8Array, rowStep: number, width: number, sums: WeightedSums, out: Uint8Array): void {
  const { starts } = sums
  let to = 0
  for (let y = 0; y < starts.length; y++) {
    for (let x = 0; x < width; x++) out[to++] = level(pixels, starts[y] * rowStep + x, rowStep, sums, y)
  }
}

/** One of the sums, of the pixels at `start`, `start + step` and so on. */
function level(pixels: Uint8Array, start: number, step: number, { counts, weights, stride }: WeightedSums, result: number): number {
  let sum = HALF
  for (let tap = 0; tap < counts[result]; tap++) sum = (sum + Math.imul(pixels[start + tap * step], weights[result * stride + tap])) | 0
  return Math.min(Math.max(sum >> WEIGHT_BITS, 0), 255)
}
