/** Pillow's resize of 8-bit images, bit for bit: the same weights, in the same fixed point, in the same two passes. */
import { ImmiscibleError } from '../../errors.ts'

export type ResizeFilter = 'box' | 'bilinear' | 'bicubic' | 'lanczos'

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

interface Kernel {
  /** Half its width at scale 1. */
  readonly support: number
  weigh(x: number): number
}

/** Pillow's a = -1/2 (Keys); OpenCV and PyTorch take -3/4. */
const CUBIC_A = -0.5

const KERNELS: Readonly<Record<ResizeFilter, Kernel>> = {
  box: { support: 0.5, weigh: (x) => (x > -0.5 && x <= 0.5 ? 1 : 0) },
  bilinear: { support: 1, weigh: (x) => Math.max(0, 1 - Math.abs(x)) },
  bicubic: { support: 2, weigh: weighCubic },
  lanczos: { support: 3, weigh: (x) => (x >= -3 && x < 3 ? sinc(x) * sinc(x / 3) : 0) },
}

/** 8 bits of result and 2 of room for the filters that overshoot: PRECISION_BITS of Pillow's Resample.c. */
const WEIGHT_BITS = 32 - 8 - 2
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
  const horizontal = createAxis(KERNELS[filter])
  const vertical = createAxis(KERNELS[filter])
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
    for (let channel = 0; channel < channels; channel++) {
      const start = (from.isInterleaved ? channel : channel * from.height * from.width) + crop.top * rowStep + crop.left * step
      const middle = channel * betweenSize
      const end = channel * height * width
      if (isVerticalFirst) {
        resizeColumns(pixels, start + firstColumn * step, rowStep, step, between, middle, height, numColumns, down)
        resizeRows(between, middle - firstColumn, numColumns, 1, result, end, height, width, across)
      } else {
        resizeRows(pixels, start + firstRow * rowStep, rowStep, step, between, middle, numRows, width, across)
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

/** What each result along one axis is the weighted sum of. */
interface Axis {
  starts: Int32Array
  counts: Int32Array
  /** `stride` for each result, in fixed point. */
  weights: Int32Array
  stride: number
}

type PrepareAxis = (size: number, from: number, to: number, results: number, first: number, count: number) => Axis

/** precompute_coeffs and normalize_coeffs_8bpc of Pillow's Resample.c, for `count` results from `first` on; the last answer is kept. */
function createAxis({ support, weigh }: Kernel): PrepareAxis {
  const axis: Axis = { starts: new Int32Array(0), counts: new Int32Array(0), weights: new Int32Array(0), stride: 0 }
  let exact = new Float64Array(0)
  let key = [0, 0, 0, 0, 0, 0]

  return (size, from, to, results, first, count) => {
    if (key[0] === size && key[1] === from && key[2] === to && key[3] === results && key[4] === first && key[5] === count) return axis
    key = [size, from, to, results, first, count]
    // Pillow has the box in float32.
    const origin = Math.fround(from)
    const scale = Math.fround(Math.fround(to) - origin) / results
    const filterScale = Math.max(1, scale)
    const reach = support * filterScale
    const stride = Math.ceil(reach) * 2 + 1
    if (axis.starts.length < count) {
      axis.starts = new Int32Array(count)
      axis.counts = new Int32Array(count)
    }
    if (axis.weights.length < count * stride) axis.weights = new Int32Array(count * stride)
    if (exact.length < stride) exact = new Float64Array(stride)
    axis.stride = stride
    const { starts, counts, weights } = axis
    for (let at = 0; at < count; at++) {
      const center = origin + (first + at + 0.5) * scale
      const start = Math.max(0, Math.trunc(center - reach + 0.5))
      const length = Math.min(size, Math.trunc(center + reach + 0.5)) - start
      let sum = 0
      for (let tap = 0; tap < length; tap++) {
        exact[tap] = weigh((tap + start - center + 0.5) * (1 / filterScale))
        sum += exact[tap]
      }
      for (let tap = 0; tap < length; tap++) {
        const weight = (sum === 0 ? exact[tap] : exact[tap] / sum) * (1 << WEIGHT_BITS)
        weights[at * stride + tap] = Math.trunc(weight < 0 ? weight - 0.5 : weight + 0.5)
      }
      starts[at] = start
      counts[at] = length
    }
    return axis
  }
}

/** The first pixel that one of `count` results needs, and how many from there. */
function reachOf({ starts, counts }: Axis, count: number): [first: number, length: number] {
  return [starts[0], starts[count - 1] + counts[count - 1] - starts[0]]
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

function weighCubic(x: number): number {
  const t = Math.abs(x)
  if (t < 1) return ((CUBIC_A + 2) * t - (CUBIC_A + 3)) * t * t + 1
  return t < 2 ? (((t - 5) * t + 8) * t - 4) * CUBIC_A : 0
}

function sinc(x: number): number {
  if (x === 0) return 1
  const angle = x * Math.PI
  return Math.sin(angle) / angle
}

function whole({ height, width }: { readonly height: number; readonly width: number }): Rectangle {
  return { left: 0, top: 0, height, width }
}

function isInside({ left, top, height, width }: Rectangle, outer: { readonly height: number; readonly width: number }): boolean {
  return left >= 0 && top >= 0 && height > 0 && width > 0 && left + width <= outer.width && top + height <= outer.height
}
