import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { plainKernel } from '../../../ts/kernel/plain.ts'
import { fill, gaussianBenefit, identity, integers, isPermutation, total } from '../../fixture/numbers.ts'
import { scipyOptima } from '../../fixture/python.ts'

const TOLERANCE = 0.001
const MOST = 2 ** 31 - 1
const LEAST = -(2 ** 31)

function solve(benefit: Int32Array, n: number, tolerance = TOLERANCE) {
  const columnOfRow = new Int32Array(n).fill(-7)
  const result = plainKernel.auction(benefit, n, tolerance, columnOfRow)
  expect(isPermutation(columnOfRow)).toBe(true)
  expect(result.benefit).toBe(total(benefit, n, columnOfRow))
  expect(result.benefit).toBeGreaterThanOrEqual(total(benefit, n, identity(n)))
  expect(result.bound).toBeGreaterThanOrEqual(result.benefit)
  return result
}

/** ~v = -1 - v turns a benefit into a cost without leaving int32. */
const optimumOf = (scipy: number, n: number): number => -scipy - n
const asCost = (benefit: Int32Array): Int32Array => benefit.map((value) => ~value)

const next = integers(11)
/** What once made an auction slow, wrong or endless. */
const DEGENERATE: Record<string, (row: number, column: number, n: number) => number> = {
  'all equal': () => 5,
  'all rows equal': (_, j) => -128 * ((j * 7919) % 997),
  'all columns equal': (i) => i * 1000,
  'zeros and ones': () => (next(50) === 0 ? 1 : 0),
  'three values': () => next(3),
  'the whole range of int32': () => next(2 ** 32) + LEAST,
  'only the ends of int32': () => (next(2) ? MOST : LEAST),
  'near +-2^30': () => (next(2) ? 1 : -1) * 2 ** 30 + next(10),
  'one column that every row wants': (_, j) => (j === 0 ? MOST : LEAST),
  'half of the columns that every row wants': (_, j, n) => (j < n / 2 ? MOST : LEAST),
  'a diagonal': (i, j) => (i === j ? MOST : LEAST),
  'the other diagonal': (i, j, n) => (i + j === n - 1 ? MOST : LEAST),
  'rows that are multiples of one': (i, j) => i * j,
  'rows that are large multiples of one': (i, j, n) => Math.floor((MOST / n / n) * i * j),
  'a geometric ladder': (i, j) => -Math.floor(1.05 ** Math.min(i + j, 430)),
  'one row that is far larger than the others': (i) => (i === 0 ? next(2 ** 32) + LEAST : next(4)),
  'a triangle': (i, j) => (j <= i ? 1e9 : 0),
  'just above the least integer': (i, j) => LEAST + ((i * j) % 100),
  'just under the largest integer': (i, j) => MOST - ((i * j) % 100),
}

