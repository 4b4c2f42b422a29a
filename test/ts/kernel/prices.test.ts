import { expect, test } from 'vitest'
import { plainKernel } from '../../../ts/kernel/plain.ts'
import { startPrices } from '../../../ts/kernel/prices.ts'
import { dualBound, fill, gaussian, gaussianBenefit, integers, total } from '../../fixture/numbers.ts'

type Cost = Int32Array | Float32Array

function priced(cost: Cost, n: number): Float64Array {
  const price = new Float64Array(n).fill(NaN)
  expect(startPrices(cost, n, price)).toBe(true)
  expect(price.every(Number.isFinite)).toBe(true)
  return price
}

/** How far the prices are from a proof of the least sum, as a share of the mean spread of a row. */
function distanceFromProof(cost: Cost, n: number, price: Float64Array): number {
  const columnOfRow = new Int32Array(n)
  plainKernel.linearSum(cost, n, columnOfRow)
  let spreads = 0
  for (let row = 0; row < n; row++) {
    const costs = cost.subarray(row * n, (row + 1) * n)
    spreads += Math.max(...costs) - Math.min(...costs)
  }
  return (total(cost, n, columnOfRow) - dualBound(cost, n, price)) / spreads
}

const n = 200
const next = integers(3)
test.each<[string, Cost]>([
  ['Gaussian float costs', gaussian(1, n, n)],
  ['float costs of a tiny scale', gaussian(2, n, n).map((value) => value * 1e-30)],
  ['integer costs of Gaussian images', gaussianBenefit(3, n, 64).map((value) => -value)],
  ['integers of the whole range', fill(new Int32Array(n * n), n, () => next(2 ** 32) - 2 ** 31)],
])('%s: prices are within 1/2048 of the spread of a proof, no prices are not', (_name, cost) => {
  // One unit of epsilon and one of rounding for each row, of 4,096 units or more.
  expect(distanceFromProof(cost, n, priced(cost, n))).toBeLessThan(2 / 4096)
  expect(distanceFromProof(cost, n, new Float64Array(n))).toBeGreaterThan(4 / 4096)
})

test('one row, and costs that are all equal, need no prices', () => {
  expect(priced(Int32Array.of(7), 1)).toEqual(Float64Array.of(0))
  expect(priced(new Float32Array(9).fill(1e30), 3)).toEqual(new Float64Array(3))
})

test('prices of integers are integers', () => {
  for (const below of [3, 1000, 2 ** 32]) {
    const cost = fill(new Int32Array(n * n), n, () => next(below) - below / 2)
    expect(priced(cost, n).every(Number.isInteger)).toBe(true)
  }
})

test('a cost that is not finite is told', () => {
  for (const strange of [NaN, Infinity, -Infinity]) {
    expect(startPrices(Float32Array.of(1, 2, strange, 4), 2, new Float64Array(2))).toBe(false)
  }
})
