import fc from 'fast-check'
import { expect, test } from 'vitest'
import { linearSumFrom } from '../../../ts/kernel/linear-sum.ts'
import { plainKernel } from '../../../ts/kernel/plain.ts'
import { dualBound, fill, gaussian, integers, isPermutation, total } from '../../fixture/numbers.ts'
import { scipyOptima } from '../../fixture/python.ts'

function solve(cost: Int32Array | Float32Array, n: number): number {
  const columnOfRow = new Int32Array(n).fill(-7)
  plainKernel.linearSum(cost, n, columnOfRow)
  expect(isPermutation(columnOfRow)).toBe(true)
  return total(cost, n, columnOfRow)
}

function bruteForce(cost: Int32Array | Float32Array, n: number, row = 0, taken = 0): number {
  if (row === n) return 0
  let least = Infinity
  for (let column = 0; column < n; column++) {
    if (taken & (1 << column)) continue
    least = Math.min(least, cost[row * n + column] + bruteForce(cost, n, row + 1, taken | (1 << column)))
  }
  return least
}

test('up to 8 rows the sum is the least of all permutations, ties and integer limits included', () => {
  const values = [fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }), fc.integer({ min: 0, max: 2 }), fc.integer({ min: -50, max: 50 })]
  const matrices = fc
    .tuple(fc.integer({ min: 1, max: 8 }), fc.constantFrom(...values))
    .chain(([n, value]) => fc.array(value, { minLength: n * n, maxLength: n * n }).map((numbers) => ({ n, numbers })))
  fc.assert(
    fc.property(matrices, ({ n, numbers }) => {
      const cost = Int32Array.from(numbers)
      expect(solve(cost, n)).toBe(bruteForce(cost, n))
    }),
    { numRuns: 60 },
  )
})

test('up to 7 rows of floats of any magnitude the sum is the least of all permutations, up to rounding', () => {
  const sizes = fc.tuple(fc.integer({ min: 1, max: 7 }), fc.constantFrom(1e-40, 1e-6, 1, 1e30), fc.nat(10_000))
  fc.assert(
    fc.property(sizes, fc.boolean(), ([n, scale, seed], repeats) => {
      const cost = gaussian(seed, n, n).map((value) => value * scale)
      if (repeats) cost.copyWithin(0, (n - 1) * n)
      expect(Math.abs(solve(cost, n) - bruteForce(cost, n))).toBeLessThanOrEqual(1e-12 * n * scale)
    }),
    { numRuns: 60 },
  )
})

test('from any prices the sum is the least of all permutations, and the prices end as the proof of it', () => {
  const starts = fc.tuple(fc.integer({ min: 1, max: 7 }), fc.constantFrom(0, 3, 1e5, 2 ** 40), fc.nat(10_000))
  fc.assert(
    fc.property(starts, ([n, spread, seed]) => {
      const next = integers(seed)
      const cost = fill(new Int32Array(n * n), n, () => next(seed % 2 ? 5 : 1000))
      const columnPrice = new Float64Array(n).map(() => next(spread + 1) - spread / 2)
      const columnOfRow = new Int32Array(n)
      linearSumFrom(columnPrice, cost, n, columnOfRow)
      const sum = total(cost, n, columnOfRow)
      expect(sum).toBe(bruteForce(cost, n))
      expect(dualBound(cost, n, columnPrice)).toBe(sum)
    }),
    { numRuns: 100 },
  )
})

test('the proof tells an assignment that is not the best', () => {
  const n = 40
  const cost = gaussian(8, n, n)
  const columnPrice = new Float64Array(n)
  const columnOfRow = new Int32Array(n)
  linearSumFrom(columnPrice, cost, n, columnOfRow)
  const bound = dualBound(cost, n, columnPrice)
  expect(total(cost, n, columnOfRow) - bound).toBeLessThan(1e-12)
  ;[columnOfRow[0], columnOfRow[1]] = [columnOfRow[1], columnOfRow[0]]
  expect(total(cost, n, columnOfRow) - bound).toBeGreaterThan(0.1)
})

test('up to 512 rows the sum is that of SciPy, on random, tied, repeated and image costs', async () => {
  const next = integers(5)
  const matrices = [2, 3, 17, 64, 200, 512].flatMap((n) => {
    const dims = 64
    const image = new Float32Array(n * n)
    const [images, noise] = [gaussian(n, n, dims), gaussian(n, n, dims, n)]
    // A common part and a few repeats, as real images have them.
    images.forEach((value, at) => (images[at] = 0.5 * value + images[at % (dims * 5)]))
    plainKernel.costFloat32(images, noise, n, dims, image)
    const column = gaussian(n + 1, 1, n)
    return [
      { n, cost: gaussian(n, n, n) },
      { n, cost: image },
      { n, cost: fill(new Float32Array(n * n), n, () => next(4)) },
      { n, cost: fill(new Float32Array(n * n), n, (_, j) => column[j]) },
      { n, cost: fill(new Int32Array(n * n), n, () => next(2 ** 32) - 2 ** 31) },
      { n, cost: fill(new Int32Array(n * n), n, (i, j) => i * j) },
      { n, cost: fill(new Int32Array(n * n), n, () => -7) },
      // One cost that is far from all others; rows of very different scales; whole rows repeated.
      { n, cost: fill(new Int32Array(n * n), n, (i, j) => (i === 1 && j === 0 ? -2e9 : next(1000))) },
      { n, cost: fill(new Int32Array(n * n), n, (i) => next(2 ** (i % 31))) },
      { n, cost: fill(new Int32Array(n * n), n, (i, j) => ((i % 5) * 7919 + j * j) % 1009) },
    ]
  })
  const optima = await scipyOptima(matrices)
  matrices.forEach(({ n, cost }, at) => {
    const sum = solve(cost, n)
    // Integer sums are exact in both; float sums differ by the order of addition.
    if (cost instanceof Int32Array) expect(sum).toBe(optima[at])
    else expect(Math.abs(sum - optima[at])).toBeLessThanOrEqual(1e-11 * (1 + Math.abs(optima[at])))
  })
})

test('a cost that is not finite is refused', () => {
  for (const strange of [NaN, Infinity]) {
    const cost = Float32Array.of(1, 2, strange, 4)
    expect(() => plainKernel.linearSum(cost, 2, new Int32Array(2))).toThrow(`expected finite costs, got ${strange}`)
  }
})
