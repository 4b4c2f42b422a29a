/** Against the papers' own formulas in torch, and against their figures. */
import { beforeAll, describe, expect, test } from 'vitest'
import { assign } from '../../../ts/assignment/assign.ts'
import { linear, writeDistances, type LinearOptions } from '../../../ts/assignment/linear.ts'
import { roundToFloat16 } from '../../../ts/assignment/matrix.ts'
import { nearest } from '../../../ts/assignment/nearest.ts'
import { loadEmoji } from '../../../ts/dataset/emoji.ts'
import { toFloat16 } from '../../../ts/kernel/half.ts'
import { threadKernel } from '../../../ts/kernel/simd/simd.ts'
import { shuffledIndex } from '../../../ts/random/shuffle.ts'
import { consecutiveKeys } from '../../../ts/random/sample.ts'
import { gaussian } from '../../fixture/numbers.ts'
import { runPython } from '../../fixture/python.ts'

const DIMS = 3072
const kernel = threadKernel()
const emoji = loadEmoji(32)

/** Emoji as the model sees them, which are no multiples of anything in float16. */
function emojiFloats(seed: number, n: number): Float32Array<ArrayBuffer> {
  const pixels = new Uint8Array(n * DIMS)
  for (let row = 0; row < n; row++) emoji.read(shuffledIndex(seed, 0, emoji.numImages, row), pixels, row * DIMS)
  return Float32Array.from(pixels, (pixel) => pixel / 127.5 - 1)
}

function distances(images: Float32Array, noise: Float32Array, options: Required<LinearOptions>): Float32Array {
  const n = images.length / DIMS
  const out = new Float32Array(n * n)
  const matrix = (data: Float32Array) => ({ data, rows: n, dims: DIMS, scale: 1, offset: 0 })
  kernel.scope((arena) => writeDistances(matrix(images), matrix(noise), options, kernel, arena, out))
  return out
}

/** float16 as numbers that are one apart where the floats are neighbours (all here are positive). */
function ordinals(values: Float32Array): Uint16Array {
  const bits = new Uint16Array(values.length)
  toFloat16(values, bits)
  return bits
}

/** The official code's formulas, in torch: distances of all pairs and the gain of their assignment; the nearest of each image's own candidates. */
interface Official {
  readonly linear: readonly { readonly norms: number[]; readonly gain: number }[]
  readonly nearest: number[]
}

const [N, K] = [64, 8]
const pairNoise = gaussian(8, N, DIMS)
const imageKinds = [
  { name: 'emoji', images: emojiFloats(1, N) },
  { name: 'Gaussian images', images: gaussian(7, N, DIMS) },
] as const
const freshNoise = gaussian(11, N * K, DIMS)
let official: Official

beforeAll(async () => {
  official = await runPython(
    `
import torch
from scipy.optimize import linear_sum_assignment
n, k = args
noise, candidates, *kinds = (torch.from_numpy(a) for a in arrays)
noise = noise.reshape(n, -1)

def linear(x):
    cost = torch.linalg.vector_norm(0.10 * x.half().unsqueeze(1) - 0.10 * noise.half().unsqueeze(0), dim=2)
    assert cost.dtype == torch.float16
    _, index = linear_sum_assignment(cost.numpy())
    gain = (x * noise[index]).sum(1) / x.norm(dim=1)
    return {"norms": cost.float().flatten().tolist(), "gain": float(gain.mean())}

difference = kinds[0].reshape(n, 1, -1).half() - candidates.reshape(n, k, -1).half()
answer = {
    "linear": [linear(x.reshape(n, -1)) for x in kinds],
    "nearest": torch.linalg.vector_norm(difference, dim=2).min(dim=1).indices.tolist(),
}
`,
    [N, K],
    [pairNoise, freshNoise, ...imageKinds.map(({ images }) => images)],
  )
})

test('floats are rounded to float16 as NumPy rounds them', async () => {
  const values = Float32Array.from([
    ...gaussian(3, 1, 1000),
    ...gaussian(4, 1, 1000).map((value) => value * 1e-7),
    65519,
    65520,
    -1e9,
    0,
    -0,
  ])
  const rounded = new Float32Array(values.length)
  roundToFloat16(values, rounded, kernel)
  const bits = (array: Float32Array): number[] => [...new Uint32Array(array.buffer)]
  const expected = await runPython<number[]>(
    'answer = arrays[0].astype(np.float16).astype(np.float32).view(np.uint32).tolist()',
    [],
    [values],
  )
  expect(bits(rounded)).toEqual(expected)
})

