import fc from 'fast-check'
import { expect, test } from 'vitest'
import { fromFloat16, toFloat16 } from '../../../ts/kernel/half.ts'

/** Node 24 has it, Node 22 not. */
const f16round = (Math as { f16round?: (value: number) => number }).f16round

const isNaNHalf = (half: number): boolean => (half & 0x7fff) > 0x7c00
const allHalves = Uint16Array.from({ length: 65_536 }, (_, half) => half)

function halvesOf(values: Float32Array): Uint16Array {
  const out = new Uint16Array(values.length)
  toFloat16(values, out)
  return out
}

function floatsOf(halves: Uint16Array): Float32Array {
  const out = new Float32Array(halves.length)
  fromFloat16(halves, out)
  return out
}

test('each of the 65,536 halves becomes a float32 and comes back', () => {
  const back = halvesOf(floatsOf(allHalves))
  expect(back.filter((half, at) => half !== at && !(isNaNHalf(at) && isNaNHalf(half)))).toEqual(new Uint16Array())
})

test('halfway between neighbours rounds to the even one, a hair beside it to the nearer one', () => {
  const floats = floatsOf(allHalves)
  const bits = new Int32Array(1)
  const float = new Float32Array(bits.buffer)
  for (let half = 0; half < 0x7c00; half++) {
    // After the largest half comes 65536, which rounds to infinity (0x7c00): the rule is the same there.
    const middle = (floats[half] + (half === 0x7bff ? 65_536 : floats[half + 1])) / 2
    float[0] = middle
    const even = half + (half & 1)
    bits[0] -= 1
    const below = float[0]
    bits[0] += 2
    const above = float[0]
    const got = halvesOf(Float32Array.of(below, middle, above, -below, -middle, -above))
    if (got.join() !== [half, even, half + 1, half | 0x8000, even | 0x8000, (half + 1) | 0x8000].join()) {
      expect.fail(`around half ${half}: ${got.join()}`)
    }
  }
})

test('zeros, infinities and NaN keep their sign and kind', () => {
  expect(halvesOf(Float32Array.of(0, -0, Infinity, -Infinity, NaN, 65_519, 65_520, 1e30, -1e30, 2 ** -25, 1e-45))).toEqual(
    Uint16Array.of(0, 0x8000, 0x7c00, 0xfc00, 0x7e00, 0x7bff, 0x7c00, 0x7c00, 0xfc00, 0, 0),
  )
})

test.runIf(f16round)('any float32 rounds as Math.f16round does', () => {
  const sample = fc.uint8Array({ minLength: 4000, maxLength: 4000 }).map((bytes) => new Float32Array(bytes.slice().buffer))
  fc.assert(
    fc.property(sample, (values) => {
      const rounded = floatsOf(halvesOf(values))
      expect(rounded).toEqual(values.map((value) => (f16round as (value: number) => number)(value)))
    }),
    { numRuns: 50 },
  )
})
