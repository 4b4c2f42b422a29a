import { describe, expect, test } from 'vitest'
import { philox } from '../../../ts/kernel/philox.ts'
import { plainKernel } from '../../../ts/kernel/plain.ts'
import { failures, normalScores, pairScores } from '../../fixture/statistics.ts'

const MILLION = 1_000_000

function draw(seed: number, stream: number, keys: readonly bigint[], dims: number): Float32Array<ArrayBuffer> {
  const out = new Float32Array(keys.length * dims)
  plainKernel.normal(seed, stream, BigUint64Array.from(keys), dims, out)
  return out
}

const row = draw(1, 2, [3n], MILLION)

describe('a million normals', () => {
  test('in one row have the moments, the distribution, the tails and the independence of normals', () => {
    expect(failures(normalScores(row))).toEqual([])
  })

  test('in a thousand rows have them too', () => {
    const keys = Array.from({ length: 1000 }, (_, key) => BigInt(key))
    expect(failures(normalScores(draw(1, 2, keys, 1000)))).toEqual([])
  })

  test.each([
    ['seed', draw(2, 2, [3n], MILLION)],
    ['stream', draw(1, 3, [3n], MILLION)],
    ['key', draw(1, 2, [4n], MILLION)],
    ['high word of the key', draw(1, 2, [3n + 2n ** 32n], MILLION)],
  ])('are independent of those of another %s', (_, other) => {
    expect(failures(pairScores(row, other))).toEqual([])
  })

  const map = (change: (value: number, at: number) => number): Float32Array => row.map(change)
  test.each([
    ['are moved by 0.01', map((value) => value + 0.01), 'mean'],
    ['are 1 % too long', map((value) => value * 1.01), 'variance'],
    ['are skewed', map((value) => value + 0.01 * (value * value - 1)), 'third'],
    ['lose their tails', map((value) => Math.max(-4, Math.min(4, value))), 'beyond4'],
    ['are sums of twelve uniforms', sumsOfUniforms(), 'fourth'],
    ['are rounded to tenths', map((value) => Math.round(value * 10) / 10), 'ks'],
    ['lean on their neighbours', map((value, at) => (value + 0.01 * row[Math.max(0, at - 1)]) / Math.hypot(1, 0.01)), 'lag 1 linear'],
    ['share a radius across pairs', map((value, at) => (at % 16 >= 8 ? row[at - 8] * (at % 3 ? 1 : -1) : value)), 'lag 8 squares'],
    ['are drawn again after 1,024', map((_, at) => row[at % 2048 < 1024 ? at : at - 1024]), 'lag 1024 linear'],
  ])('that %s are rejected by the same checks', (_, broken, expectedFailure) => {
    expect(failures(normalScores(broken))).toContain(expectedFailure)
  })

  test('that come from the same counter twice are rejected as dependent', () => {
    expect(failures(pairScores(row, draw(1, 2, [3n], MILLION)))).toEqual(['linear', 'squares'])
  })

  function sumsOfUniforms(): Float32Array {
    const words = new Uint32Array(12)
    return Float32Array.from({ length: MILLION }, (_, at) => {
      for (let block = 0; block < 3; block++) philox(block, at, 0, 0, 0, 0, words, 4 * block)
      return words.reduce((sum, word) => sum + word / 2 ** 32, -6)
    })
  }
})

test('elements come from the blocks and words that normal.ts states, within 3 float32 roundings of the exact formula', () => {
  const [seed, stream, key, dims] = [5, 9, 2n ** 40n + 7n, 4096]
  const got = draw(seed, stream, [key], dims)
  const words = new Uint32Array(4)
  for (let block = 0; block < dims / 4; block++) {
    philox(block, 7, 256, stream, seed, 0, words, 0)
    for (const pair of [0, 1]) {
      const radius = Math.sqrt(-2 * Math.log((words[2 * pair] + 0.5) / 2 ** 32))
      const angle = ((words[2 * pair + 1] >>> 30) + (words[2 * pair + 1] << 2) / 2 ** 32) * (Math.PI / 2)
      const first = 16 * Math.floor(block / 4) + 8 * pair + (block % 4)
      expect(Math.abs(got[first] - radius * Math.cos(angle))).toBeLessThan(2e-6)
      expect(Math.abs(got[first + 4] - radius * Math.sin(angle))).toBeLessThan(2e-6)
    }
  }
})

test('the tail goes beyond 6 standard deviations where the word says so', () => {
  const words = new Uint32Array(4)
  philox(174, 2384, 0, 7, 1, 0, words, 0)
  expect(words[0]).toBe(10)
  const got = draw(1, 7, [2384n], 704)
  expect(Math.hypot(got[16 * 43 + 2], got[16 * 43 + 6])).toBeCloseTo(Math.sqrt(-2 * Math.log(10.5 / 2 ** 32)), 5)
})

test('a row depends on its key alone, and a shorter row is the beginning of a longer one', () => {
  const together = draw(1, 2, [5n, 6n, 2n ** 63n], 50)
  for (const [at, key] of [6n, 2n ** 63n].entries()) {
    for (const dims of [1, 2, 15, 16, 17, 33, 50]) {
      expect(draw(1, 2, [key], dims)).toEqual(together.slice((at + 1) * 50, (at + 1) * 50 + dims))
    }
  }
})

test('every value is finite', () => {
  expect(row.every((value) => Number.isFinite(value))).toBe(true)
})
