/** Pillow's resize of 8-bit images, bit for bit: the same weights, in the same fixed point, in the same two passes. */
import { ImmiscibleError } from '../../errors.ts'
import { createAxis, WEIGHT_BITS, type Axis, type ResizeFilter } from './resize-weights.ts'

export type { ResizeFilter } from './resize-weights.ts'

/** Top left corner and size, in whole pixels. */
export interface Rectangle {
  readonly left: number
  readonly top: number
  readonly height: number
  readonly width: number
}

export interface ResizeFrom {
  readonly channels: number
  readonly height: number
  readonly width: number
  /** Channels last, as decoders give them. Default: channel, height, width. */
  readonly isInterleaved?: boolean
  /** Is cut out first: nothing outside of it has weight. Default: all of it. */
  readonly crop?: Rectangle
}

export interface ResizeTo {
  readonly height: number
  readonly width: number
  /** Of the result, only that is computed. Default: all of it. */
  readonly crop?: Rectangle
}

/** Left, top, right, bottom of the source rectangle, in pixels with fractions; pixels beside it have weight where the filter reaches them. */
export type Box = readonly [left: number, top: number, right: number, bottom: number]

/**
 * Resizes one image. uint8 in; uint8 out, in channel, height, width order.
 * @param box in `from.crop`. Default: all of it.
 * @param out where the result is written; must not share memory with `pixels`. Default: a new array.
 */
export type Resize = (pixels: Uint8Array, from: ResizeFrom, to: ResizeTo, box?: Box, out?: Uint8Array) => Uint8Array

/** What rounds to nearest. */
const HALF = 1 << (WEIGHT_BITS - 1)

/**
 * A resize with a filter, that keeps its weights for the next image of the same sizes, and its memory for all.
 *
 * Equal to `PIL.Image.resize(size, resample, box)` of Pillow 13 for modes L and RGB: antialiased (the filter widens where the image shrinks),
 * in two passes, each rounded to 8 bits; the horizontal one is first unless the height loses more than twice as many pixels as the width
 * (Pillow before 13: always). Not as Pillow does: an alpha channel is one channel more (Pillow multiplies by it first), and there is no
 * `reducing_gap` and no `draft`. Other libraries' filters of the same names differ: OpenCV and `torch.nn.functional.interpolate` do not
 * antialias by default, and their bicubic is another one; libvips rounds otherwise.
 */
export function createResize(filter: ResizeFilter): Resize {
  const horizontal = createAxis(filter)
  const vertical = createAxis(filter)
  let between = new Uint8Array(0)

  return (pixels, from, to, box, out) => {
    const { channels, crop = whole(from) } = from
    const window = to.crop ?? whole(to)
    const [left, top, right, bottom] = box ?? [0, 0, crop.width, crop.height]
    if (pixels.length !== channels * from.height * from.width || !isInside(crop, from) || !isInside(window, to)) {
      throw new ImmiscibleError('DATASET', `resize: expected ${channels}x${from.height}x${from.width} pixels, got ${pixels.length}`)
    }
    if (!(left >= 0 && top >= 0 && right > left && bottom > top && right <= crop.width && bottom <= crop.height)) {
      throw new ImmiscibleError(
        'DATASET',
        `resize: expected a box in ${crop.width}x${crop.height}, got ${[left, top, right, bottom].join(', ')}`,
      )
    }
    const { width, height } = window
    const across = horizontal(crop.width, left, right, to.width, window.left, width)
    const down = vertical(crop.height, top, bottom, to.height, window.top, height)
    const lost = crop.height - to.height
    const isVerticalFirst = lost > 0 && lost > 2 * (crop.width - to.width)
    // What no result needs is left out of the first pass.
    const [firstColumn, numColumns] = isVerticalFirst ? reachOf(across, width) : [0, width]
    const [firstRow, numRows] = isVerticalFirst ? [0, height] : reachOf(down, height)
    const betweenSize = numRows * numColumns
    if (between.length < channels * betweenSize) between = new Uint8Array(channels * betweenSize)
    const result = out ?? new Uint8Array(channels * height * width)
    const step = from.isInterleaved ? channels : 1
    const rowStep = from.width * step
    // The common case, twice as fast: each weight is read once for the three channels.
    const isPixelwise = from.isInterleaved === true && channels === 3 && !isVerticalFirst
    if (isPixelwise) resizePixels(pixels, (crop.top + firstRow) * rowStep + crop.left * 3, rowStep, between, numRows, width, across)
    for (let channel = 0; channel < channels; channel++) {
      const start = (from.isInterleaved ? channel : channel * from.height * from.width) + crop.top * rowStep + crop.left * step
      const middle = channel * betweenSize
      const end = channel * height * width
      if (isVerticalFirst) {
        resizeColumns(pixels, start + firstColumn * step, rowStep, step, between, middle, height, numColumns, down)
        resizeRows(between, middle - firstColumn, numColumns, 1, result, end, height, width, across)
      } else {
        if (!isPixelwise) resizeRows(pixels, start + firstRow * rowStep, rowStep, step, between, middle, numRows, width, across)
        resizeColumns(between, middle - firstRow * width, width, 1, result, end, height, width, down)
      }
    }
    return result
  }
}

