/** The MNIST family as it is published: digits in IDX files, plain and gzip, under both of their names. */
import { cpSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { afterAll, afterEach, beforeAll, expect, test, vi } from 'vitest'
import { idxDataset } from '../../../protocol/dataset.ts'
import { openIdx } from '../../../ts/dataset/idx.ts'
import { decodeAll, expectRefused, makeFiles, testFolder, type Files } from '../../fixture/dataset.ts'

const [TRAIN, TEST] = [20, 12]

let files: Files<{ readonly labels: number[] }>
const at = (...names: string[]): string => join(files.folder, ...names)

beforeAll(async () => {
  files = (await makeFiles(`
import gzip, struct
from sklearn.datasets import load_digits
digits = load_digits()
images, labels = np.zeros((${TRAIN + TEST}, 10, 8), np.uint8), digits.target[:${TRAIN + TEST}].astype(np.uint8)
images[:, 1:9] = digits.images[:len(images)] * 15
images.tofile(folder / 'images.bin')
for style, dash, pack in (('plain', '-', bytes), ('gzip', '-', gzip.compress), ('dots', '.', bytes), ('dots-gzip', '.', gzip.compress)):
    (folder / style).mkdir()
    for prefix, part in (('train', slice(0, ${TRAIN})), ('t10k', slice(${TRAIN}, None))):
        for what, array in (('images', images[part]), ('labels', labels[part])):
            header = struct.pack('>HBB', 0, 8, array.ndim) + struct.pack(f'>{array.ndim}I', *array.shape)
            name = f'{prefix}-{what}{dash}idx{array.ndim}-ubyte' + ('.gz' if pack is gzip.compress else '')
            (folder / style / name).write_bytes(pack(header + array.tobytes()))
answer = {'labels': labels.tolist()}
`)) as typeof files
})
afterAll(() => files.remove())
afterEach(() => vi.unstubAllEnvs())

const open = (path: string | null, options = {}) => openIdx(idxDataset.parse({ kind: 'idx', path, ...options }))
const imagesOf = (from: number, to: number): Buffer => readFileSync(at('images.bin')).subarray(from * 80, to * 80)

test.each(['plain', 'gzip', 'dots', 'dots-gzip'])('%s: images and labels of each split', async (style) => {
  for (const [split, from, to] of [
    ['train', 0, TRAIN],
    ['test', TRAIN, TRAIN + TEST],
    ['all', 0, TRAIN + TEST],
  ] as const) {
    const decoded = await decodeAll(open(at(style), { split }))
    expect(decoded).toMatchObject({ imageShape: [1, 10, 8], numImages: to - from, labels: files.answer.labels.slice(from, to) })
    expect(decoded.data.equals(imagesOf(from, to))).toBe(true)
    expect(decoded.classNames).toEqual(['0', '1', '2', '3', '4', '5', '6', '7', '8', '9'])
    expect(decoded.notes[0]).toContain('as published there are')
  }
})

test('fashion-mnist has names for its classes', async () => {
  const source = open(at('plain'), { name: 'fashion-mnist', split: 'test' })
  expect(source.name).toBe('fashion-mnist-test')
  expect((await decodeAll(source)).classNames).toContain('Sneaker')
})

test('without a path it is what was downloaded, or the error says what to do', async () => {
  const home = testFolder()
  vi.stubEnv('IMMISCIBLE_HOME', home)
  const folder = join(home, 'downloads', 'fashion-mnist')
  await expectRefused(
    async () => open(null, { name: 'fashion-mnist' }),
    folder,
    /run immiscible data fetch fashion-mnist, or set dataset.path/,
  )
  cpSync(at('gzip'), folder, { recursive: true })
  expect((await decodeAll(open(null, { name: 'fashion-mnist' }))).numImages).toBe(TRAIN)
})

const IMAGES = 'train-images-idx3-ubyte'
const LABELS = 'train-labels-idx1-ubyte'

test.each<[string, string, (bytes: Buffer) => Buffer, RegExp]>([
  ['cut off in the header', IMAGES, (bytes) => bytes.subarray(0, 10), /expected a header of 16 bytes, got 10 bytes/],
  ['cut off', IMAGES, (bytes) => bytes.subarray(0, -1), /expected 1600 bytes for 20 x 10 x 8, got 1599: truncated/],
  ['too long', IMAGES, (bytes) => Buffer.concat([bytes, bytes]), /expected 1600 bytes for 20 x 10 x 8, got 3216/],
  ['labels as images', IMAGES, () => readFileSync(at('plain', LABELS)), /expected the magic number 2051 .*, got 2049/],
  ['of floats', IMAGES, (bytes) => Buffer.concat([Buffer.from([0, 0, 13, 3]), bytes.subarray(4)]), /expected the magic number 2051/],
  [
    'without pixels',
    IMAGES,
    () => Buffer.from([0, 0, 8, 3, 0, 0, 0, 20, 0, 0, 0, 0, 0, 0, 0, 8]),
    /expected images with pixels, got 0 x 8/,
  ],
  ['of immense size', IMAGES, (bytes) => Buffer.concat([bytes.subarray(0, 4), Buffer.alloc(12, 255)]), /truncated/],
  ['too few labels', LABELS, () => readFileSync(at('plain', 't10k-labels-idx1-ubyte')), /expected 20 labels, got 12/],
  [
    'a label of none',
    LABELS,
    (bytes) => Buffer.concat([bytes.subarray(0, 10), Buffer.from([10]), bytes.subarray(11)]),
    /expected labels 0 to 9, got 10 of image 2/,
  ],
  ['gzip cut off', IMAGES, (bytes) => gzipSync(bytes).subarray(0, 100), /expected a gzip file/],
  ['gzip changed', IMAGES, (bytes) => Buffer.concat([gzipSync(bytes).subarray(0, -6), Buffer.alloc(6)]), /expected a gzip file/],
])('%s: refused by the name of the file', async (_what, name, change, pattern) => {
  const folder = testFolder()
  cpSync(at('plain'), folder, { recursive: true })
  expect((await decodeAll(open(folder))).numImages).toBe(TRAIN)
  writeFileSync(join(folder, name), change(readFileSync(join(folder, name))))
  await expectRefused(() => decodeAll(open(folder)), join(folder, name), pattern)
})

test('a gzip bomb is not inflated past the limit', async () => {
  const folder = testFolder()
  cpSync(at('plain'), folder, { recursive: true })
  writeFileSync(join(folder, IMAGES), gzipSync(Buffer.alloc(2 ** 28 + 1), { level: 1 }))
  await expectRefused(() => decodeAll(open(folder)), join(folder, IMAGES), /expected a gzip file, got what cannot be inflated/)
})

test('a file that is not there', async () => {
  const folder = testFolder()
  cpSync(at('gzip'), folder, { recursive: true })
  rmSync(join(folder, `${LABELS}.gz`))
  await expectRefused(async () => open(folder), folder, /expected a folder with train-labels-idx1-ubyte \(or .*\), got none of them/)
  expect((await decodeAll(open(folder, { split: 'test' }))).numImages).toBe(TEST)
  await expectRefused(async () => open(join(folder, 'no')), join(folder, 'no'), /got none of them/)
})

test('two parts of different size are refused', async () => {
  const folder = testFolder()
  cpSync(at('plain'), folder, { recursive: true })
  const name = 't10k-images-idx3-ubyte'
  const bytes = readFileSync(join(folder, name))
  bytes.writeUInt32BE(8, 8)
  bytes.writeUInt32BE(10, 12)
  writeFileSync(join(folder, name), bytes)
  await expectRefused(() => decodeAll(open(folder, { split: 'all' })), join(folder, name), /expected images of 10 x 8, got 8 x 10/)
})
