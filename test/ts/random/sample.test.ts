import { expect, test } from 'vitest'
import { UNIFORM_COLUMNS } from '../../../protocol/index.ts'
import { philox } from '../../../ts/kernel/philox.ts'
import { consecutiveKeys, flips, uniforms } from '../../../ts/random/sample.ts'
import { STREAM } from '../../../ts/random/stream.ts'
import { equalCountsScore } from '../../fixture/statistics.ts'

const SAMPLES = 300_000
const COLUMNS = UNIFORM_COLUMNS.length

function uniformsOf(seed: number, first: number, count: number): Float32Array {
  const out = new Float32Array(count * COLUMNS)
  uniforms(seed, first, out)
  return out
}

function flipsOf(seed: number, first: number, count: number): Uint8Array {
  const out = new Uint8Array(count)
  flips(seed, first, out)
  return out
}

test('no two streams share a number', () => {
  expect(new Set(Object.values(STREAM)).size).toBe(Object.keys(STREAM).length)
})

test('uniforms are multiples of 2^-24 in [0, 1), evenly spread in every column and every pair of columns', () => {
  const out = uniformsOf(1, 0, SAMPLES)
  expect(out.every((value) => value >= 0 && value < 1 && Number.isInteger(value * 2 ** 24))).toBe(true)
  const cellOf = (row: number, column: number): number => Math.floor(out[row * COLUMNS + column] * 32)
  for (let a = 0; a < COLUMNS; a++) {
    const single = new Uint32Array(32)
    const pair = new Uint32Array(32 * 32)
    const neighbours = new Uint32Array(32 * 32)
    for (let row = 0; row < SAMPLES; row++) {
      single[cellOf(row, a)]++
      pair[cellOf(row, a) * 32 + cellOf(row, (a + 1) % COLUMNS)]++
      if (row > 0) neighbours[cellOf(row, a) * 32 + cellOf(row - 1, a)]++
    }
    for (const counts of [single, pair, neighbours]) expect(Math.abs(equalCountsScore(counts))).toBeLessThan(4.5)
  }
})

test('uniforms that lean by 1 % are rejected by the same check', () => {
  const counts = new Uint32Array(32)
  uniformsOf(1, 0, SAMPLES).forEach((value) => counts[Math.floor(value ** 1.01 * 32)]++)
  expect(equalCountsScore(counts)).toBeGreaterThan(4.5)
})

test('flips are even, and independent of their neighbours, of other seeds and of the uniforms', () => {
  const a = flipsOf(1, 0, SAMPLES)
  const b = flipsOf(2, 0, SAMPLES)
  const draws = uniformsOf(1, 0, SAMPLES)
  const counts = [new Uint32Array(2), new Uint32Array(4), new Uint32Array(4), new Uint32Array(4)]
  for (let at = 1; at < SAMPLES; at++) {
    counts[0][a[at]]++
    counts[1][2 * a[at] + a[at - 1]]++
    counts[2][2 * a[at] + b[at]]++
    counts[3][2 * a[at] + (draws[at * COLUMNS] < 0.5 ? 0 : 1)]++
  }
  for (const count of counts) expect(Math.abs(equalCountsScore(count))).toBeLessThan(4.5)
})

test('a sample keeps its numbers whatever range it is drawn with, beyond 2^32 too', () => {
  for (const first of [0, 2 ** 32 - 3, 2 ** 53 - 10]) {
    const all = uniformsOf(7, first, 8)
    const some = uniformsOf(7, first + 2, 3)
    expect(some).toEqual(all.slice(2 * COLUMNS, 5 * COLUMNS))
    expect(flipsOf(7, first + 2, 3)).toEqual(flipsOf(7, first, 8).slice(2, 5))
  }
  expect(uniformsOf(7, 2 ** 32 + 5, 1)).not.toEqual(uniformsOf(7, 5, 1))
})

test('the words behind a sample are those of its counter', () => {
  const words = new Uint32Array(4)
  philox(0, 5, 3, STREAM.uniforms, 9, 0, words, 0)
  expect([...uniformsOf(9, 3 * 2 ** 32 + 5, 1)]).toEqual([...words.subarray(0, 3)].map((word) => (word >>> 8) / 2 ** 24))
  philox(0, 5, 3, STREAM.flip, 9, 0, words, 0)
  expect([...flipsOf(9, 3 * 2 ** 32 + 5, 1)]).toEqual([words[0] >>> 31])
})

test('noise keys count on from the first, beyond 2^32 too', () => {
  const keys = new BigUint64Array(4)
  consecutiveKeys(2 ** 32 - 2, keys)
  expect([...keys]).toEqual([2n ** 32n - 2n, 2n ** 32n - 1n, 2n ** 32n, 2n ** 32n + 1n])
})
