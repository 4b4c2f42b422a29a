import fc from 'fast-check'
import { expect, test } from 'vitest'
import { plainKernel } from '../../../ts/kernel/plain.ts'
import { fill, gaussian, integers, isPermutation, total } from '../../fixture/numbers.ts'
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

test('up to 512 rows the sum is that of SciPy, on random, tied, repeated and image costs', async () => {
  const next = integers(5)
  const matrices = [2, 3, 17, 64, 200, 256, 512].flatMap((n) => {
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
