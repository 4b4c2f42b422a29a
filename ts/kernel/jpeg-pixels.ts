/** Samples of a JPEG to pixels: chroma enlarged by libjpeg's "fancy" triangle filter, YCbCr to RGB by its fixed-point formula. */
import type { JpegPlane } from './kernel.ts'

/** JFIF's factors (ITU-R BT.601), with 16 bits behind the point. */
const RED_OF_CR = 91_881
const GREEN_OF_CB = -22_554
const GREEN_OF_CR = -46_802
const BLUE_OF_CB = 116_130
const HALF = 1 << 15

/** See `Kernel.jpegPixels`. */
export function jpegPixels(planes: readonly JpegPlane[], isYcc: boolean, width: number, height: number, out: Uint8Array): void {
  let to = 0
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const levels = planes.map((plane) => levelAt(plane, x, y))
      for (const level of isYcc ? toRgb(levels) : levels) out[to++] = level
    }
  }
}

/** 3/4 of the nearer and 1/4 of the farther sample in each direction where there are half as many; those at the edge are nearest to all beyond. */
function levelAt({ samples, stride, width, height, across, down }: JpegPlane, x: number, y: number): number {
  const [column, row] = [Math.floor(x / across), Math.floor(y / down)]
  // As libjpeg has it: nothing to interpolate in so few.
  if (across === 2 && width <= 2) return samples[row * stride + column]
  const [isRight, isLower] = [x % across === 1, y % down === 1]
  const otherColumn = clamp(column + (isRight ? 1 : -1), width)
  const otherRow = clamp(row + (isLower ? 1 : -1), height)
  const inColumn = (at: number): number =>
    down === 1 ? samples[row * stride + at] : samples[row * stride + at] * 3 + samples[otherRow * stride + at]
  if (across === 1) return down === 1 ? inColumn(column) : (inColumn(column) + (isLower ? 2 : 1)) >> 2
  const sum = inColumn(column) * 3 + inColumn(otherColumn)
  // Rounded up here and down there, so that there is no bias.
  return down === 1 ? (sum + (isRight ? 2 : 1)) >> 2 : (sum + (isRight ? 7 : 8)) >> 4
}

function toRgb([luma, cb, cr]: readonly number[]): number[] {
  const [blueness, redness] = [cb - 128, cr - 128]
  return [
    luma + ((RED_OF_CR * redness + HALF) >> 16),
    luma + ((GREEN_OF_CB * blueness + GREEN_OF_CR * redness + HALF) >> 16),
    luma + ((BLUE_OF_CB * blueness + HALF) >> 16),
  ].map((level) => clamp(level, 256))
}

function clamp(value: number, end: number): number {
  return Math.min(Math.max(value, 0), end - 1)
}
