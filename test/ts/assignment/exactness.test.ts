import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { assign } from '../../../ts/assignment/assign.ts'
import type { AssignmentStrategy } from '../../../ts/assignment/assignment.ts'
import { linear } from '../../../ts/assignment/linear.ts'
import { quantized } from '../../../ts/assignment/quantized.ts'
import { loadDigits } from '../../../ts/dataset/digits.ts'
import type { Kernel } from '../../../ts/kernel/kernel.ts'
import { plainKernel } from '../../../ts/kernel/plain.ts'
import { shuffledIndex } from '../../../ts/random/shuffle.ts'
import { gaussian, identity, total } from '../../fixture/numbers.ts'
import { runPython, scipyOptima } from '../../fixture/python.ts'

const BATCH = 256
const SEEDS = Array.from({ length: 20 }, (_, seed) => seed)

interface Case {
  readonly images: Uint8Array | Float32Array
  readonly noise: Float32Array
  readonly dims: number
}

const digits = loadDigits()

function digitsCase(seed: number): Case {
  const dims = digits.imageShape.reduce((product, size) => product * size, 1)
  const images = new Uint8Array(BATCH * dims)
  for (let row = 0; row < BATCH; row++) digits.read(shuffledIndex(seed, 0, digits.numImages, row), images, row * dims)
  return { images, noise: gaussian(seed, BATCH, dims), dims }
}

const gaussianCase = (seed: number): Case => ({
  images: gaussian(seed, BATCH, 3072),
  noise: gaussian(seed, BATCH, 3072, BATCH),
  dims: 3072,
})

/** Squared L2 sums in the model's scale, by NumPy and SciPy: of the noise as drawn, of the best assignment, of ours. */
function squaredDistances(
  cases: readonly Case[],
  answers: readonly Int32Array[],
): Promise<{ drawn: number; best: number; ours: number }[]> {
  const source = `
from scipy.optimize import linear_sum_assignment
answer = []
for at, dims in enumerate(args):
    images, noise, index = arrays[3 * at : 3 * at + 3]
    if images.dtype == np.uint8:
        images = images.astype(np.float32) / 127.5 - 1
    x = images.reshape(-1, dims).astype(np.float64)
    y = noise.reshape(-1, dims).astype(np.float64)
    cost = (x * x).sum(1)[:, None] + (y * y).sum(1)[None, :] - 2 * x @ y.T
    row = np.arange(len(x))
    answer.append({"drawn": cost[row, row].sum(), "best": cost[linear_sum_assignment(cost)].sum(), "ours": cost[row, index].sum()})
`
  return runPython(
    source,
    cases.map(({ dims }) => dims),
    cases.flatMap(({ images, noise }, at) => [images, noise, answers[at]]),
  )
}

function bruteForce({ images, noise, dims }: Case, n: number): number {
  const distance = (image: number, row: number): number => {
    let sum = 0
    for (let d = 0; d < dims; d++) sum += (images[image * dims + d] - noise[row * dims + d]) ** 2
    return sum
  }
  const least = (image: number, taken: number): number => {
    if (image === n) return 0
    let best = Infinity
    for (let row = 0; row < n; row++)
      if (!(taken & (1 << row))) best = Math.min(best, distance(image, row) + least(image + 1, taken | (1 << row)))
    return best
  }
  return least(0, 0)
}

function permutationsOf(n: number): number[][] {
  if (n === 0) return [[]]
  return permutationsOf(n - 1).flatMap((shorter) => Array.from({ length: n }, (_, at) => shorter.toSpliced(at, 0, n - 1)))
}

