/** A data set of the caller's: an object or an iterator, read once, and found again by its content. */
import { readdirSync, rmSync } from 'node:fs'
import { expect, test } from 'vitest'
import { datasetsFolder } from '../../../ts/dataset/cache/index.ts'
import type { OwnDataset, OwnImage } from '../../../ts/dataset/custom.ts'
import { openDataset } from '../../../ts/dataset/table.ts'
import { prepare } from '../../../ts/prepare.ts'
import { useTemporaryHome } from '../../fixture/home.ts'

const home = useTemporaryHome()

const IMAGE_SHAPE = [1, 4, 4] as const
const COMMON = { outputDir: 'unused', globalBatchSize: 8 }

function pixelsOf(index: number): Uint8Array {
  return Uint8Array.from({ length: 16 }, (_, at) => (index * 16 + at) % 256)
}

async function* images(count = 20): AsyncGenerator<OwnImage> {
  for (let index = 0; index < count; index++) yield { pixels: pixelsOf(index), label: index % 3 }
}

const readable: OwnDataset = {
  name: 'mine',
  imageShape: IMAGE_SHAPE,
  numImages: 20,
  numClasses: 3,
  labels: Int32Array.from({ length: 20 }, (_, index) => index % 3),
  read: (index, out, offset) => out.set(pixelsOf(index), offset),
}

test('an object and an iterator with the same images are the same data set', async () => {
  const object = await prepare({ ...COMMON, dataset: { ...readable, horizontalFlip: true } })
  const iterator = await prepare({ ...COMMON, dataset: { name: 'mine', imageShape: IMAGE_SHAPE, numClasses: 3, images: images() } })
  expect(object.config.dataset).toMatchObject({ kind: 'custom', name: 'mine', horizontalFlip: true, sha256: object.dataset.sha256 })
  expect(iterator.dataset.sha256).toBe(object.dataset.sha256)
  for (const { dataset } of [object, iterator]) {
    const out = new Uint8Array(16)
    dataset.read(13, out, 0)
    expect(out).toEqual(pixelsOf(13))
    expect(dataset).toMatchObject({ numImages: 20, numClasses: 3, imageShape: IMAGE_SHAPE })
    expect([...(dataset.labels ?? [])]).toEqual(Array.from({ length: 20 }, (_, index) => index % 3))
  }
  expect(readdirSync(datasetsFolder()), 'stored once').toHaveLength(1)
})

test('afterwards its section alone opens it; without the cache it names what is missing', async () => {
  const { config, dataset } = await prepare({ ...COMMON, dataset: readable })
  expect((await openDataset(config.dataset)).sha256).toBe(dataset.sha256)
  rmSync(home(), { recursive: true })
  await expect(openDataset(config.dataset)).rejects.toThrow("the data set 'mine' is not in the cache")
})

test('without labels, and as a plain list', async () => {
  const list = Array.from({ length: 9 }, (_, index) => ({ pixels: pixelsOf(index) }))
  const { dataset } = await prepare({ ...COMMON, dataset: { name: 'plain', imageShape: IMAGE_SHAPE, images: list } })
  expect(dataset).toMatchObject({ numImages: 9, numClasses: 0 })
  expect(dataset.labels).toBe(undefined)
})

const wrong: readonly [string, OwnDataset, string][] = [
  [
    'a short image',
    { name: 'x', imageShape: IMAGE_SHAPE, images: [{ pixels: new Uint8Array(3) }] },
    'x: image 0: expected a Uint8Array of 16 (1 x 4 x 4), got 3 bytes',
  ],
  [
    'floats',
    { name: 'x', imageShape: IMAGE_SHAPE, images: [{ pixels: new Float32Array(16) as unknown as Uint8Array }] },
    'x: image 0: expected a Uint8Array of 16 (1 x 4 x 4), got Float32Array',
  ],
  ['no images', { name: 'x', imageShape: IMAGE_SHAPE, images: [] }, "the data set 'x' of the caller: expected images, got none"],
  [
    'a label without classes',
    { name: 'x', imageShape: IMAGE_SHAPE, images: [{ pixels: new Uint8Array(16), label: 0 }] },
    'expected labels 0 to -1, got 0',
  ],
  [
    'a shape that is none',
    { name: 'x', imageShape: [1, 0, 4], images: [] },
    'x: imageShape: expected three integers of at least 1 (channels, height, width), got 1,0,4',
  ],
  ['a name that is none', { name: '', imageShape: IMAGE_SHAPE, images: [] }, 'dataset.name'],
]
test.each(wrong)('%s is refused in one line', async (_what, dataset, message) => {
  await expect(prepare({ ...COMMON, dataset })).rejects.toThrow(message)
})

test('fewer images than a batch is an error of the field', async () => {
  await expect(prepare({ ...COMMON, globalBatchSize: 21, dataset: readable })).rejects.toThrow(
    'globalBatchSize: expected at most the 20 images of mine, got 21',
  )
})