describe('an auction over degenerate benefits', () => {
  test.each(Object.keys(DEGENERATE))('%s: ends soon, with a permutation and a true bound', (name) => {
    const matrices = [1, 2, 3, 17, 256].map((n) => ({ n, matrix: fill(new Int32Array(n * n), n, (i, j) => DEGENERATE[name](i, j, n)) }))
    const started = performance.now()
    const answers = matrices.flatMap(({ n, matrix }) => [TOLERANCE, 0].map((tolerance) => ({ n, matrix, ...solve(matrix, n, tolerance) })))
    expect(performance.now() - started).toBeLessThan(1000)
    for (const { n, matrix, bound } of answers) {
      const best = new Int32Array(n)
      plainKernel.linearSum(asCost(matrix), n, best)
      expect(bound).toBeGreaterThanOrEqual(total(matrix, n, best))
    }
  })

  test('benefits without anything to gain are proved so at once', () => {
    for (const name of ['all equal', 'all rows equal', 'all columns equal', 'a diagonal']) {
      const n = 64
      const benefit = fill(new Int32Array(n * n), n, (i, j) => DEGENERATE[name](i, j, n))
      const { benefit: reached, bound } = solve(benefit, n)
      expect(bound).toBe(reached)
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
  ].flatMap(([n, dims]) => [1, 2].map((seed) => ({ n, benefit: gaussianBenefit(seed, n, dims) })))
  const optima = await scipyOptima(cases.map(({ n, benefit }) => ({ n, cost: asCost(benefit) })))
  cases.forEach(({ n, benefit }, at) => {
    const optimum = optimumOf(optima[at], n)
    const baseline = total(benefit, n, identity(n))
    for (const tolerance of [0.1, 0.01, TOLERANCE]) {
      const { benefit: reached, bound } = solve(benefit, n, tolerance)
      expect(bound).toBeGreaterThanOrEqual(optimum)
      expect(reached).toBeLessThanOrEqual(optimum)
      expect(bound - reached).toBeLessThanOrEqual(tolerance * (reached - baseline))
    }
  })
})

test('a lower tolerance costs no gain', () => {
  const benefit = gaussianBenefit(3, 128, 256)
  const gains = [1, 0.1, 0.01, 0.001].map((tolerance) => solve(benefit, 128, tolerance).benefit)
  expect(gains).toEqual(gains.toSorted((a, b) => a - b))
})

test('any integers give a permutation, no worse than the identity, under a true bound', () => {
  const value = fc.oneof(fc.integer({ min: LEAST, max: MOST }), fc.integer({ min: -3, max: 3 }), fc.constantFrom(LEAST, MOST, 0))
  const matrices = fc
    .integer({ min: 1, max: 12 })
    .chain((n) => fc.array(value, { minLength: n * n, maxLength: n * n }).map((numbers) => ({ n, numbers })))
  fc.assert(
    fc.property(matrices, fc.constantFrom(0, 0.001, 0.1), ({ n, numbers }, tolerance) => {
      const benefit = Int32Array.from(numbers)
      const { bound } = solve(benefit, n, tolerance)
      const best = new Int32Array(n)
      plainKernel.linearSum(asCost(benefit), n, best)
      expect(bound).toBeGreaterThanOrEqual(total(benefit, n, best))
      expect([...benefit]).toEqual(numbers)
    }),
    { numRuns: 300 },
  )
})

describe('an auction on shortfalls', () => {
  interface Problem {
    readonly images: Int8Array
    readonly noise: Uint8Array
    readonly n: number
    readonly dims: number
    readonly shift: number
  }

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

  function truth({ images, noise, n, dims }: Problem): Int32Array {
    const benefit = new Int32Array(n * n)
    plainKernel.benefitInt8(images, noise, n, n, dims, benefit)
    return benefit
  }

  function shortfallsOf(problem: Problem) {
    const { n } = problem
    const [shortfall, rowMaxima] = [new Uint16Array(n * n), new Int32Array(n)]
    return { shortfall, rowMaxima, shift: plainKernel.shortfalls(truth(problem), n, n, problem.shift, rowMaxima, shortfall) }
  }

  function optimum(problem: Problem): number {
    const best = new Int32Array(problem.n)
    plainKernel.linearSum(asCost(truth(problem)), problem.n, best)
    return total(truth(problem), problem.n, best)
  }

  test('reports the true products of a permutation, under a bound that no permutation exceeds, however coarse', () => {
    let numCoarse = 0
    fc.assert(
      fc.property(random, fc.constantFrom(0, 0.001, 0.1), (problem, tolerance) => {
        const { images, noise, n, dims } = problem
        const given = shortfallsOf(problem)
        const columnOfRow = new Int32Array(n).fill(-7)
        const { benefit, bound, identity: before } = plainKernel.auctionShortfalls(given, images, noise, n, dims, tolerance, columnOfRow)
        if (bound > benefit) numCoarse++
        expect(isPermutation(columnOfRow)).toBe(true)
        expect(benefit).toBe(total(truth(problem), n, columnOfRow))
        expect(before).toBe(total(truth(problem), n, identity(n)))
        expect(benefit).toBeGreaterThanOrEqual(before)
        expect(bound).toBeGreaterThanOrEqual(optimum(problem))
      }),
      { numRuns: 500 },
    )
    expect(numCoarse).toBeGreaterThan(50)
  })

  test('whose shortfalls are larger than they truly are has no such bound, and that is seen', () => {
    const dims = 1
    const problem = { images: Int8Array.of(100, -100), noise: Uint8Array.of(0, 127), n: 2, dims, shift: 0 }
    const given = shortfallsOf(problem)
    const solveIt = (): number => plainKernel.auctionShortfalls(given, problem.images, problem.noise, 2, dims, 0, new Int32Array(2)).bound
    expect(solveIt()).toBe(optimum(problem))
    for (let at = 0; at < 4; at++) given.shortfall[at] += 50
    expect(solveIt()).toBeLessThan(optimum(problem))
  })

  test('in single units is the auction of the whole matrix', () => {
    const [n, dims] = [60, 3]
    const pick = integers(3)
    const images = Int8Array.from({ length: n * dims }, () => pick(100) - 50)
    const noise = Uint8Array.from({ length: n * dims }, () => pick(128))
    const problem = { images, noise, n, dims, shift: 0 }
    const [a, b] = [new Int32Array(n), new Int32Array(n)]
    const short = plainKernel.auctionShortfalls(shortfallsOf(problem), images, noise, n, dims, TOLERANCE, a)
    expect(short).toEqual(plainKernel.auction(truth(problem), n, TOLERANCE, b))
    expect(a).toEqual(b)
  })
})
