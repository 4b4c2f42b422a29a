import { pack } from 'msgpackr'
import { expect, test } from 'vitest'
import { findExcess } from '../../../ts/worker/bounds.ts'

const bytes = (hex: string): Uint8Array => Uint8Array.from(Buffer.from(hex.replaceAll(' ', ''), 'hex'))

test.each([
  [{}],
  [{ kind: 'credit', step: 3, heldMs: 0.5 }],
  [{ a: [1, -1, 2 ** 31, 1e300, 'ü', null, true, [], {}], b: 'x'.repeat(70_000), c: Array.from({ length: 300 }, (_, at) => at - 150) }],
  [Array.from({ length: 9000 }, () => 0)],
])('%j is one plain value', (value) => {
  expect(findExcess(pack(value))).toBeUndefined()
})

test.each([
  ['nothing', '', /beyond its end/],
  ['a string cut short', 'a5 61 62', /5 bytes with 2 left/],
  ['a length cut short', 'db 00 00', /length beyond its end/],
  ['an array of 2^32 - 1', 'dd ff ff ff ff', /4294967295 entries with 0 bytes left/],
  ['a map of 2^16 - 1 with a few bytes', 'de ff ff a0 a0', /65535 entries/],
  ['an extension', 'd4 01 00', /type 0xd4/],
  ['bytes', 'c4 01 00', /type 0xc4/],
  ['the type that is none', 'c1', /type 0xc1/],
  ['a second value', '01 02', /1 bytes after its end/],
  ['nine levels and one more', '91'.repeat(10) + '01', /levels/],
])('%s is refused', (_, hex, message) => {
  expect(findExcess(bytes(hex))).toMatch(message)
})

test('a megabyte of nothing is refused for its number', () => {
  const frame = new Uint8Array(1 << 20).fill(0x80)
  frame.set(bytes('dd 00 0f ff fb'))
  expect(findExcess(frame)).toMatch(/more than 10000 values/)
})
