import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { plainKernel } from '../../../ts/kernel/plain.ts'
import { fill, identity, integers, isPermutation, packedGaussians, total } from '../../fixture/numbers.ts'
import { scipyOptima } from '../../fixture/python.ts'

const TOLERANCE = 0.001
const MOST = 127
const LEAST = -128

interface Problem {
  readonly images: Int8Array
  readonly noise: Uint8Array
  readonly n: number
  readonly dims: number
  /** The least unit of a shortfall is 2^shift. */
  readonly shift: number
}

/** What the pairs are truly worth. */
function benefitsOf({ images, noise, n, dims }: Problem): Int32Array {
  const benefit = new Int32Array(n * n)
  plainKernel.benefitInt8(images, noise, n, n, dims, benefit)
  return benefit
}

function shortfallsOf(problem: Problem) {
  const { n } = problem
  const [shortfall, rowMaxima] = [new Uint16Array(n * n), new Int32Array(n)]
  return { shortfall, rowMaxima, shift: plainKernel.shortfalls(benefitsOf(problem), n, n, problem.shift, rowMaxima, shortfall) }
}

/** ~v = -1 - v turns a benefit into a cost without leaving int32. */
const asCost = (benefit: Int32Array): Int32Array => benefit.map((value) => ~value)

function optimumOf(problem: Problem): number {
  const { n } = problem
  const benefit = benefitsOf(problem)
  const best = new Int32Array(n)
  plainKernel.linearSum(asCost(benefit), n, best)
  return total(benefit, n, best)
}

function solve(problem: Problem, tolerance = TOLERANCE) {
  const { images, noise, n, dims } = problem
  const columnOfRow = new Int32Array(n).fill(-7)
  const result = plainKernel.auction(shortfallsOf(problem), images, noise, n, dims, tolerance, columnOfRow)
  const benefit = benefitsOf(problem)
  expect(isPermutation(columnOfRow)).toBe(true)
  expect(result.benefit).toBe(total(benefit, n, columnOfRow))
  expect(result.identity).toBe(total(benefit, n, identity(n)))
  expect(result.benefit).toBeGreaterThanOrEqual(result.identity)
  expect(result.bound).toBeGreaterThanOrEqual(result.benefit)
  return result
}

/** Images and noise whose products are 127 times the given int8 values: image i is row i, noise j asks for its number j. */
function ofMatrix(n: number, value: (row: number, column: number) => number): Problem {
  const images = Int8Array.from(fill(new Int32Array(n * n), n, value))
  const noise = Uint8Array.from(fill(new Int32Array(n * n), n, (i, j) => (i === j ? 127 : 0)))
  return { images, noise, n, dims: n, shift: 0 }
}

const next = integers(11)
/** What once made an auction slow, wrong or endless. */
const DEGENERATE: Record<string, (row: number, column: number, n: number) => number> = {
  'all equal': () => 5,
  'all rows equal': (_, j) => -((j * 7919) % 127),
  'all columns equal': (i) => i % 128,
  'zeros and ones': () => (next(50) === 0 ? 1 : 0),
  'three values': () => next(3),
  'the whole range': () => next(256) + LEAST,
  'only its ends': () => (next(2) ? MOST : LEAST),
  'near +-100': () => (next(2) ? 1 : -1) * 100 + next(10),
  'one column that every row wants': (_, j) => (j === 0 ? MOST : LEAST),
  'half of the columns that every row wants': (_, j, n) => (j < n / 2 ? MOST : LEAST),
  'a diagonal': (i, j) => (i === j ? MOST : LEAST),
  'the other diagonal': (i, j, n) => (i + j === n - 1 ? MOST : LEAST),
  'rows that are multiples of one': (i, j, n) => Math.floor((MOST / n / n) * i * j),
  'a geometric ladder': (i, j) => -Math.floor(1.05 ** Math.min(i + j, 99)),
  'one row that is far larger than the others': (i) => (i === 0 ? next(256) + LEAST : next(4)),
  'a triangle': (i, j) => (j <= i ? MOST : 0),
  'just above the least': (i, j) => LEAST + ((i * j) % 100),
  'just under the largest': (i, j) => MOST - ((i * j) % 100),
}

