/** Decoding in threads: the same images, notes and errors as on one, and never a thread that is left, nor a wait for one that is gone. */
import { execFile } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { Worker } from 'node:worker_threads'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { createDecoder, type DecoderOptions, type ImageDecoder } from '../../../../ts/dataset/image/decode.ts'
import { decodeInOrder, peekShape, type EncodedImage } from '../../../../ts/dataset/image/many.ts'
import { createThreadedDecoder, type ThreadOptions } from '../../../../ts/dataset/image/threads.ts'
import { runPython } from '../../../fixture/python.ts'

const folder = mkdtempSync(join(tmpdir(), 'immiscible-test-'))
let files: EncodedImage[]

beforeAll(async () => {
  await runPython(
    `
from PIL import Image
rng = np.random.default_rng(0)
for at in range(60):
    image = Image.fromarray(rng.integers(0, 256, (50 + at % 7, 60, 3), np.uint8))
    image = image.convert("L") if at % 5 == 0 else image
    image.save(f"{args}/{at:02}." + ["jpg", "png", "webp"][at % 3])
answer = None
`,
    folder,
  )
  files = readdirSync(folder)
    .toSorted()
    .map((name) => ({ name, bytes: async () => readFileSync(join(folder, name)) }))
})
afterAll(() => rmSync(folder, { recursive: true }))

const OPTIONS: DecoderOptions = { resolution: 20, color: 'rgb', resizeFilter: 'bilinear' }
/** From the first image on. */
const AT_ONCE: ThreadOptions = { numThreads: 2, afterMs: 0, imageMs: 0 }
const script = (source: string): URL => new URL(`data:text/javascript,${encodeURIComponent(source)}`)

let numStarted = 0
let numEnded = 0
const listen = (worker: Worker): void => {
  numStarted++
  worker.once('exit', () => numEnded++)
}
process.on('worker', listen)
afterAll(() => process.off('worker', listen))
beforeEach(() => {
  numStarted = 0
  numEnded = 0
})

async function pixelsOf(items: Iterable<EncodedImage>, decoder: ImageDecoder, signal?: AbortSignal): Promise<Buffer> {
  const parts: Uint8Array[] = []
  for await (const { data } of decodeInOrder(items, decoder, signal)) parts.push(data)
  return Buffer.concat(parts)
}

test('images and notes are those of one thread, in their order', async () => {
  const [one, two] = [createDecoder(OPTIONS), createThreadedDecoder(OPTIONS, AT_ONCE)]
  const expected = await pixelsOf(files, one)
  expect(expected.length).toBe(60 * 3 * 20 * 20)
  expect((await pixelsOf(files, two)).equals(expected)).toBe(true)
  expect(two.notes()).toEqual(one.notes())
  expect(two.notes()).toEqual(['8 images in gray became three equal channels'])
  expect([numStarted, numEnded]).toEqual([2, 2])
})

test.each([
  ['few images', { afterMs: 1e6 }],
  ['quick ones', { imageMs: 1e6 }],
  ['one core', { numThreads: 1 }],
])('%s: no threads', async (_what, options) => {
  await pixelsOf(files, createThreadedDecoder(OPTIONS, { ...AT_ONCE, ...options }))
  expect(numStarted).toBe(0)
})

test('bytes are copied: what they are part of stays as it was', async () => {
  const decoder = createThreadedDecoder(OPTIONS, AT_ONCE)
  const whole = readFileSync(join(folder, '03.jpg'))
  const padded = Buffer.concat([Buffer.alloc(1000), whole, Buffer.alloc(1000)])
  const part = padded.subarray(1000, 1000 + whole.length)
  const first = await decoder.decode(part, 'here')
  expect((await decoder.decode(part, 'in a thread')).pixels).toEqual(first.pixels)
  expect(part.equals(whole)).toBe(true)
  expect(numStarted).toBe(2)
  await decoder.close()
  expect(numEnded).toBe(2)
})

