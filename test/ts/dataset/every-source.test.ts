/** What exact resume needs of data: batch(step) of every kind of source, with every augmentation, is a function of config and step alone. */
import { createHash } from 'node:crypto'
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { DatasetConfig, TrainConfigInput } from '../../../protocol/index.ts'
import { datasetsFolder } from '../../../ts/dataset/cache/index.ts'
import { openDataset } from '../../../ts/dataset/table.ts'
import { openPipeline } from '../../../ts/pipeline/pipeline.ts'
import { testConfig } from '../../fixture/config.ts'
import { makeFiles, type Files } from '../../fixture/dataset.ts'

type Section = Exclude<TrainConfigInput['dataset'], string>

let files: Files
beforeAll(async () => {
  files = await makeFiles(`
import io
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image
from safetensors.numpy import save_file
rng = np.random.default_rng(0)
count = 24
colour = rng.integers(0, 256, (count, 40, 32, 3), np.uint8)
labels = rng.integers(0, 3, count).astype(np.int64)

(folder / 'cifar').mkdir()
record = lambda at, heads: bytes(heads) + rng.integers(0, 256, 3072, np.uint8).tobytes()
for part in range(1, 6): (folder / 'cifar' / f'data_batch_{part}.bin').write_bytes(b''.join(record(at, [at % 10]) for at in range(5)))
(folder / 'cifar' / 'test_batch.bin').write_bytes(record(0, [0]))
(folder / 'cifar' / 'batches.meta.txt').write_text('\\n'.join('abcdefghij'))
(folder / 'cifar100').mkdir()
for name in ('train', 'test'): (folder / 'cifar100' / f'{name}.bin').write_bytes(b''.join(record(at, [at % 20, at]) for at in range(count)))
(folder / 'cifar100' / 'fine_label_names.txt').write_text('\\n'.join(f'fine{at}' for at in range(100)))
(folder / 'cifar100' / 'coarse_label_names.txt').write_text('\\n'.join(f'coarse{at}' for at in range(20)))

def encoded(pixels, format='png'):
    buffer = io.BytesIO(); Image.fromarray(pixels).save(buffer, format); return buffer.getvalue()
(folder / 'celeba' / 'img_align_celeba').mkdir(parents=True)
lines = []
for at in range(count):
    name = f'{at + 1:06}.jpg'
    face = rng.integers(0, 256, (218, 178, 3), np.uint8)
    (folder / 'celeba' / 'img_align_celeba' / name).write_bytes(encoded(face, 'jpeg'))
    lines.append(f'{name} 0')
(folder / 'celeba' / 'list_eval_partition.txt').write_text('\\n'.join(lines) + '\\n')
attributes = '\\n'.join(f'{at + 1:06}.jpg {1 if at % 2 else -1}' for at in range(count))
(folder / 'celeba' / 'list_attr_celeba.txt').write_text(f'{count}\\nSmiling\\n{attributes}\\n')

for at in range(count):
    target = folder / 'images' / f'class{labels[at]}'; target.mkdir(parents=True, exist_ok=True)
    (target / f'{at:03}.png').write_bytes(encoded(colour[at]))
table = pa.table({'image': [{'bytes': encoded(pixels), 'path': None} for pixels in colour], 'label': labels})
pq.write_table(table, folder / 'train.parquet')
np.savez(folder / 'arrays.npz', images=colour, labels=labels)
latent = lambda: rng.standard_normal((count, 4, 8, 8)).astype(np.float32)
save_file({'mean': latent(), 'std': np.abs(latent()), 'mean_mirrored': latent(), 'std_mirrored': np.abs(latent()), 'labels': labels.astype(np.int32)},
          folder / 'latents.safetensors', {'scaling_factor': '0.18215'})
for prefix in ('train', 't10k'):
    (folder / f'{prefix}-images-idx3-ubyte').write_bytes(b''.join(n.to_bytes(4, 'big') for n in (2051, count, 28, 28)) + rng.integers(0, 256, (count, 784), np.uint8).tobytes())
    (folder / f'{prefix}-labels-idx1-ubyte').write_bytes(b''.join(n.to_bytes(4, 'big') for n in (2049, count)) + labels.astype(np.uint8).tobytes())
answer = 0
`)
  process.env['IMMISCIBLE_HOME'] = join(files.folder, 'home')
}, 60_000)
afterAll(() => {
  delete process.env['IMMISCIBLE_HOME']
  files.remove()
})

