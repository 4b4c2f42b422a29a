/** The cache of decoded data sets: decoded once, whole or not at all, and never a changed byte. */
import { spawn } from 'node:child_process'
import { appendFileSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, truncateSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Worker } from 'node:worker_threads'
import { expect, test, vi } from 'vitest'
import { datasetConfig } from '../../../protocol/dataset.ts'
import { cleanDatasets, listDatasets } from '../../../ts/data.ts'
import { explainWrite } from '../../../ts/dataset/cache/folder.ts'
import { cacheContent, cacheSource, datasetsFolder, listCached, openCached } from '../../../ts/dataset/cache/index.ts'
import type { Chunk, DatasetSource } from '../../../ts/dataset/source.ts'
import { openDataset } from '../../../ts/dataset/table.ts'
import { openStored } from '../../../ts/dataset/stored.ts'
import { useTemporaryHome } from '../../fixture/home.ts'

const SHAPE = [1, 2, 3] as const
const NUM_IMAGES = 50
const pixelsOf = (index: number): Uint8Array => Uint8Array.from({ length: 6 }, (_, at) => (index * 7 + at) % 256)

const home = useTemporaryHome()

interface Changes {
  readonly version?: number
  chunks?(): AsyncIterable<Chunk> | Iterable<Chunk>
  onDecode?(): void
}

function sourceOf({ version = 1, chunks = imagesInTens, onDecode }: Changes = {}): DatasetSource {
  return {
    name: 'numbers',
    source: '/data/numbers',
    licence: 'none',
    identity: { version },
    async decode() {
      onDecode?.()
      return { imageShape: SHAPE, classNames: ['even', 'odd'], numImages: NUM_IMAGES, chunks: chunks(), notes: () => ['nothing changed'] }
    },
  }
}

function* imagesInTens(): Generator<Chunk> {
  for (let first = 0; first < NUM_IMAGES; first += 10) {
    const indices = Array.from({ length: 10 }, (_, at) => first + at)
    yield { data: Buffer.concat(indices.map(pixelsOf)), labels: indices.map((index) => index % 2) }
  }
}

test('what was decoded is read back, from memory and from its file, on this thread and on another', async () => {
  const { folder, record } = await cacheSource(sourceOf())
  expect(record).toMatchObject({ numImages: NUM_IMAGES, imageShape: [1, 2, 3], classNames: ['even', 'odd'], notes: ['nothing changed'] })
  for (const memoryBytes of [Infinity, 6 * NUM_IMAGES, 6 * NUM_IMAGES - 1, 0]) {
    const dataset = openCached(folder, record, memoryBytes)
    expect(dataset.stored.images instanceof Uint8Array).toBe(memoryBytes >= 6 * NUM_IMAGES)
    expect(dataset).toMatchObject({ name: 'numbers', numImages: NUM_IMAGES, numClasses: 2, dtype: 'uint8', sha256: record.sha256 })
    const [here, there] = [Buffer.alloc(8), Buffer.alloc(8)]
    for (const index of [0, 17, NUM_IMAGES - 1]) {
      dataset.read(index, here, 1)
      expect([...here.subarray(1, 7)]).toEqual([...pixelsOf(index)])
      openStored(structuredClone(dataset.stored)).read(index, there, 1)
      expect(there).toEqual(here)
    }
    expect([...(dataset.labels ?? [])]).toEqual(Array.from({ length: NUM_IMAGES }, (_, index) => index % 2))
  }
})

test('a thread gets the memory itself, not a copy of it', async () => {
  const { folder, record } = await cacheSource(sourceOf())
  const { stored } = openCached(folder, record, Infinity)
  const thread = new Worker(
    "const { parentPort, workerData: { images, labels } } = require('node:worker_threads'); images[3] = 77; labels[1] = 5; parentPort.postMessage(0)",
    { eval: true, workerData: stored },
  )
  await new Promise((resolve) => thread.once('message', resolve))
  expect([(stored.images as Uint8Array)[3], stored.labels?.[1]]).toEqual([77, 5])
  await thread.terminate()
})

test('it is decoded once; another identity is decoded anew', async () => {
  const onDecode = vi.fn<() => void>()
  for (let time = 0; time < 3; time++) await cacheSource(sourceOf({ onDecode }))
  expect(onDecode).toHaveBeenCalledTimes(1)
  await cacheSource(sourceOf({ onDecode, version: 2 }))
  expect(onDecode).toHaveBeenCalledTimes(2)
  expect(listCached().map(({ record }) => record?.name)).toEqual(['numbers', 'numbers'])
})

test('two that ask at once: one decodes, the other waits for it', async () => {
  const onDecode = vi.fn<() => void>()
  const onWait = vi.fn<(pid: number) => void>()
  async function* slowly(): AsyncGenerator<Chunk> {
    for (const chunk of imagesInTens()) {
      await new Promise((resolve) => setTimeout(resolve, 60))
      yield chunk
    }
  }
  const both = await Promise.all([0, 1].map(() => cacheSource(sourceOf({ onDecode, chunks: slowly }), { onWait })))
  expect(both[0]).toEqual(both[1])
  expect(onDecode).toHaveBeenCalledTimes(1)
  expect(onWait).toHaveBeenCalledWith(process.pid)
})

