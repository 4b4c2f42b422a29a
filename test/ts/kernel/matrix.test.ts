import { describe, expect, test } from 'vitest'
import { plainKernel } from '../../../ts/kernel/plain.ts'
import { gaussian, integers } from '../../fixture/numbers.ts'

const { benefitInt8, costFloat32, costL1 } = plainKernel
const { fround } = Math
/** Edges of tiles (1 .. 9) times edges of strips (256 and 1,024 dimensions). */
const SHAPES = [1, 2, 3, 4, 5, 8, 9].flatMap((n) => [1, 3, 4, 255, 256, 257, 1023, 1030, 2048].map((dims) => [n, dims] as const))

describe('the integer benefit matrix', () => {
  test.each(SHAPES)('of %i rows with %i dimensions is the exact sum of products', (n, dims) => {
    const next = integers(n * 10_000 + dims)
    const images = Int8Array.from({ length: n * dims }, () => next(256) - 128)
    const noise = Uint8Array.from({ length: n * dims }, () => next(128))
    const benefit = new Int32Array(n * n).fill(7)
    benefitInt8(images, noise, n, n, dims, benefit)
    for (let i = 0; i < n; i++) {
      for (let j = 0; j < n; j++) {
        let sum = 0
        for (let d = 0; d < dims; d++) sum += images[i * dims + d] * noise[j * dims + d]
        expect(benefit[i * n + j]).toBe(sum)
      }
    }
  })

  test('of a block of images is those rows of the whole', () => {
    const [n, dims] = [23, 300]
    const next = integers(5)
    const images = Int8Array.from({ length: n * dims }, () => next(256) - 128)
    const noise = Uint8Array.from({ length: n * dims }, () => next(128))
    const whole = new Int32Array(n * n)
    benefitInt8(images, noise, n, n, dims, whole)
    for (const [first, end] of [
      [0, 1],
      [4, 11],
      [20, 23],
    ]) {
      const block = new Int32Array((end - first) * n)
      benefitInt8(images.subarray(first * dims, end * dims), noise, end - first, n, dims, block)
      expect(block).toEqual(whole.slice(first * n, end * n))
    }
  })

  test('holds the largest sums of 132,104 dimensions, the most that int32 can', () => {
    const n = 3
    const dims = 132_104
    const images = new Int8Array(n * dims)
      .fill(-128, 0, dims)
      .fill(127, dims, 2 * dims)
      .fill(-128, 2 * dims)
    const noise = new Uint8Array(n * dims)
      .fill(127, 0, dims)
      .fill(0, dims, 2 * dims)
      .fill(127, 2 * dims)
    const benefit = new Int32Array(n * n)
    benefitInt8(images, noise, n, n, dims, benefit)
    const least = -128 * 127 * dims
    expect(least).toBeGreaterThanOrEqual(-(2 ** 31))
    expect([...benefit]).toEqual([least, 0, least, 127 * 127 * dims, 0, 127 * 127 * dims, least, 0, least])
  })
})

type Term = (x: number, y: number) => number

describe.each<[name: string, kernel: typeof costFloat32, sign: 1 | -1, exact: Term]>([
  ['products', costFloat32, -1, (x, y) => x * y],
  ['L1 distances', costL1, 1, (x, y) => Math.abs(x - y)],
])('the float32 cost matrix of %s', (_name, kernel, sign, exact) => {
  /** The order of sums as cost.ts states it, element by element. Where a term is rounded to float64 first, float32 makes the same of it (53 bits >= 2 x 24 + 2). */
  function stated(x: Float32Array, y: Float32Array): number {
    let total = 0
    for (let begin = 0; begin < x.length; begin += 1024) {
      const lanes = [0, 0, 0, 0]
      for (let d = begin; d < Math.min(begin + 1024, x.length); d++) lanes[d % 4] = fround(lanes[d % 4] + fround(exact(x[d], y[d])))
      total = fround(total + sign * fround(fround(lanes[0] + lanes[1]) + fround(lanes[2] + lanes[3])))
    }
    return total
  }

  test.each(SHAPES)('of %i rows with %i dimensions has the stated order of sums, bit for bit', (n, dims) => {
    const images = gaussian(1, n, dims)
    const noise = gaussian(2, n, dims)
    const cost = new Float32Array(n * n).fill(7)
    kernel(images, noise, n, dims, cost)
    for (let i = 0; i < n; i++) {
      for (let j = 0; j < n; j++) {
        const [x, y] = [images.subarray(i * dims, (i + 1) * dims), noise.subarray(j * dims, (j + 1) * dims)]
        expect(cost[i * n + j]).toBe(stated(x, y))
        const sum = x.reduce((before, value, d) => before + sign * exact(value, y[d]), 0)
        expect(Math.abs(cost[i * n + j] - sum)).toBeLessThan(1e-5 * dims)
      }
    }
  })
})
