/** The bytes that this side sends are the committed ones; test/py/test_golden_frames.py reads the same files. `UPDATE_GOLDEN=1 npx vitest run test/protocol` rewrites them. */
import { readFileSync, writeFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { GOLDEN, packFrames } from '../fixture/golden-frames.ts'

for (const [name, frames] of Object.entries(GOLDEN)) {
  test(`${name} is encoded as in protocol/golden`, () => {
    const file = new URL(`../../protocol/golden/${name}.frames`, import.meta.url)
    const bytes = packFrames(frames())
    if (process.env['UPDATE_GOLDEN']) writeFileSync(file, bytes)
    expect(bytes.equals(readFileSync(file))).toBe(true)
  })
}

test('a batch is the prefix, the header and one frame per tensor', () => {
  const frames = GOLDEN['batch-float16']()
  expect(frames.map((frame) => frame.byteLength).filter((_, at) => at !== 1)).toEqual([64, 8, 16, 8, 24])
})
