/** A data set of the caller's: an object or an iterator, read once, and found again by its content. */
import { readdirSync, rmSync } from 'node:fs'
import { expect, test } from 'vitest'
import { datasetsFolder } from '../../../ts/dataset/cache/index.ts'
import type { OwnDataset, OwnImage } from '../../../ts/dataset/custom.ts'
import { openDataset } from '../../../ts/dataset/table.ts'
import { inspectDataset } from '../../../ts/data.ts'
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

const shaped = { name: 'x', imageShape: IMAGE_SHAPE } as const
const image = { pixels: new Uint8Array(16) }
const wrong: readonly [string, unknown, string][] = [
  [
    'a short image',
    { ...shaped, images: [{ pixels: new Uint8Array(3) }] },
    'x: image 0: expected pixels, a Uint8Array of 16 (1 x 4 x 4), got 3 bytes',
  ],
  [
    'floats',
    { ...shaped, images: [image, { pixels: new Float32Array(16) }] },
    'x: image 1: expected pixels, a Uint8Array of 16 (1 x 4 x 4), got Float32Array',
  ],
  ['no image', { ...shaped, images: [null] }, 'x: image 0: expected pixels, a Uint8Array of 16 (1 x 4 x 4), got nothing'],
  ['no images', { ...shaped, images: [] }, "the data set 'x' of the caller: expected images, got none"],
  ['a label without classes', { ...shaped, images: [{ ...image, label: 3 }] }, 'x: image 0: expected no label without numClasses, got 3'],
  [
    'classes without labels',
    { ...shaped, numClasses: 2, images: [image] },
    'x: expected a label for every image, since numClasses is 2, got none',
  ],
  [
    'a shape that is none',
    { ...shaped, imageShape: [1, 0, 4], images: [] },
    'dataset.imageShape: expected three integers of at least 1 (channels, height, width), got [ 1, 0, 4 ]',
  ],
  [
    'no shape',
    { name: 'x', images: [] },
    'dataset.imageShape: expected three integers of at least 1 (channels, height, width), got nothing',
  ],
  ['a name that is none', { ...shaped, name: '', images: [] }, 'dataset.name'],
  [
    'a generator that was not called',
    { ...shaped, images: drawn },
    'dataset.images: expected an iterable or async iterable, got a function: call it',
  ],
  [
    'a misspelt option',
    { ...shaped, images: [image], horizontalFlp: true },
    "dataset.horizontalFlp: unknown key; did you mean 'horizontalFlip'?",
  ],
  ['half an image', { ...readable, numImages: 2.5 }, 'dataset.numImages: expected an integer of at least 1, got 2.5'],
  ['too many labels', { ...readable, labels: new Int32Array(21) }, 'dataset.labels: expected 20 labels, since numClasses is 3, got 21'],
  ['labels without classes', { ...readable, numClasses: 0 }, 'dataset.labels: expected labels only with numClasses, got 20'],
  ['negative classes', { ...readable, numClasses: -1 }, 'dataset.numClasses: expected an integer of at least 0, got -1'],
  [
    'a read that waits',
    { ...readable, read: async () => undefined },
    'x: read: expected a function that is done when it returns, got a promise'.replace('x', 'mine'),
  ],
  [
    'a read that fails later',
    { ...readable, read: async () => Promise.reject(new Error('late')) },
    'mine: read: expected a function that is done when it returns',
  ],
  [
    'a read that fails',
    {
      ...readable,
      read(index: number) {
        if (index === 7) throw new Error('the disk is gone')
      },
    },
    'mine: image 7: the disk is gone',
  ],
  ['an iterator that throws text', { ...shaped, images: failing() }, 'x: image 2: no more'],
]
test.each(wrong)('%s is refused in one line', async (_what, dataset, message) => {
  await expect(prepare({ ...COMMON, dataset: dataset as OwnDataset })).rejects.toThrow(message)
})

async function* drawn(): AsyncGenerator<OwnImage> {
  yield image
}

async function* failing(): AsyncGenerator<OwnImage> {
  yield image
  yield image
  // eslint-disable-next-line no-throw-literal -- what a caller may do
  throw 'no more'
}

test('an object of a class may have more than is read of it', async () => {
  class Mine {
    readonly name = 'of a class'
    readonly imageShape = IMAGE_SHAPE
    readonly numImages = 9
    readonly more = 'than is read'
    readonly offset = 5
    read(index: number, out: Uint8Array, at: number): void {
      out.fill(index + this.offset, at, at + 16)
    }
  }
  const { dataset } = await prepare({ ...COMMON, dataset: new Mine() })
  const out = new Uint8Array(16)
  dataset.read(3, out, 0)
  expect(out[0]).toBe(8)
})

test('it is inspected as any other', async () => {
  expect(await inspectDataset(readable)).toMatchObject({ name: 'mine', numImages: 20, imageShape: IMAGE_SHAPE })
})

test('fewer images than a batch is an error of the field', async () => {
  await expect(prepare({ ...COMMON, globalBatchSize: 21, dataset: readable })).rejects.toThrow(
    'globalBatchSize: expected at most the 20 images of mine, got 21',
  )
})
