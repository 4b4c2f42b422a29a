/** Parquet as pyarrow writes it and as the Hub holds it: images of PNG, compared pixel by pixel, with their labels and classes. */
import { copyFileSync, cpSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest'
import { parquetDataset } from '../../../protocol/dataset.ts'
import { openParquet } from '../../../ts/dataset/parquet.ts'
import { decodeAll, expectRefused, makeFiles, testFolder, type Files } from '../../fixture/dataset.ts'

const N = 30
const NAMES = ['zero', 'one', 'two', 'three', 'four', 'five', 'six', 'seven', 'eight', 'nine']
const CODECS = ['none', 'snappy', 'gzip', 'brotli', 'zstd', 'lz4']
const COMMIT = '0123456789abcdef0123456789abcdef01234567'

let files: Files<{ readonly labels: number[] }>
const at = (...names: string[]): string => join(files.folder, ...names)

beforeAll(async () => {
  files = (await makeFiles(`
import io
import pyarrow as pa, pyarrow.parquet as pq
from PIL import Image
from sklearn.datasets import load_digits
digits = load_digits()
n = ${N}
labels = digits.target[:n].tolist()
pixels = np.kron(digits.images[:n] * 15, np.ones((2, 2))).astype(np.uint8)
colour = np.stack([pixels, 255 - pixels, pixels // 2], -1)
colour.transpose(0, 3, 1, 2).tofile(folder / 'images.bin')
def png(array):
    out = io.BytesIO(); Image.fromarray(array).save(out, 'png'); return out.getvalue()
encoded = [png(image) for image in colour]
structs = [{'bytes': data, 'path': f'{number}.png'} for number, data in enumerate(encoded)]
image_type = pa.struct([('bytes', pa.binary()), ('path', pa.string())])
features = {'image': {'_type': 'Image'}, 'label': {'_type': 'ClassLabel', 'names': ${JSON.stringify(NAMES)}}}
def table(images=structs, kind=image_type, label=labels, label_kind=pa.int64(), known=features, names=('image', 'label'), more={}):
    columns = {names[0]: pa.array(images, kind)}
    if label is not None: columns[names[1]] = pa.array(label, label_kind)
    made = pa.table({**columns, **more})
    return made.replace_schema_metadata({'huggingface': json.dumps({'info': {'features': known}})}) if known else made
def write(name, made, **options):
    path = folder / name; path.parent.mkdir(parents=True, exist_ok=True); pq.write_table(made, path, **{'row_group_size': 7, **options})
for codec in ${JSON.stringify(CODECS)}: write(f'codec-{codec}.parquet', table(), compression=codec)
write('v2.parquet', table(), data_page_version='2.0'); write('v2-plain.parquet', table(), data_page_version='2.0', use_dictionary=False, compression='none'); write('plain.parquet', table(), use_dictionary=False)
write('delta.parquet', table(), use_dictionary=False, column_encoding={'image.bytes': 'DELTA_LENGTH_BYTE_ARRAY', 'image.path': 'DELTA_BYTE_ARRAY', 'label': 'DELTA_BINARY_PACKED'})
write('one-group.parquet', table(), row_group_size=1000); write('small-pages.parquet', table(), row_group_size=1000, data_page_size=1000, write_batch_size=2); write('checksums.parquet', table(), write_page_checksum=True)
required = pa.schema([pa.field('image', pa.struct([pa.field('bytes', pa.binary(), False), pa.field('path', pa.string(), False)]), False), pa.field('label', pa.int64(), False)])
write('required.parquet', pa.table({'image': structs, 'label': labels}, required)); write('large.parquet', table(kind=pa.struct([('bytes', pa.large_binary()), ('path', pa.large_string())])))
for width in ('int8', 'uint8', 'int16', 'int32', 'uint32', 'uint64'): write(f'{width}.parquet', table(label_kind=getattr(pa, width)()))
write('binary.parquet', table(encoded, pa.binary())); write('numbers.parquet', table(known=None)); write('unlabelled.parquet', table(label=None, known=None)); write('bytes-only.parquet', table([{'bytes': data} for data in encoded], pa.struct([('bytes', pa.binary())])))
write('no-path.parquet', table([{'bytes': data, 'path': None} for data in encoded])); write('two.parquet', table(more={'other': pa.array(encoded)})); write('extra.parquet', table(known=None, names=('img', 'fine_label'), more={'text': ['x'] * n, 'weight': [1.5] * n, 'tags': [['a']] * n}))
for split, rows in (('train', slice(0, 20)), ('test', slice(20, n))):
    part = table(structs[rows], label=labels[rows])
    middle = part.num_rows // 2
    for number, (start, length) in enumerate(((0, middle), (middle, part.num_rows - middle))): write(f'hub/data/{split}-0000{number}-of-00002.parquet', part.slice(start, length))
    write(f'folders/{split}/0000.parquet', part); write(f'flat/{split}.parquet', part)
write('flat/train_extra.parquet', table(structs[:1], label=labels[:1])); (folder / 'hub/README.md').write_text('x')
write('mixed/train-0.parquet', table(structs[:5], label=labels[:5])); write('mixed/train-1.parquet', table(encoded[5:9], pa.binary(), label=labels[5:9], names=('picture', 'label')))
write('classes/train-0.parquet', table(structs[:5], label=labels[:5])); write('classes/train-1.parquet', table(structs[5:9], label=labels[5:9], known={**features, 'label': {'_type': 'ClassLabel', 'names': ['a'] * 10}}))
write('configs/a/train-0.parquet', table()); write('configs/b/train-0.parquet', table())
bad = lambda number, value, sequence: [value if at == number else one for at, one in enumerate(sequence)]
write('null-image.parquet', table(bad(9, None, structs))); write('null-bytes.parquet', table(bad(9, {'bytes': None, 'path': '9.png'}, structs))); write('null-label.parquet', table(label=bad(9, None, labels))); write('minus.parquet', table(label=bad(9, -1, labels))); write('many.parquet', table(label=bad(9, 10, labels)))
write('no-image.parquet', table(bad(9, {'bytes': b'no image', 'path': '9.png'}, structs))); write('sizes.parquet', table(bad(9, {'bytes': png(colour[0, :8]), 'path': '9.png'}, structs))); write('string.parquet', table(['x'] * n, pa.string())); write('empty.parquet', table([], label=[]))
write('float-label.parquet', table(label=[float(label) for label in labels], label_kind=pa.float32())); write('names.parquet', table(known={**features, 'label': {'_type': 'ClassLabel', 'names': 'x'}}))
# Levels in two bytes, 7 times 2: made to say 2^27 times.
write('levels.parquet', table(), compression='none', use_dictionary=False)
raw = (folder / 'levels.parquet').read_bytes(); place = raw.index(b'\\x02\\0\\0\\0\\x0e\\x02')
(folder / 'levels-lie.parquet').write_bytes(raw[:place] + b'\\x04\\0\\0\\0\\xfe\\xff\\xff\\x7f' + raw[place + 8:])
made = table(); pq.write_table(made.replace_schema_metadata({'huggingface': '{'}), folder / 'json.parquet')
answer = {'labels': labels}
`)) as typeof files
})
afterAll(() => files.remove())
afterEach(() => vi.unstubAllEnvs())

const open = (path: string | null, options = {}) => openParquet(parquetDataset.parse({ kind: 'parquet', path, ...options }))
const imagesOf = (from: number, to: number): Buffer => readFileSync(at('images.bin')).subarray(from * 768, to * 768)

const WHOLE = [
  ...CODECS.map((codec) => `codec-${codec}`),
  'v2',
  'v2-plain',
  'plain',
  'delta',
  'one-group',
  'small-pages',
  'checksums',
  'levels',
  'required',
  'large',
  'int8',
  'uint8',
  'int16',
  'int32',
  'uint32',
  'uint64',
  'binary',
  'numbers',
  'bytes-only',
  'no-path',
]

test.each(WHOLE)('%s', async (name) => {
  const decoded = await decodeAll(open(at(`${name}.parquet`)))
  expect(decoded).toMatchObject({ imageShape: [3, 16, 16], numImages: N, labels: files.answer.labels })
  expect(decoded.data.equals(imagesOf(0, N))).toBe(true)
  expect(decoded.classNames).toEqual(['numbers', 'required'].includes(name) ? NAMES.map((_, number) => String(number)) : NAMES)
})

test('columns by name, and files without labels', async () => {
  const unlabelled = await decodeAll(open(at('unlabelled.parquet')))
  expect(unlabelled).toMatchObject({ labels: [], classNames: [] })
  expect(unlabelled.data.equals(imagesOf(0, N))).toBe(true)
  const other = await decodeAll(open(at('extra.parquet'), { imageColumn: 'img', labelColumn: 'fine_label' }))
  expect(other.labels).toEqual(files.answer.labels)
  expect((await decodeAll(open(at('two.parquet'), { imageColumn: 'other' }))).data.equals(imagesOf(0, N))).toBe(true)
  await expectRefused(
    () => decodeAll(open(at('two.parquet'))),
    at('two.parquet'),
    /expected one column of images, or dataset.imageColumn, got image \(images\), label \(integers\), other \(images\)/,
  )
})

test('images are resized and become gray as by the decoder', async () => {
  const decoded = await decodeAll(open(at('plain.parquet'), { resolution: 8, color: 'gray', resizeFilter: 'box' }))
  expect(decoded.imageShape).toEqual([1, 8, 8])
  expect(decoded.data.length).toBe(N * 64)
})

test.each(['hub', 'folders', 'flat'])('the splits of a folder: %s', async (name) => {
  for (const [split, from, to] of [
    ['train', 0, 20],
    ['test', 20, N],
  ] as const) {
    const decoded = await decodeAll(open(at(name), { split }))
    expect(decoded.data.equals(imagesOf(from, to))).toBe(true)
    expect(decoded.labels).toEqual(files.answer.labels.slice(from, to))
  }
  await expectRefused(async () => open(at(name), { split: 'valid' }), at(name), /expected parquet files of the split 'valid', got .*train/)
})

test('a single file is taken whole, whatever the split is called', async () => {
  const folder = testFolder()
  copyFileSync(at('plain.parquet'), join(folder, 'data.parquet'))
  for (const split of ['train', 'valid']) expect((await decodeAll(open(folder, { split }))).labels).toEqual(files.answer.labels)
})

describe("the Hub's cache", () => {
  /** As the Python client leaves it: links to blobs. */
  function fillCache(hub: string): void {
    const folder = join(hub, 'datasets--some--digits')
    mkdirSync(join(folder, 'refs'), { recursive: true })
    writeFileSync(join(folder, 'refs', 'main'), COMMIT)
    mkdirSync(join(folder, 'blobs'))
    for (const [number, name] of ['train-00000-of-00002', 'train-00001-of-00002', 'test-00000-of-00002', 'test-00001-of-00002'].entries()) {
      const blob = join(folder, 'blobs', String(number))
      cpSync(at('hub', 'data', `${name}.parquet`), blob)
      const link = join(folder, 'snapshots', COMMIT, 'data', `${name}.parquet`)
      mkdirSync(dirname(link), { recursive: true })
      symlinkSync(relative(dirname(link), blob), link)
    }
  }

  test.each([
    ['HF_HUB_CACHE', ''],
    ['HF_HOME', 'hub'],
    ['XDG_CACHE_HOME', 'huggingface/hub'],
  ])('by %s', async (variable, below) => {
    const folder = testFolder()
    for (const name of ['HF_HUB_CACHE', 'HF_HOME', 'XDG_CACHE_HOME']) vi.stubEnv(name, name === variable ? folder : '')
    const repo = { repo: 'some/digits' }
    const place = join(folder, below, 'datasets--some--digits')
    await expectRefused(async () => open(null, repo), place, /run immiscible data fetch some\/digits, or set dataset.path/)
    fillCache(join(folder, below))
    const source = open(null, repo)
    expect(source).toMatchObject({ name: 'some-digits', licence: 'as at https://huggingface.co/datasets/some/digits' })
    expect((await decodeAll(source)).data.equals(imagesOf(0, 20))).toBe(true)
    expect((await decodeAll(open(null, { ...repo, revision: COMMIT, split: 'test' }))).data.equals(imagesOf(20, N))).toBe(true)
    await expectRefused(async () => open(null, { ...repo, revision: 'other' }), place, /run immiscible data fetch/)
    writeFileSync(join(place, 'refs', 'main'), '../../..')
    await expectRefused(async () => open(null, repo), join(place, 'refs', 'main'), /expected the number of a commit/)
  })

  test('a path and a repo exclude each other', async () => {
    await expectRefused(async () => open(null), 'parquet', /expected either dataset.path or dataset.repo, got neither/)
    await expectRefused(async () => open(at('hub'), { repo: 'a/b' }), 'parquet', /got both/)
  })
})

describe('refused by the name of the file', () => {
  test.each<[string, RegExp]>([
    ['null-image', /: row 9: expected an encoded image, got none/],
    ['null-bytes', /: row 9 \(9.png\): expected an encoded image, got none/],
    ['null-label', /: row 9: expected a label from 0 to 9, got none/],
    ['minus', /: row 9: expected a label from 0 to 9, got -1/],
    ['many', /: row 9: expected a label from 0 to 9, got 10/],
    ['no-image', /: row 9 \(9.png\): /],
    ['sizes', /: row 9 \(9.png\): expected an image of 16x16, as .*: row 0 \(0.png\), got 16x8/],
    ['string', /expected one column of images, .*, got image \(other\), label \(integers\)/],
    ['levels-lie', /: row group 0: cannot be read: expected (7 equal numbers|runs of numbers)/],
    ['names', /expected names of the classes of 'label'/],
    ['json', /expected JSON as its metadata 'huggingface'/],
    ['empty', /expected images, got none/],
    ['missing', /expected a file or folder, got nothing there/],
  ])('%s', (name, pattern) => expectRefused(async () => decodeAll(open(at(`${name}.parquet`))), at(`${name}.parquet`), pattern))

  test('columns that are not there, or of another kind', async () => {
    const path = at('plain.parquet')
    await expectRefused(
      () => decodeAll(open(path, { imageColumn: 'img' })),
      path,
      /expected a column 'img' of images, got image \(images\), label \(integers\)/,
    )
    await expectRefused(
      () => decodeAll(open(path, { labelColumn: 'image' })),
      path,
      /expected a column 'image' of integers, got another kind/,
    )
    const unlabelled = await decodeAll(open(at('float-label.parquet')))
    expect(unlabelled).toMatchObject({ labels: [], notes: ["column 'label' is not of integers: no labels"] })
    await expectRefused(
      () => decodeAll(open(at('float-label.parquet'), { labelColumn: 'label' })),
      at('float-label.parquet'),
      /another kind/,
    )
  })

  test('files that do not belong together', async () => {
    await expectRefused(
      () => decodeAll(open(at('mixed'))),
      at('mixed', 'train-1.parquet'),
      /expected the columns of .*train-0.parquet, got picture, label/,
    )
    await expectRefused(
      () => decodeAll(open(at('classes'))),
      at('classes', 'train-1.parquet'),
      /expected the classes of .*train-0.parquet, got others/,
    )
    await expectRefused(
      async () => open(at('configs')),
      at('configs'),
      /expected the split 'train' in one folder \(set dataset.path to it\), got a, b/,
    )
    const folder = testFolder()
    cpSync(at('hub'), folder, { recursive: true })
    rmSync(join(folder, 'data', 'train-00000-of-00002.parquet'))
    await expectRefused(async () => open(folder), folder, /expected the parts 0 to 1 of 2, got train-00001-of-00002.parquet/)
    expect((await decodeAll(open(folder, { split: 'test' }))).numImages).toBe(10)
  })

  test('files that were cut off', async () => {
    const path = join(testFolder(), 'cut.parquet')
    const whole = readFileSync(at('plain.parquet'))
    for (const length of [0, 4, 11, 100, Math.floor(whole.length / 2), whole.length - 1]) {
      writeFileSync(path, whole.subarray(0, length))
      await expectRefused(async () => decodeAll(open(path)), path, /expected a parquet file/)
    }
    // The first pages are gone, the directory is whole.
    writeFileSync(path, whole.subarray(whole.length - 4000))
    await expectRefused(async () => decodeAll(open(path)), path, /expected/)
  })
})
