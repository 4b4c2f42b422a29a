/** The weights of Pillow's filters along one axis, in its fixed point. */
import type { WeightedSums } from '../../kernel/kernel.ts'
import { WEIGHT_BITS } from '../../kernel/resize.ts'

export type ResizeFilter = 'box' | 'bilinear' | 'bicubic' | 'lanczos'

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

/** What each result along one axis is the weighted sum of: `starts` count from `first`, and nothing from `first + length` on has weight. */
export interface Axis extends WeightedSums {
  readonly first: number
  readonly length: number
}

export type PrepareAxis = (size: number, from: number, to: number, results: number, first: number, count: number) => Axis

/** precompute_coeffs and normalize_coeffs_8bpc of Pillow's Resample.c, for `count` results from `first` on; the last answer is kept. */
export function createAxis(filter: ResizeFilter): PrepareAxis {
  const { support, weigh } = KERNELS[filter]
  let [starts, counts, weights] = [new Int32Array(0), new Int32Array(0), new Int32Array(0)]
  let exact = new Float64Array(0)
  let axis: Axis = { starts, counts, weights, stride: 0, first: 0, length: 0 }
  let key = [0, 0, 0, 0, 0, 0]

  return (size, from, to, results, first, count) => {
    if (key[0] === size && key[1] === from && key[2] === to && key[3] === results && key[4] === first && key[5] === count) return axis
    key = [size, from, to, results, first, count]
    // Pillow has the box in float32.
    const origin = Math.fround(from)
    const scale = Math.fround(Math.fround(to) - origin) / results
    const filterScale = Math.max(1, scale)
    const reach = support * filterScale
    // The sums take four at a time.
    const stride = Math.ceil((Math.ceil(reach) * 2 + 1) / 4) * 4
    if (starts.length !== count) [starts, counts] = [new Int32Array(count), new Int32Array(count)]
    if (weights.length < count * stride) weights = new Int32Array(count * stride)
    if (exact.length < stride) exact = new Float64Array(stride)
    let begin = 0
    let end = 0
    for (let at = 0; at < count; at++) {
      const center = origin + (first + at + 0.5) * scale
      const start = Math.max(0, Math.trunc(center - reach + 0.5))
      end = Math.min(size, Math.trunc(center + reach + 0.5))
      const length = end - start
      let sum = 0
      for (let tap = 0; tap < length; tap++) {
        exact[tap] = weigh((tap + start - center + 0.5) * (1 / filterScale))
        sum += exact[tap]
      }
      const row = at * stride
      for (let tap = 0; tap < length; tap++) {
        const weight = (sum === 0 ? exact[tap] : exact[tap] / sum) * (1 << WEIGHT_BITS)
        weights[row + tap] = Math.trunc(weight < 0 ? weight - 0.5 : weight + 0.5)
      }
      // For so few, `fill` is slower.
      for (let tap = length; tap < stride; tap++) weights[row + tap] = 0
      if (at === 0) begin = start
      starts[at] = start - begin
      counts[at] = length
    }
    axis = { starts, counts, weights: weights.subarray(0, count * stride), stride, first: begin, length: end - begin }
    return axis
  }
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