describe('linear', () => {
  function expectLeast(strategy: AssignmentStrategy, input: Case): void {
    const n = input.noise.length / input.dims
    const { noiseIndex } = assign(strategy, input)
    const { images, noise, dims } = input
    let ours = 0
    noiseIndex.forEach((row, image) => {
      for (let d = 0; d < dims; d++) ours += (images[image * dims + d] - noise[row * dims + d]) ** 2
    })
    const best = bruteForce(input, n)
    expect(ours - best).toBeLessThanOrEqual(1e-5 * best)
  }

  test('is the least squared distance of all permutations of up to 7 rows, repeated rows included', () => {
    const shapes = fc.record({
      n: fc.integer({ min: 1, max: 7 }),
      dims: fc.integer({ min: 1, max: 8 }),
      seed: fc.nat(10_000),
      repeats: fc.boolean(),
    })
    fc.assert(
      fc.property(shapes, ({ n, dims, seed, repeats }) => {
        const images = gaussian(seed, n, dims)
        const noise = gaussian(seed, n, dims, n)
        if (repeats) for (const array of [images, noise]) array.copyWithin(0, (n - 1) * dims)
        expectLeast(linear(), { images, noise, dims })
      }),
      { numRuns: 60 },
    )
  })

  test('with its permutation inverted it is not, and that is seen', () => {
    const right = linear()
    const inverted: AssignmentStrategy = {
      ...right,
      assign(pool, images, noise, noiseIndex) {
        const report = right.assign(pool, images, noise, noiseIndex)
        noiseIndex.slice().forEach((row, image) => (noiseIndex[row] = image))
        return report
      },
    }
    const input = { images: gaussian(1, 7, 16), noise: gaussian(2, 7, 16), dims: 16 }
    expectLeast(right, input)
    expect(() => expectLeast(inverted, input)).toThrow(/to be less than or equal/)
  })

  test('in L1 is the least sum of magnitudes of all permutations of up to 6 rows, of pixels as they are seen', () => {
    const shapes = fc.record({ n: fc.integer({ min: 1, max: 6 }), dims: fc.integer({ min: 1, max: 8 }), seed: fc.nat(10_000) })
    let numOthers = 0
    fc.assert(
      fc.property(shapes, fc.boolean(), ({ n, dims, seed }, isPixels) => {
        const floats = gaussian(seed, n, dims)
        const noise = gaussian(seed, n, dims, n)
        const images = isPixels ? Uint8Array.from(floats, (value) => Math.max(0, Math.min(255, 127.5 + 60 * value))) : floats
        const seen = isPixels ? Float32Array.from(images, (pixel) => pixel / 127.5 - 1) : floats
        const sum = (noiseIndex: Iterable<number>): number =>
          [...noiseIndex].reduce((before, row, image) => {
            for (let d = 0; d < dims; d++) before += Math.abs(seen[image * dims + d] - noise[row * dims + d])
            return before
          }, 0)
        const best = Math.min(...permutationsOf(n).map(sum))
        const found = ([{ metric: 'l1' }, { metric: 'squaredL2' }] as const).map((options) =>
          sum(assign(linear(options), { images, noise, dims }).noiseIndex),
        )
        expect(found[0] - best).toBeLessThanOrEqual(1e-5 * best)
        if (found[1] - best > 1e-3 * best) numOthers++
      }),
      { numRuns: 100 },
    )
    expect(numOthers, 'control: the least squares are not the least magnitudes').toBeGreaterThan(10)
  })

  test('is the optimum of SciPy for 256 digits', async () => {
    const cases = SEEDS.slice(0, 4).map(digitsCase)
    const sums = await squaredDistances(
      cases,
      cases.map((input) => assign(linear(), input).noiseIndex),
    )
    for (const { drawn, best, ours } of sums) expect((ours - best) / (drawn - best)).toBeLessThan(1e-6)
  })

  test('is the optimal transport plan of POT, which is what torchcfm samples its pairs from', async () => {
    const cases = SEEDS.slice(0, 4).map(digitsCase)
    const source = `
import ot
answer = []
for at, dims in enumerate(args):
    images, noise, index = arrays[3 * at : 3 * at + 3]
    cost = ot.dist((images.astype(np.float64) / 127.5 - 1).reshape(-1, dims), noise.reshape(-1, dims).astype(np.float64))
    best = ot.emd2(ot.unif(len(cost)), ot.unif(len(cost)), cost) * len(cost)
    rows = np.arange(len(cost))
    answer.append([(cost[rows, index].sum() - best) / best, (cost[rows, np.roll(index, 1)].sum() - best) / best])
`
    const indices = cases.map((input) => assign(linear(), input).noiseIndex)
    const arrays = cases.flatMap(({ images, noise }, at) => [images, noise, indices[at]])
    const excesses = await runPython<[ours: number, moved: number][]>(
      source,
      cases.map(({ dims }) => dims),
      arrays,
    )
    for (const [ours, moved] of excesses) {
      expect(Math.abs(ours)).toBeLessThan(1e-6)
      expect(moved).toBeGreaterThan(0.01)
    }
  })
})

describe('quantized, over 20 seeds of 256 images', () => {
  test.each([
    { name: 'digits', caseOf: digitsCase },
    { name: 'Gaussian images of 3,072 dimensions', caseOf: gaussianCase },
  ])(
    'reaches 0.999 of the exact gain on $name in the worst seed, and its dual gap bounds its distance from the optimum',
    async ({ caseOf }) => {
      const matrices: { n: number; cost: Int32Array }[] = []
      const spy: Kernel = {
        ...plainKernel,
        // One block: a pool of 256 is multiplied at once.
        benefitInt8(x, y, numImages, numNoises, dims, out) {
          plainKernel.benefitInt8(x, y, numImages, numNoises, dims, out)
          matrices.push({ n: numImages, cost: out.map((value) => -value) })
        },
      }
      const cases = SEEDS.map(caseOf)
      const answers = cases.map((input) => assign(quantized({}, spy), input))
      const indices = answers.map(({ noiseIndex }) => noiseIndex)
      const [sums, optima] = await Promise.all([squaredDistances(cases, indices), scipyOptima(matrices)])

      const shares = sums.map(({ drawn, best, ours }) => (drawn - ours) / (drawn - best))
      expect(Math.min(...shares)).toBeGreaterThan(0.999)
      for (const [seed, { cost }] of matrices.entries()) {
        const [drawn, ours] = [identity(BATCH), indices[seed]].map((index) => total(cost, BATCH, index))
        const { dualGap } = answers[seed].metrics
        expect((ours - optima[seed]) / (drawn - optima[seed])).toBeLessThanOrEqual(dualGap as number)
        expect(dualGap).toBeLessThanOrEqual(0.001)
      }
    },
  )
})