describe('degenerate benefits', () => {
  test.each(Object.keys(DEGENERATE))('%s: it ends, with a permutation and a true bound', (name) => {
    for (const n of [1, 2, 3, 17, 256]) {
      const problem = ofMatrix(n, (i, j) => DEGENERATE[name](i, j, n))
      const optimum = optimumOf(problem)
      for (const tolerance of [TOLERANCE, 0]) expect(solve(problem, tolerance).bound).toBeGreaterThanOrEqual(optimum)
    }
  })

  test('where there is nothing to gain that is proved at once', () => {
    for (const name of ['all equal', 'all rows equal', 'all columns equal', 'a diagonal']) {
      const { benefit, bound } = solve(ofMatrix(64, (i, j) => DEGENERATE[name](i, j, 64)))
      expect(bound).toBe(benefit)
    }
  })
})

test('on Gaussian images its bound is never under the optimum of SciPy, and its gap is within the tolerance', async () => {
  const cases = [
    [1, 64],
    [2, 64],
    [16, 64],
    [100, 64],
    [128, 192],
    [300, 100],
    [512, 64],
  ].flatMap(([n, dims]) => [1, 2].map((seed): Problem => ({ ...packedGaussians(seed, n, dims), n, dims, shift: 0 })))
  const optima = await scipyOptima(cases.map((problem) => ({ n: problem.n, cost: asCost(benefitsOf(problem)) })))
  cases.forEach((problem, at) => {
    const optimum = -optima[at] - problem.n
    for (const tolerance of [0.1, 0.01, TOLERANCE]) {
      const { benefit, bound, identity: baseline } = solve(problem, tolerance)
      expect(bound).toBeGreaterThanOrEqual(optimum)
      expect(benefit).toBeLessThanOrEqual(optimum)
      expect(bound - benefit).toBeLessThanOrEqual(tolerance * (benefit - baseline))
    }
  })
})

test('a lower tolerance costs no gain', () => {
  const problem: Problem = { ...packedGaussians(3, 128, 256), n: 128, dims: 256, shift: 0 }
  const gains = [1, 0.1, 0.01, 0.001].map((tolerance) => solve(problem, tolerance).benefit)
  expect(gains).toEqual(gains.toSorted((a, b) => a - b))
})

const random = fc.integer({ min: 1, max: 12 }).chain((n) =>
  fc.integer({ min: 1, max: 30 }).chain((dims) => {
    const length = { minLength: n * dims, maxLength: n * dims }
    const pixel = fc.oneof(fc.integer({ min: -128, max: 127 }), fc.constantFrom(-128, 127, 0))
    const level = fc.oneof(fc.integer({ min: 0, max: 127 }), fc.constantFrom(0, 127))
    return fc.record<Problem>({
      images: fc.array(pixel, length).map((values) => Int8Array.from(values)),
      noise: fc.array(level, length).map((values) => Uint8Array.from(values)),
      n: fc.constant(n),
      dims: fc.constant(dims),
      shift: fc.constantFrom(0, 0, 1, 4, 12),
    })
  }),
)

test('reports the true products of a permutation, under a bound that no permutation exceeds, however coarse its units', () => {
  let numCoarse = 0
  fc.assert(
    fc.property(random, fc.constantFrom(0, 0.001, 0.1), (problem, tolerance) => {
      const { benefit, bound } = solve(problem, tolerance)
      if (bound > benefit) numCoarse++
      expect(bound).toBeGreaterThanOrEqual(optimumOf(problem))
    }),
    { numRuns: 500 },
  )
  expect(numCoarse).toBeGreaterThan(50)
})

test('control: shortfalls that are larger than they truly are have no such bound, and that is seen', () => {
  const dims = 1
  const problem: Problem = { images: Int8Array.of(100, -100), noise: Uint8Array.of(0, 127), n: 2, dims, shift: 0 }
  const given = shortfallsOf(problem)
  const solveIt = (): number => plainKernel.auction(given, problem.images, problem.noise, 2, dims, 0, new Int32Array(2)).bound
  expect(solveIt()).toBe(optimumOf(problem))
  for (let at = 0; at < 4; at++) given.shortfall[at] += 50
  expect(solveIt()).toBeLessThan(optimumOf(problem))
})