test('what cannot be decoded is the same error with its name', async () => {
  // What libvips says more of it may get lost where several images are decoded at once.
  for (const [bytes, message] of [
    [Uint8Array.of(1, 2, 3), 'broken: expected a PNG, JPEG or WebP file, got something else'],
    [readFileSync(join(folder, '03.jpg')).subarray(0, 900), 'broken: the JPEG is corrupt or truncated: '],
  ] as const) {
    const items = files.with(40, { name: 'broken', bytes })
    const expected = { code: 'DATASET', message: expect.stringContaining(message) as string }
    await expect(pixelsOf(items, createDecoder(OPTIONS))).rejects.toMatchObject(expected)
    await expect(pixelsOf(items, createThreadedDecoder(OPTIONS, AT_ONCE))).rejects.toMatchObject(expected)
  }
  expect([numStarted, numEnded]).toEqual([4, 4])
})

test.each([
  ['ends', 'setTimeout(() => process.exit(3), 50)', 'ended with code 3'],
  ['fails', 'throw new Error("boom")', 'failed: boom'],
  [
    'fails at an image',
    'import { parentPort } from "node:worker_threads"; parentPort.on("message", () => nothing())',
    'failed: nothing is not',
  ],
])('a thread that %s is an error, not a wait', async (_what, source, message) => {
  const decoder = createThreadedDecoder(OPTIONS, { ...AT_ONCE, module: script(source) })
  await expect(pixelsOf(files, decoder)).rejects.toMatchObject({
    code: 'DATASET',
    message: expect.stringMatching(new RegExp(`^\\d\\d\\.\\w+: the thread that decodes it ${message}`)) as string,
  })
  expect([numStarted, numEnded]).toEqual([2, 2])
})

test('threads end with the reader, in the middle of their work', async () => {
  const chunks = decodeInOrder(repeat(), createThreadedDecoder(OPTIONS, AT_ONCE))
  await chunks.next()
  expect(numStarted).toBe(2)
  await chunks.return(undefined)
  const peeked = await peekShape(decodeInOrder(repeat(), createThreadedDecoder(OPTIONS, AT_ONCE)))
  await peeked?.chunks.next()
  await peeked?.chunks.return(undefined)
  expect([numStarted, numEnded]).toEqual([4, 4])
  const abort = new AbortController()
  setTimeout(() => abort.abort(new Error('enough')), 50)
  await expect(pixelsOf(repeat(), createThreadedDecoder(OPTIONS, AT_ONCE), abort.signal)).rejects.toThrow('enough')
  expect([numStarted, numEnded]).toEqual([6, 6])
})

test('threads that nobody closed let the process end, but not before they are done', async () => {
  const program = `
    import { readFileSync } from 'node:fs'
    import { createThreadedDecoder } from ${JSON.stringify(import.meta.resolve('../../../../ts/dataset/image/threads.ts'))}
    const decoder = createThreadedDecoder(${JSON.stringify(OPTIONS)}, ${JSON.stringify(AT_ONCE)})
    const bytes = readFileSync(${JSON.stringify(join(folder, '03.jpg'))})
    for (let at = 0; at < 3; at++) console.log((await decoder.decode(bytes, 'one')).pixels.length)`
  const path = join(folder, 'program.mjs')
  writeFileSync(path, program)
  const { stdout } = await promisify(execFile)(process.execPath, [path], { timeout: 10_000 })
  expect(stdout).toBe('1200\n1200\n1200\n')
})

test('timers go on while it decodes here', async () => {
  let turns = 0
  const timer = setInterval(() => turns++, 1)
  const [bytes, name] = [readFileSync(join(folder, '03.jpg')), 'one']
  await pixelsOf(
    Array.from({ length: 300 }, () => ({ name, bytes })),
    createThreadedDecoder(OPTIONS, { numThreads: 1 }),
  )
  clearInterval(timer)
  expect(turns).toBeGreaterThan(5)
})

function* repeat(): Generator<EncodedImage> {
  for (;;) yield* files
}