const AUGMENTED = {
  horizontalFlip: true,
  randomCropPadding: 2,
  paddingMode: 'edge',
  randomResizedCrop: 0.5,
  resizeFilter: 'bicubic',
} as const
const at = (name: string): string => join(files.folder, name)

const sections: Readonly<Record<string, () => Section>> = {
  digits: () => ({ kind: 'digits', ...AUGMENTED }),
  emoji: () => ({ kind: 'emoji', resolution: 16, ...AUGMENTED }),
  cifar10: () => ({ kind: 'cifar10', path: at('cifar'), ...AUGMENTED }),
  cifar100: () => ({ kind: 'cifar100', path: at('cifar100'), labels: 'coarse', ...AUGMENTED }),
  celeba: () => ({ kind: 'celeba', path: at('celeba'), resolution: 16, centerCrop: 140, attribute: 'Smiling', ...AUGMENTED }),
  'image-folder': () => ({ kind: 'image-folder', path: at('images'), resolution: 16, ...AUGMENTED }),
  parquet: () => ({ kind: 'parquet', path: at('train.parquet'), resolution: 16, color: 'gray', ...AUGMENTED }),
  arrays: () => ({ kind: 'arrays', path: at('arrays.npz'), ...AUGMENTED }),
  latents: () => ({ kind: 'arrays', path: at('latents.safetensors'), horizontalFlip: true }),
  idx: () => ({ kind: 'idx', path: files.folder, ...AUGMENTED }),
}

const NUM_STEPS = 8

/** SHA-256 of each batch, and of the data set. */
async function hashBatches(
  section: Section,
  memoryBytes: number,
  steps: readonly number[],
  threads: number,
): Promise<{ set: string; batches: string[] }> {
  const config = testConfig({ dataset: section, globalBatchSize: 8, maxTrainSteps: NUM_STEPS, pipeline: { threads } })
  const dataset = await openDataset(config.dataset, { memoryBytes })
  await using pipeline = openPipeline(config, dataset)
  const batches: string[] = []
  for (const step of steps) {
    const hash = createHash('sha256')
    for (const { spec, data } of (await pipeline.batch(step)).tensors) hash.update(JSON.stringify(spec)).update(data)
    batches[step] = hash.digest('hex')
    pipeline.release(step)
  }
  return { set: dataset.sha256, batches }
}

const inOrder = Array.from({ length: NUM_STEPS }, (_, step) => step)

test('every kind of the schema is here', () => {
  const kinds: Record<Exclude<DatasetConfig['kind'], 'custom'>, true> = {
    digits: true,
    emoji: true,
    cifar10: true,
    cifar100: true,
    celeba: true,
    'image-folder': true,
    parquet: true,
    arrays: true,
    idx: true,
  }
  expect(Object.keys(sections).toSorted()).toEqual([...Object.keys(kinds), 'latents'].toSorted())
})

test.each(Object.keys(sections))(
  '%s: from memory, from its file, after a resume and after decoding again: the same batches',
  { timeout: 60_000 },
  async (name) => {
    const section = sections[name]()
    const straight = await hashBatches(section, Infinity, inOrder, 1)
    expect(new Set(straight.batches).size).toBe(NUM_STEPS)
    // Resumed at step 5, which another thread may solve, and replayed from 3.
    const resumed = await hashBatches(section, 0, [5, 6, 7, 3, 4], 2)
    expect(resumed.set).toBe(straight.set)
    for (const step of [3, 4, 5, 6, 7]) expect(resumed.batches[step]).toBe(straight.batches[step])
    rmSync(datasetsFolder(), { recursive: true, force: true })
    expect(await hashBatches(section, Infinity, inOrder, 1)).toEqual(straight)

    const plain = await hashBatches({ ...section, horizontalFlip: false, randomCropPadding: 0, randomResizedCrop: 1 }, Infinity, inOrder, 1)
    expect(plain.set, 'control: augmentation is no part of the data').toBe(straight.set)
    expect(plain.batches, 'control: it changes every batch').not.toEqual(straight.batches)
  },
)
