/** Decoded images and what is done to their pixels before they are resized: alpha, colours, orientation. All in integers, as Pillow does it. */
import type { Rectangle } from './resize.ts'

/** uint8, channels last. 1: gray, 2: gray and alpha, 3: RGB, 4: RGB and alpha. */
export interface Raster {
  readonly pixels: Uint8Array
  readonly width: number
  readonly height: number
  readonly channels: number
}

/** The same image where nothing shines through, else a new one: each level is (level x alpha + 255 x (255 - alpha)) / 255, rounded to nearest. */
export function withoutAlpha(raster: Raster): { readonly raster: Raster; readonly isBlended: boolean } {
  const { pixels, width, height, channels } = raster
  if (channels % 2 === 1) return { raster, isBlended: false }
  const colors = channels - 1
  const out = new Uint8Array(width * height * colors)
  let isBlended = false
  for (let at = 0, to = 0; at < pixels.length; at += channels) {
    const alpha = pixels[at + colors]
    if (alpha !== 255) isBlended = true
    for (let channel = 0; channel < colors; channel++) out[to++] = divide255(pixels[at + channel] * alpha + 255 * (255 - alpha))
  }
  return { raster: { pixels: out, width, height, channels: colors }, isBlended }
}

/** Pillow's L, by ITU-R 601-2: (19595 R + 38470 G + 7471 B + 32768) >> 16. @param raster RGB. */
export function toGray({ pixels, width, height }: Raster): Raster {
  const out = new Uint8Array(width * height)
  for (let at = 0; at < out.length; at++) {
    out[at] = (pixels[at * 3] * 19595 + pixels[at * 3 + 1] * 38470 + pixels[at * 3 + 2] * 7471 + 0x8000) >> 16
  }
  return { pixels: out, width, height, channels: 1 }
}

/** Pillow's conversion, without profiles: R = (255 - K) - C (255 - K) / 255. @param raster C, M, Y, K, where 0 is no ink. */
export function cmykToRgb({ pixels, width, height }: Raster): Raster {
  const out = new Uint8Array(width * height * 3)
  for (let at = 0, to = 0; at < pixels.length; at += 4) {
    const white = 255 - pixels[at + 3]
    for (let ink = 0; ink < 3; ink++) out[to++] = white - divide255(pixels[at + ink] * white)
  }
  return { pixels: out, width, height, channels: 3 }
}

/** Upright. @param orientation of EXIF: 1 to 8. */
export function turn(raster: Raster, orientation: number): Raster {
  if (orientation === 1) return raster
  const { pixels, width, height, channels } = raster
  const isSwapped = orientation >= 5
  const stepX = ([2, 3, 7, 8].includes(orientation) ? -1 : 1) * channels
  const stepY = ([3, 4, 6, 7].includes(orientation) ? -1 : 1) * channels * width
  const start = (stepX < 0 ? width - 1 : 0) * channels + (stepY < 0 ? height - 1 : 0) * channels * width
  const [outWidth, outHeight] = isSwapped ? [height, width] : [width, height]
  const [across, down] = isSwapped ? [stepY, stepX] : [stepX, stepY]
  const out = new Uint8Array(pixels.length)
  let to = 0
  for (let y = 0; y < outHeight; y++) {
    for (let x = 0; x < outWidth; x++) {
      const at = start + y * down + x * across
      for (let channel = 0; channel < channels; channel++) out[to++] = pixels[at + channel]
    }
  }
  return { pixels: out, width: outWidth, height: outHeight, channels }
}

/** A part of it, in channel, height, width order. */
export function cutPlanes({ pixels, width, channels }: Raster, { left, top, width: columns, height: rows }: Rectangle): Uint8Array {
  const out = new Uint8Array(channels * rows * columns)
  let to = 0
  for (let channel = 0; channel < channels; channel++) {
    for (let y = 0; y < rows; y++) {
      let at = ((top + y) * width + left) * channels + channel
      for (let x = 0; x < columns; x++, at += channels) out[to++] = pixels[at]
    }
  }
  return out
}

/** Rounded to nearest, for 0 to 65025. */
function divide255(value: number): number {
  const shifted = value + 128
  return ((shifted >> 8) + shifted) >> 8
}