describe("linear in L2 and float16 is the paper's", () => {
  const paper = { metric: 'l2', precision: 'float16' } as const

  test.each(imageKinds.map(({ name, images }, at) => ({ name, images, at })))(
    'by its formula in torch, entry by entry and in the gain, on $name',
    ({ images, at }) => {
      const { norms, gain } = official.linear[at]
      const [ours, theirs] = [distances(images, pairNoise, paper), Float32Array.from(norms)].map(ordinals)
      const steps = ours.map((bits, entry) => Math.abs(bits - theirs[entry]))
      expect(Math.max(...steps)).toBeLessThanOrEqual(1)
      expect(steps.filter((step) => step === 0).length / steps.length).toBeGreaterThan(0.97)
      const { metrics } = assign(linear(paper), { images, noise: pairNoise, dims: DIMS })
      expect(Math.abs(metrics.gain - gain)).toBeLessThan(0.005 * gain)
    },
  )

  test('its rounding is there: few distances are left, and the exact gain is nearly kept', () => {
    const [images, fresh] = [emojiFloats(2, 128), gaussian(9, 128, DIMS)]
    expect(new Set(distances(images, fresh, paper)).size).toBeLessThan(1000)
    expect(new Set(distances(images, fresh, { metric: 'l2', precision: 'float32' })).size).toBeGreaterThan(10_000)
    const gainOf = (options: LinearOptions): number => assign(linear(options), { images, noise: fresh, dims: DIMS }).metrics.gain
    const exact = gainOf({})
    for (const metric of ['l2', 'squaredL2'] as const) {
      for (const precision of ['float32', 'float16'] as const) {
        expect(Math.abs(gainOf({ metric, precision }) / exact - 1)).toBeLessThan(0.015)
      }
    }
    // L1 asks for other pairs, which cost it an eighth of the gain here; rounding costs it no more than L2.
    const [whole, half] = (['float32', 'float16'] as const).map((precision) => gainOf({ metric: 'l1', precision }))
    expect(whole / exact).toBeLessThan(0.95)
    expect(Math.abs(half / whole - 1)).toBeLessThan(0.015)
  })

  test('L2 weighs pairs otherwise than its square: each is the least in its own measure', () => {
    // One image near to nothing, one far from all: the pairs whose sum of norms is least have not the least sum of squares.
    const images = Float32Array.of(0, 0, 10, 0)
    const noise = Float32Array.of(-1, 0, -3, 1.5)
    expect([...assign(linear({ metric: 'l2' }), { images, noise, dims: 2 }).noiseIndex]).toEqual([0, 1])
    expect([...assign(linear({ metric: 'squaredL2' }), { images, noise, dims: 2 }).noiseIndex]).toEqual([1, 0])
  })
})

