import fc from 'fast-check'
import { expect, test } from 'vitest'
import { philox } from '../../../ts/kernel/philox.ts'

function hex(...[c0, c1, c2, c3, k0, k1]: [number, number, number, number, number, number]): string {
  const out = new Uint32Array(4)
  philox(c0, c1, c2, c3, k0, k1, out, 0)
  return Array.from(out, (word) => word.toString(16).padStart(8, '0')).join(' ')
}

/** The definition of Salmon et al. 2011, in big integers. */
function reference(counter: readonly number[], key: readonly number[]): number[] {
  let [c0, c1, c2, c3] = counter.map(BigInt) as [bigint, bigint, bigint, bigint]
  let [k0, k1] = key.map(BigInt) as [bigint, bigint]
  for (let round = 0; round < 10; round++) {
    const product0 = 0xd2511f53n * c0
    const product1 = 0xcd9e8d57n * c2
    ;[c0, c1, c2, c3] = [(product1 >> 32n) ^ c1 ^ k0, product1 & 0xffffffffn, (product0 >> 32n) ^ c3 ^ k1, product0 & 0xffffffffn]
    k0 = (k0 + 0x9e3779b9n) & 0xffffffffn
    k1 = (k1 + 0xbb67ae85n) & 0xffffffffn
  }
  return [c0, c1, c2, c3].map(Number)
}

test('Philox4x32-10 gives the known answers that its authors published', () => {
  expect(hex(0, 0, 0, 0, 0, 0)).toBe('6627e8d5 e169c58d bc57ac4c 9b00dbd8')
  const ones = 0xffff_ffff
  expect(hex(ones, ones, ones, ones, ones, ones)).toBe('408f276d 41c83b0e a20bc7c6 6d5451fd')
  expect(hex(0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344, 0xa4093822, 0x299f31d0)).toBe('d16cfe09 94fdcceb 5001e420 24126ea1')
})

test('Philox4x32-10 is its definition in big integers, for any counter and key', () => {
  const word = fc.nat({ max: 0xffff_ffff })
  fc.assert(
    fc.property(fc.tuple(word, word, word, word), fc.tuple(word, word), ([c0, c1, c2, c3], [k0, k1]) => {
      const out = new Uint32Array(6)
      philox(c0, c1, c2, c3, k0, k1, out, 1)
      expect([...out]).toEqual([0, ...reference([c0, c1, c2, c3], [k0, k1]), 0])
    }),
    { numRuns: 300 },
  )
})