test('a process that is killed while it decodes leaves nothing that counts, and the next one sweeps it', async () => {
  const script = fileURLToPath(new URL('../../fixture/endless-decoding.ts', import.meta.url))
  const child = spawn(process.execPath, [script], {
    env: { ...process.env, IMMISCIBLE_HOME: home() },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  await new Promise((resolve) => child.stdout.once('data', resolve))
  const left = readdirSync(datasetsFolder())
  expect(left.some((name) => name.includes('.tmp-'))).toBe(true)
  child.kill('SIGKILL')
  await new Promise((resolve) => child.once('exit', resolve))
  expect(listCached()).toEqual([])
  const { record } = await cacheSource(sourceOf())
  expect(record.numImages).toBe(NUM_IMAGES)
  expect(readdirSync(datasetsFolder()).filter((name) => name.includes('.tmp-') || name.endsWith('.lock'))).toEqual([])
})

test('aborting ends it, and leaves nothing', async () => {
  const controller = new AbortController()
  function* abortingAt20(): Generator<Chunk> {
    let seen = 0
    for (const chunk of imagesInTens()) {
      if ((seen += 10) > 20) controller.abort()
      yield chunk
    }
  }
  await expect(cacheSource(sourceOf({ chunks: abortingAt20 }), { signal: controller.signal })).rejects.toThrow('abort')
  expect(readdirSync(datasetsFolder())).toEqual([])
})

const bad: readonly [string, () => Iterable<Chunk>, string][] = [
  ['no image', () => [], '/data/numbers: expected images, got none'],
  [
    'half an image',
    () => [{ data: new Uint8Array(9), labels: [0] }],
    '/data/numbers: images from 0 on: expected a multiple of 6 bytes, got 9',
  ],
  ['too few labels', () => [{ data: new Uint8Array(12), labels: [0] }], 'images from 0 on: expected 2 labels, got 1'],
  ['a label beyond the classes', () => [{ data: new Uint8Array(6), labels: [2] }], 'images from 0 on: expected labels 0 to 1, got 2'],
  ['a label that is none', () => [{ data: new Uint8Array(6), labels: [0.5] }], 'images from 0 on: expected labels 0 to 1, got 0.5'],
  [
    'labels for some',
    () => [{ data: new Uint8Array(6), labels: [1] }, { data: new Uint8Array(6) }],
    'images from 1 on: expected a label for every image, or for none',
  ],
  [
    'a source that fails',
    function* fails(): Generator<Chunk> {
      yield { data: new Uint8Array(6) }
      throw new Error('the disk is gone')
    },
    '/data/numbers: cannot be decoded: the disk is gone',
  ],
]
test.each(bad)('%s: one error, and nothing stays', async (_what, chunks, message) => {
  await expect(cacheSource(sourceOf({ chunks }))).rejects.toThrow(message)
  expect(readdirSync(datasetsFolder())).toEqual([])
})

const harm: readonly [string, (folder: string) => void, string | RegExp][] = [
  [
    'a changed pixel',
    (folder) => flip(join(folder, 'images.bin'), 6 * 17),
    /images\.bin has changed since it was decoded: image 17: expected CRC-32/,
  ],
  [
    'an image too few',
    (folder) => truncateSync(join(folder, 'images.bin'), 294),
    'images.bin has changed since it was decoded: expected 300 bytes, got 294',
  ],
  ['a byte too many', (folder) => appendFileSync(join(folder, 'images.bin'), 'x'), 'expected 300 bytes, got 301'],
  ['no images', (folder) => rmSync(join(folder, 'images.bin')), 'expected 300 bytes, got no file'],
  ['a changed label', (folder) => flip(join(folder, 'labels.bin'), 0), /labels\.bin has changed since it was decoded: expected SHA-256/],
  ['a changed checksum', (folder) => flip(join(folder, 'crc32.bin'), 9), /crc32\.bin has changed since it was decoded: expected SHA-256/],
  [
    'no record to speak of',
    (folder) => writeFileSync(join(folder, 'dataset.json'), '{}'),
    /dataset\.json: expected the record of a decoded data set; remove/,
  ],
]
test.each(harm)('%s is refused by name, with what helps; then it is decoded again', async (_what, change, message) => {
  const { folder } = await cacheSource(sourceOf())
  const open = async () => {
    const cached = await cacheSource(sourceOf())
    return openCached(cached.folder, cached.record, Infinity)
  }
  await expect(open(), 'control').resolves.toBeDefined()
  change(folder)
  await expect(open()).rejects.toThrow(message)
  await expect(open()).rejects.toThrow(`remove ${folder}, and it is decoded again`)
  rmSync(folder, { recursive: true })
  await expect(open()).resolves.toBeDefined()
})

test('of a data set in its file a changed image is refused when it is read, and no other', async () => {
  const { folder, record } = await cacheSource(sourceOf())
  const dataset = openCached(folder, record, 0)
  flip(join(folder, 'images.bin'), 6 * 17 + 2)
  const out = new Uint8Array(6)
  for (const index of [0, 16, 18, 49]) expect(() => dataset.read(index, out, 0)).not.toThrow()
  expect(() => dataset.read(17, out, 0)).toThrow('images.bin: image 17 has changed: expected CRC-32')
  rmSync(folder, { recursive: true })
  expect(() => dataset.read(0, out, 0)).toThrow('images.bin: cannot be read: ENOENT')
})

test('the digest is of what is shown: another pixel, label or shape is another', async () => {
  const digests = new Set<string>()
  const digestOf = async (version: number, chunks: () => Iterable<Chunk>, imageShape: readonly [number, number, number] = SHAPE) => {
    const source = sourceOf({ version, chunks })
    const { record } = await cacheSource({ ...source, decode: async (options) => ({ ...(await source.decode(options)), imageShape }) })
    digests.add(record.sha256)
  }
  const image =
    (value: number, labels?: number[]): (() => Chunk[]) =>
    () => [{ data: new Uint8Array(6).fill(value), ...(labels && { labels }) }]
  await digestOf(1, image(1, [0]))
  await digestOf(2, image(2, [0]))
  await digestOf(3, image(1, [1]))
  await digestOf(4, image(1))
  await digestOf(5, image(1, [0]), [1, 3, 2])
  expect(digests.size).toBe(5)
  await digestOf(6, image(1, [0]))
  expect(digests.size, 'control: where it came from does not count').toBe(5)
})

function flip(path: string, at: number): void {
  const bytes = readFileSync(path)
  bytes[at] ^= 1
  writeFileSync(path, bytes)
  expect(existsSync(path)).toBe(true)
}

test('a file that is replaced while it is decoded is not stored as what it was; control: one that stays', async () => {
  const path = join(home(), 'images.npy')
  const header = "{'descr': '|u1', 'fortran_order': False, 'shape': (2, 4, 4), }".padEnd(117) + '\n'
  writeFileSync(path, `\x93NUMPY\x01\x00${String.fromCharCode(header.length)}\x00${header}${'x'.repeat(32)}`, 'latin1')
  const config = datasetConfig.parse({ kind: 'arrays', path })
  const changing = openDataset(config, { onProgress: () => utimesSync(path, 1, 1) })
  await expect(changing).rejects.toMatchObject({ code: 'DATASET', message: `${path}: changed while it was decoded` })
  expect(listCached()).toEqual([])
  expect(await openDataset(config)).toMatchObject({ numImages: 2 })
})

test.each(['IMMISCIBLE_HOME', 'datasets'])('where %s is a file, each call says so in one line', async (which) => {
  const file = which === 'datasets' ? datasetsFolder() : join(home(), 'file')
  writeFileSync(file, '')
  if (which !== 'datasets') vi.stubEnv('IMMISCIBLE_HOME', file)
  const message = `${datasetsFolder()}: expected a folder, got the file ${file}; set IMMISCIBLE_HOME to a folder that you own`
  for (const call of [() => cacheSource(sourceOf()), () => cacheContent(sourceOf())]) await expect(call()).rejects.toThrow(message)
  for (const call of [listDatasets, () => cleanDatasets([]), () => cleanDatasets(['one'])]) expect(call).toThrow(message)
})

test('where no folder can be made, the cache is named, and what sets it', async () => {
  writeFileSync(join(home(), 'file'), '')
  vi.stubEnv('IMMISCIBLE_HOME', join(home(), 'file', 'below'))
  const message = `${datasetsFolder()}: cannot be used (ENOTDIR); set IMMISCIBLE_HOME to a folder that you own`
  await expect(cacheSource(sourceOf())).rejects.toThrow(message)
})

// Root writes where nobody may, and Windows has no such modes.
test.runIf(process.platform !== 'win32' && process.getuid?.() !== 0)('a cache that is read-only is named too', async () => {
  mkdirSync(datasetsFolder(), { mode: 0o555 })
  await expect(cacheSource(sourceOf())).rejects.toThrow(/datasets: cannot be used \(EACCES\); set IMMISCIBLE_HOME/)
})

test('a full disk is that of the cache; what fails in decoding is of the source', async () => {
  const full = Object.assign(new Error('ENOSPC: no space left on device, write'), { code: 'ENOSPC' })
  expect((explainWrite(full) as Error).message).toBe(
    `${datasetsFolder()}: cannot be written: no space left; make room or set IMMISCIBLE_HOME to a folder on a disk with room`,
  )
  const missing = (): Iterable<Chunk> => [{ data: readFileSync('/data/numbers/gone') }]
  await expect(cacheSource(sourceOf({ chunks: missing }))).rejects.toThrow('/data/numbers: cannot be decoded: ENOENT')
})
