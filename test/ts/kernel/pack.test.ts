import fc from 'fast-check'
import { expect, test } from 'vitest'
import { plainKernel } from '../../../ts/kernel/plain.ts'

const { packFloats, packNoise, packPixels } = plainKernel

function packedNoise(...values: number[]): number[] {
  const out = new Uint8Array(values.length)
  packNoise(Float32Array.from(values), out)
  return [...out]
}

test('pixels 0 .. 255 become -128 .. 127', () => {
  const out = new Int8Array(256)
  packPixels(
    Uint8Array.from({ length: 256 }, (_, pixel) => pixel),
    out,
  )
  expect([...out]).toEqual(Array.from({ length: 256 }, (_, pixel) => pixel - 128))
})

test('noise becomes 16 levels per standard deviation, clamped to 7 bits around 64', () => {
  expect(packedNoise(0, 1, -1, 3.9375, 3.97, 4, 100, 1e30, -4, -4.1, -1e30)).toEqual([64, 80, 48, 127, 127, 127, 127, 127, 0, 0, 0])
})

test('halfway noise levels go to the even one', () => {
  expect(packedNoise(0.5 / 16, 1.5 / 16, 2.5 / 16, -0.5 / 16, -1.5 / 16, -2.5 / 16)).toEqual([64, 66, 66, 64, 62, 62])
})

test('noise within the clamp is off by half a level at most', () => {
  fc.assert(
    fc.property(fc.float({ min: -4, max: 3.9375, noNaN: true }), (value) => {
      const [level] = packedNoise(value)
      expect(Math.abs((level - 64) / 16 - value)).toBeLessThanOrEqual(1 / 32)
    }),
  )
})

test('floats fill int8 by their largest magnitude, and the scale brings them back within half a step', () => {
  const values = fc.float32Array({ minLength: 1, maxLength: 64, noNaN: true, noDefaultInfinity: true })
  fc.assert(
    fc.property(values, (floats) => {
      const out = new Int8Array(floats.length)
      const scale = packFloats(floats, out)
      const largest = Math.max(...floats.map(Math.abs))
      fc.pre(largest >= 2 ** -120)
      expect(Math.max(...out.map(Math.abs))).toBe(127)
      floats.forEach((value, at) => expect(Math.abs(out[at] * scale - value) / scale).toBeLessThanOrEqual(0.5001))
    }),
  )
})

test('floats that are all zero stay zero', () => {
  const out = new Int8Array(3).fill(9)
  expect(packFloats(new Float32Array(3), out)).toBe(0)
  expect([...out]).toEqual([0, 0, 0])
})

test('a float that is not finite is refused', () => {
  for (const strange of [NaN, Infinity, -Infinity]) {
    expect(() => packFloats(Float32Array.of(1, strange, 2), new Int8Array(3))).toThrow(`expected finite values, got ${strange}`)
  }
})
