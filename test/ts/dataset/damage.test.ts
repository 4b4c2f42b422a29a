/** Damaged files of every format: each gives a DATASET error that names it, or images; none hangs, and none ends the process. */
import { cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { arraysDataset, cifar10Dataset, idxDataset, parquetDataset } from '../../../protocol/dataset.ts'
import { readTar } from '../../../ts/dataset/archive/tar.ts'
import { openZip } from '../../../ts/dataset/archive/zip.ts'
import { openArrays } from '../../../ts/dataset/arrays.ts'
import { openCifar } from '../../../ts/dataset/cifar.ts'
import { openIdx } from '../../../ts/dataset/idx.ts'
import { openParquet } from '../../../ts/dataset/parquet.ts'
import type { DatasetSource } from '../../../ts/dataset/source.ts'
import { ImmiscibleError } from '../../../ts/errors.ts'
import { damages, decodeAll, makeFiles, testFolder, type Files } from '../../fixture/dataset.ts'

/** More with IMMISCIBLE_DAMAGES=2000. */
const COUNT = Number(process.env['IMMISCIBLE_DAMAGES'] ?? 30)
const SEED = Number(process.env['IMMISCIBLE_SEED'] ?? 1)
const MAX_MILLISECONDS = 5000

let files: Files
const at = (...names: string[]): string => join(files.folder, ...names)

beforeAll(async () => {
  files = await makeFiles(`
import gzip, io, pickle, struct, tarfile, zipfile
import pyarrow as pa, pyarrow.parquet as pq
from PIL import Image
from safetensors.numpy import save_file
random = np.random.RandomState(0)
images, labels = random.randint(0, 256, (12, 3, 32, 32), np.uint8), random.randint(0, 10, 12)
small = images[:, 0, :8, :8].copy()
for protocol in (2, 4, 5):
    (folder / f'cifar-{protocol}').mkdir()
    (folder / f'cifar-{protocol}/batches.meta').write_bytes(pickle.dumps({'label_names': list('abcdefghij')}, protocol=protocol))
    (folder / f'cifar-{protocol}/test_batch').write_bytes(pickle.dumps({'data': images.reshape(12, -1), 'labels': labels.tolist()}, protocol=protocol))
with tarfile.open(folder / 'cifar.tar.gz', 'w:gz') as archive: archive.add(folder / 'cifar-2', 'cifar-10-batches-py')
(folder / 'idx').mkdir()
(folder / 'idx/t10k-images-idx3-ubyte').write_bytes(struct.pack('>I3I', 2051, 12, 8, 8) + small.tobytes()); (folder / 'idx/t10k-labels-idx1-ubyte.gz').write_bytes(gzip.compress(struct.pack('>II', 2049, 12) + labels.astype(np.uint8).tobytes()))
np.save(folder / 'plain.npy', small); np.savez(folder / 'stored.npz', images=small, labels=labels); np.savez_compressed(folder / 'packed.npz', images=small, labels=labels)
latents = random.randn(12, 4, 3, 2).astype(np.float32); save_file({'mean': latents, 'std': np.abs(latents), 'labels': labels}, folder / 'latents.safetensors', metadata={'scaling_factor': '0.2'})
with tarfile.open(folder / 'plain.tar', 'w') as archive:
    for name in ('a/1', 'b/2'):
        info = tarfile.TarInfo(name); info.size = 700; archive.addfile(info, io.BytesIO(random.bytes(700)))
with zipfile.ZipFile(folder / 'plain.zip', 'w', zipfile.ZIP_DEFLATED) as archive: archive.writestr('a/1', bytes(5000)); archive.writestr('b/2', random.bytes(700))
def png(array):
    out = io.BytesIO(); Image.fromarray(array).save(out, 'png'); return out.getvalue()
table = pa.table({'image': pa.array([{'bytes': png(image), 'path': None if number == 3 else f'{number}.png'} for number, image in enumerate(small)], pa.struct([('bytes', pa.binary()), ('path', pa.string())])), 'label': labels})
for name, options in {'snappy': {}, 'none': {'compression': 'none'}, 'gzip': {'compression': 'gzip'}, 'zstd': {'compression': 'zstd'}, 'brotli': {'compression': 'brotli'}, 'lz4': {'compression': 'lz4'}, 'v2': {'data_page_version': '2.0', 'compression': 'none'}, 'v2-snappy': {'data_page_version': '2.0'},
        'delta': {'use_dictionary': False, 'compression': 'none', 'column_encoding': {'image.bytes': 'DELTA_LENGTH_BYTE_ARRAY', 'image.path': 'DELTA_BYTE_ARRAY', 'label': 'DELTA_BINARY_PACKED'}}}.items():
    pq.write_table(table, folder / f'{name}.parquet', row_group_size=7, **options)
answer = None
`)
})
afterAll(() => files.remove())

const arrays = (path: string): DatasetSource => openArrays(arraysDataset.parse({ kind: 'arrays', path }))
const cifar = (path: string): DatasetSource => openCifar(cifar10Dataset.parse({ kind: 'cifar10', path, split: 'test' }))
const idx = (path: string): DatasetSource => openIdx(idxDataset.parse({ kind: 'idx', path, split: 'test' }))
const parquet = (path: string): DatasetSource => openParquet(parquetDataset.parse({ kind: 'parquet', path }))

const readZip = async (path: string): Promise<unknown> => {
  await using zip = await openZip(path)
  const members = await Promise.all(zip.members.map(async (member) => ({ ...member, data: Buffer.from(await zip.read(member.name)) })))
  return members
}

const readWholeTar = async (path: string): Promise<unknown> => {
  const members: unknown[] = []
  for await (const member of readTar(path)) members.push(member)
  return members
}

/** Everything in them has a checksum: what is not refused is right. */
const CHECKED = ['plain.zip', 'cifar.tar.gz', 'idx/t10k-labels-idx1-ubyte.gz', 'stored.npz', 'packed.npz']

/** The file that is damaged, and how the whole is read. */
const FORMATS: readonly (readonly [file: string, read: (path: string) => Promise<unknown>])[] = [
  ['plain.zip', readZip],
  ['plain.tar', readWholeTar],
  ['cifar.tar.gz', async (path) => decodeAll(cifar(path))],
  ['cifar-2/test_batch', async (path) => decodeAll(cifar(join(path, '..')))],
  ['cifar-4/test_batch', async (path) => decodeAll(cifar(join(path, '..')))],
  ['cifar-5/test_batch', async (path) => decodeAll(cifar(join(path, '..')))],
  ['cifar-2/batches.meta', async (path) => decodeAll(cifar(join(path, '..')))],
  ['idx/t10k-images-idx3-ubyte', async (path) => decodeAll(idx(join(path, '..')))],
  ['idx/t10k-labels-idx1-ubyte.gz', async (path) => decodeAll(idx(join(path, '..')))],
  ['plain.npy', async (path) => decodeAll(arrays(path))],
  ['stored.npz', async (path) => decodeAll(arrays(path))],
  ['packed.npz', async (path) => decodeAll(arrays(path))],
  ['latents.safetensors', async (path) => decodeAll(arrays(path))],
  ...['snappy', 'none', 'gzip', 'zstd', 'brotli', 'lz4', 'v2', 'v2-snappy', 'delta'].map(
    (name) => [`${name}.parquet`, async (path: string) => decodeAll(parquet(path))] as const,
  ),
]

test.each(FORMATS)('%s', async (file, read) => {
  const whole = await read(at(file))
  const folder = testFolder()
  if (file.includes('/')) cpSync(at(file, '..'), folder, { recursive: true })
  mkdirSync(folder, { recursive: true })
  const path = join(folder, basename(file))
  let numRefused = 0
  for (const { what, bytes } of damages(at(file), COUNT, SEED)) {
    writeFileSync(path, bytes)
    const started = performance.now()
    const [result, error] = await read(path).then(
      (value): [unknown, undefined] => [value, undefined],
      (thrown: unknown): [undefined, unknown] => [undefined, thrown],
    )
    if (!error && CHECKED.includes(file)) expect(result, `${file} ${what}`).toEqual(whole)
    if (error) {
      expect(error, `${file} ${what}`).toBeInstanceOf(ImmiscibleError)
      expect((error as ImmiscibleError).code).toBe('DATASET')
      // A file of an archive that is not found any more is missed in the folder or archive.
      expect((error as ImmiscibleError).message, what).toContain(folder)
      numRefused++
    }
    expect(performance.now() - started, `${file} ${what}`).toBeLessThan(MAX_MILLISECONDS)
  }
  // Control: damage is found at all.
  expect(numRefused).toBeGreaterThan(COUNT / 4)
  writeFileSync(path, readFileSync(at(file)))
  expect(await read(path)).toEqual(whole)
})