describe('nearest', () => {
  test('is the nearest of its own candidates, offset and scale included; ties go to the first', () => {
    const [n, dims, k] = [40, 6, 5]
    const images = Uint8Array.from(gaussian(1, n, dims), (value) => Math.max(0, Math.min(255, 128 + 60 * value)))
    const noise = gaussian(2, n * k, dims)
    noise.copyWithin(0, dims, 2 * dims)
    const { noiseIndex } = assign(nearest({ candidates: k }), { images, noise, dims })
    for (let image = 0; image < n; image++) {
      const squared = Array.from({ length: k }, (_, candidate) => {
        let sum = 0
        for (let d = 0; d < dims; d++) sum += (images[image * dims + d] / 127.5 - 1 - noise[(image * k + candidate) * dims + d]) ** 2
        return sum
      })
      expect(noiseIndex[image]).toBe(image * k + squared.indexOf(Math.min(...squared)))
    }
    const inUnits = Float32Array.from(images, (pixel) => pixel / 127.5 - 1)
    expect(assign(nearest({ candidates: k }), { images: inUnits, noise, dims }).noiseIndex).toEqual(noiseIndex)
    // Where the units are lost the answer is another: the length of the noise has its weight only in them.
    const inLevels = Float32Array.from(images)
    expect(assign(nearest({ candidates: k }), { images: inLevels, noise, dims }).noiseIndex).not.toEqual(noiseIndex)
  })

  test('in float16 chooses what the official code chooses', () => {
    const { images } = imageKinds[0]
    const ours = assign(nearest({ candidates: K, precision: 'float16' }), { images, noise: freshNoise, dims: DIMS })
    const same = official.nearest.filter((candidate, image) => ours.noiseIndex[image] === image * K + candidate).length
    expect(same / N).toBeGreaterThan(0.9)
    const exact = assign(nearest({ candidates: K }), { images, noise: freshNoise, dims: DIMS })
    expect(ours.metrics.postCost / exact.metrics.postCost).toBeLessThan(1.0005)
  })

  test('refuses distances that are not finite, and takes one candidate as the noise as drawn', () => {
    const images = new Float32Array(12).fill(1e30)
    expect(() => assign(nearest({ candidates: 2, precision: 'float16' }), { images, noise: gaussian(1, 4, 6), dims: 6 })).toThrow(
      /^\[assignment:nearest\] expected finite distances, got /,
    )
    expect(assign(nearest({ candidates: 1 }), { images, noise: gaussian(1, 2, 6), dims: 6 }).metrics.numMoved).toBe(0)
  })

  interface Changes {
    readonly mean: number
    readonly error: number
  }

  /** Change of the mean distance and of E|n|^2 in percent, over 20 seeds of n Gaussian images of this root mean square, with standard errors. */
  function changes(candidates: number, n: number, rms: number): { distance: Changes; length: Changes } {
    const seeds = Array.from({ length: 20 }, (_, seed) => {
      const images = normals(seed, n, 0).map((value) => value * rms)
      const noise = normals(seed, n * candidates, n)
      const { noiseIndex, metrics } = assign(nearest({ candidates }), { images, noise, dims: DIMS })
      let sum = 0
      for (const row of noiseIndex) for (let at = row * DIMS; at < (row + 1) * DIMS; at++) sum += noise[at] ** 2
      return { distance: metrics.postCost / metrics.preCost - 1, length: sum / (n * DIMS) - 1 }
    })
    const summary = (values: number[]): Changes => {
      const mean = values.reduce((sum, value) => sum + value, 0) / values.length
      const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (values.length - 1)
      return { mean: 100 * mean, error: 100 * Math.sqrt(variance / values.length) }
    }
    return { distance: summary(seeds.map(({ distance }) => distance)), length: summary(seeds.map(({ length }) => length)) }
  }

  function normals(seed: number, rows: number, firstKey: number): Float32Array {
    const keys = new BigUint64Array(rows)
    consecutiveKeys(firstKey, keys)
    const out = new Float32Array(rows * DIMS)
    kernel.normal(seed, 98, keys, DIMS, out)
    return out
  }

  /** The largest of k standard normals, on average. */
  const MEAN_OF_LARGEST = { 2: 0.5642, 4: 1.0294, 8: 1.4236, 64: 2.3523 } as const

  // `exact`: the mean of the least of k draws of the square root of a noncentral chi-square of d degrees and centre d r^2, by quadrature in SciPy.
  // `figure`: as measured once in NumPy (paper.md, section 6), on a sample of its own.
  test.each([
    { k: 2, rms: 1, exact: -0.6234, figure: -0.6 },
    { k: 4, rms: 1, exact: -1.1368, figure: -1.1 },
    { k: 8, rms: 1, exact: -1.5714, figure: -1.61 },
    { k: 8, rms: 0.5, exact: -1.7763, figure: -1.81 },
  ] as const)('k = $k at RMS $rms changes the mean distance by $exact %, and shortens the noise', ({ k, rms, exact, figure }) => {
    const { distance, length } = changes(k, 32, rms)
    expect(Math.abs(distance.mean - exact)).toBeLessThan(3 * distance.error)
    expect(Math.abs(distance.mean - figure)).toBeLessThan(3 * Math.SQRT2 * distance.error)
    const expected = (-100 * 2 * MEAN_OF_LARGEST[k]) / Math.sqrt(DIMS * (2 + 4 * rms ** 2))
    expect(Math.abs(length.mean - expected)).toBeLessThan(3 * length.error)
    // Control: the change is far from none.
    expect(length.mean).toBeLessThan(-5 * length.error)
  })

  test('k = 64 at RMS 0.7 shortens E|n|^2 by 4.3 %, as it did on crops of photographs', () => {
    const { length } = changes(64, 8, 0.7)
    expect(Math.abs(length.mean - -4.28)).toBeLessThan(3 * length.error)
    expect(length.error).toBeLessThan(0.3)
  })
})