const shared = new Map<ResizeFilter, Resize>()

/** As `createResize`, whose memory is this thread's. */
export function resize(pixels: Uint8Array, from: ResizeFrom, to: ResizeTo, filter: ResizeFilter, box?: Box, out?: Uint8Array): Uint8Array {
  const known = shared.get(filter) ?? createResize(filter)
  shared.set(filter, known)
  return known(pixels, from, to, box, out)
}

/** The first pixel that one of `count` results needs, and how many from there. */
function reachOf({ starts, counts }: Axis, count: number): [first: number, length: number] {
  return [starts[0], starts[count - 1] + counts[count - 1] - starts[0]]
}

/** As `resizeRows` for three channels beside each other, into three planes. */
function resizePixels(
  pixels: Uint8Array,
  start: number,
  rowStep: number,
  out: Uint8Array,
  height: number,
  width: number,
  { starts, counts, weights, stride }: Axis,
): void {
  const plane = height * width
  let outAt = 0
  for (let y = 0; y < height; y++) {
    const row = start + y * rowStep
    for (let x = 0; x < width; x++) {
      let at = row + starts[x] * 3
      let first = HALF
      let second = HALF
      let third = HALF
      const begin = x * stride
      const end = begin + counts[x]
      for (let tap = begin; tap < end; tap++) {
        const weight = weights[tap]
        first = (first + Math.imul(pixels[at], weight)) | 0
        second = (second + Math.imul(pixels[at + 1], weight)) | 0
        third = (third + Math.imul(pixels[at + 2], weight)) | 0
        at += 3
      }
      out[outAt] = clip(first >> WEIGHT_BITS)
      out[outAt + plane] = clip(second >> WEIGHT_BITS)
      out[outAt + 2 * plane] = clip(third >> WEIGHT_BITS)
      outAt++
    }
  }
}

function resizeRows(
  pixels: Uint8Array,
  start: number,
  rowStep: number,
  step: number,
  out: Uint8Array,
  outStart: number,
  height: number,
  width: number,
  { starts, counts, weights, stride }: Axis,
): void {
  let outAt = outStart
  for (let y = 0; y < height; y++) {
    const row = start + y * rowStep
    for (let x = 0; x < width; x++) {
      let at = row + starts[x] * step
      let sum = HALF
      const begin = x * stride
      const end = begin + counts[x]
      for (let tap = begin; tap < end; tap++) {
        sum = (sum + Math.imul(pixels[at], weights[tap])) | 0
        at += step
      }
      out[outAt++] = clip(sum >> WEIGHT_BITS)
    }
  }
}

function resizeColumns(
  pixels: Uint8Array,
  start: number,
  rowStep: number,
  step: number,
  out: Uint8Array,
  outStart: number,
  height: number,
  width: number,
  { starts, counts, weights, stride }: Axis,
): void {
  let outAt = outStart
  for (let y = 0; y < height; y++) {
    const row = start + starts[y] * rowStep
    const begin = y * stride
    const end = begin + counts[y]
    for (let x = 0; x < width; x++) {
      let at = row + x * step
      let sum = HALF
      for (let tap = begin; tap < end; tap++) {
        sum = (sum + Math.imul(pixels[at], weights[tap])) | 0
        at += rowStep
      }
      out[outAt++] = clip(sum >> WEIGHT_BITS)
    }
  }
}

function clip(level: number): number {
  return level < 0 ? 0 : level > 255 ? 255 : level
}

function whole({ height, width }: { readonly height: number; readonly width: number }): Rectangle {
  return { left: 0, top: 0, height, width }
}

function isInside({ left, top, height, width }: Rectangle, outer: { readonly height: number; readonly width: number }): boolean {
  return left >= 0 && top >= 0 && height > 0 && width > 0 && left + width <= outer.width && top + height <= outer.height
}
