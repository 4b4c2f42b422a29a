import { pack } from 'msgpackr'
import { expect, test } from 'vitest'
import { decodeEvent, encodeBatch } from '../../../ts/worker/codec.ts'

test('an event is read as it was said', () => {
  expect(decodeEvent(pack({ kind: 'credit', step: 3, heldMs: 0.5 }))).toEqual({ kind: 'credit', step: 3, heldMs: 0.5 })
})

test.each([
  ['bytes cut short', pack({ kind: 'credit', step: 70000, heldMs: 0.5 }).subarray(0, 9), /got 9 bytes that are none/],
  ['an array that claims 2^31 entries', Uint8Array.of(0xdd, 0x7f, 0xff, 0xff, 0xff), /none/],
  ['a kind that does not exist', pack({ kind: 'shell', step: 3 }), /event\.kind/],
  ['a missing field', pack({ kind: 'credit', heldMs: 0.5 }), /event\.step/],
  ['a field too many', pack({ kind: 'credit', step: 3, heldMs: 0.5, run: 'rm' }), /Unrecognized key/],
  ['a fraction where a count is due', pack({ kind: 'credit', step: 3.5, heldMs: 0.5 }), /event\.step/],
  ['no map at all', pack([1, 2, 3]), /event/],
])('%s is refused with what was expected', (_, frame, message) => {
  expect(() => decodeEvent(frame)).toThrow(message)
})

test('a tensor whose memory is not what its header says is never sent', () => {
  const spec = { name: 'images', dtype: 'uint8' as const, shape: [4], byteLength: 4, crc32: 0 }
  const header = { kind: 'batch' as const, split: 'train' as const, step: 0, epoch: 0, numImages: 4, tensors: [spec], telemetry: [] }
  expect(() => encodeBatch('0'.repeat(32), 0, header, [{ spec, data: new Uint8Array(5) }])).toThrow(
    'tensor images: expected 4 bytes, got 5',
  )
})

test('every view is sent as its bytes, an offset kept', () => {
  const floats = Float32Array.of(1, 2, 3).subarray(1)
  const spec = { name: 'noise', dtype: 'float32' as const, shape: [2], byteLength: 8, crc32: 0 }
  const header = { kind: 'batch' as const, split: 'train' as const, step: 0, epoch: 0, numImages: 2, tensors: [spec], telemetry: [] }
  const frame = encodeBatch('0'.repeat(32), 0, header, [{ spec, data: floats }])[2]
  expect(frame).toBeInstanceOf(Uint8Array)
  expect([...new Float32Array(frame.slice().buffer)]).toEqual([2, 3])
})
