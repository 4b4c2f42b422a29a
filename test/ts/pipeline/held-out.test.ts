/** The images that are held out: which they are, what goes with them, and that training never sees them. */
import { expect, test } from 'vitest'
import type { TrainConfigInput } from '../../../protocol/index.ts'
import { createStrategy } from '../../../ts/assignment/table.ts'
import type { Dataset } from '../../../ts/dataset/dataset.ts'
import { loadDigits } from '../../../ts/dataset/digits.ts'
import { splitImages } from '../../../ts/dataset/split.ts'
import { plainKernel } from '../../../ts/kernel/plain.ts'
import { createPoolSource, numHeldOutBatches, type Batch } from '../../../ts/pipeline/source.ts'
import { prepare } from '../../../ts/prepare.ts'
import { testConfig } from '../../fixture/config.ts'

const NUM_IMAGES = 200
const DIMS = 64

/** Images that say their number: in their first two pixels, and modulo ten in their label. */
const numbered: Dataset = {
  ...loadDigits(),
  numImages: NUM_IMAGES,
  labels: Int32Array.from({ length: NUM_IMAGES }, (_, index) => index % 10),
  read: (index, target, offset) => {
    target.fill(100, offset, offset + DIMS)
    target.set([index & 255, index >> 8], offset)
  },
}

function sourceOf(changes: Partial<TrainConfigInput>) {
  const config = testConfig(changes)
  const source = createPoolSource(config, numbered, createStrategy(config.assignment), plainKernel)
  const numPools = Math.ceil(config.validation.numImages / config.assignment.poolSize)
  const heldOut = Array.from({ length: numPools }, (_, index) => source.heldOutPool(index)).flat()
  return { config, source, heldOut }
}

const bytesOf = ({ tensors }: Batch, name: string): Uint8Array => tensors.find(({ spec }) => spec.name === name)?.data ?? new Uint8Array()

function numbersOf(batch: Batch): number[] {
  const images = bytesOf(batch, 'images')
  return Array.from({ length: batch.numImages }, (_, row) => images[row * DIMS] + 256 * images[row * DIMS + 1])
}

const HELD: Partial<TrainConfigInput> = { globalBatchSize: 16, validation: { numImages: 40 }, seed: 3 }

test('a split is a partition; more of it are the same and others; another seed is another', () => {
  const { train, heldOut } = splitImages(NUM_IMAGES, 40, 3)
  expect([...train, ...heldOut].toSorted((a, b) => a - b)).toEqual(Array.from({ length: NUM_IMAGES }, (_, index) => index))
  expect(train).toEqual(train.toSorted())
  expect(splitImages(NUM_IMAGES, 60, 3).heldOut.slice(0, 40)).toEqual(heldOut)
  expect(splitImages(NUM_IMAGES, 40, 4).heldOut).not.toEqual(heldOut)
  expect(splitImages(NUM_IMAGES, 0, 3)).toEqual({
    train: Int32Array.from({ length: NUM_IMAGES }, (_, index) => index),
    heldOut: new Int32Array(0),
  })
})

test('held-out images are never trained on, and each is sent once with its label', () => {
  const { config, source, heldOut } = sourceOf(HELD)
  const held = heldOut.flatMap(numbersOf)
  expect(held).toEqual([...splitImages(NUM_IMAGES, 40, 3).heldOut])
  expect(heldOut.map(({ numImages }) => numImages)).toEqual([16, 16, 8])
  expect(heldOut).toHaveLength(numHeldOutBatches(config))
  const labels = heldOut.flatMap((batch) => [...new Int32Array(bytesOf(batch, 'labels').slice().buffer)])
  expect(labels).toEqual(held.map((number) => number % 10))
  const trained = new Set(
    Array.from({ length: 30 }, (_, pool) => source.pool(pool))
      .flat()
      .flatMap(numbersOf),
  )
  expect(trained.size).toBe(NUM_IMAGES - 40)
  expect(held.filter((number) => trained.has(number))).toEqual([])
  const without = Array.from({ length: 30 }, (_, pool) => sourceOf({ ...HELD, validation: { numImages: 0 } }).source.pool(pool))
  expect(
    without
      .flat()
      .flatMap(numbersOf)
      .some((number) => held.includes(number)),
    'control: without a split they are trained on',
  ).toBe(true)
})

test('they are shown as they are, with noise and uniforms that no training sample has', () => {
  const { source, heldOut } = sourceOf({ ...HELD, dataset: { kind: 'digits', horizontalFlip: true } })
  expect(heldOut.flatMap(numbersOf)).toEqual([...splitImages(NUM_IMAGES, 40, 3).heldOut])
  const rowsOf = (batches: readonly Batch[], name: string, rowBytes: number): string[] =>
    batches.flatMap(
      (batch) =>
        Buffer.from(bytesOf(batch, name))
          .toString('hex')
          .match(new RegExp(`.{${2 * rowBytes}}`, 'g')) ?? [],
    )
  const trained = Array.from({ length: 4 }, (_, pool) => source.pool(pool)).flat()
  for (const [name, rowBytes] of [
    ['noise', 2 * DIMS],
    ['uniforms', 12],
  ] as const) {
    const [held, seen] = [heldOut, trained].map((batches) => new Set(rowsOf(batches, name, rowBytes)))
    expect(held.size).toBe(40)
    expect([...held].filter((row) => seen.has(row))).toEqual([])
  }
})

test('their noise is assigned over whole pools, from the first step on whatever startStep says', () => {
  const gains = (['independent', 'quantized'] as const).map((kind) => {
    const { heldOut } = sourceOf({ ...HELD, assignment: kind === 'independent' ? { kind } : { kind, poolSize: 32, startStep: 1000 } })
    expect(heldOut.map(({ numImages }) => numImages)).toEqual([16, 16, 8])
    return heldOut.map(({ assignment }) => assignment.gain)
  })
  expect(gains[1][0]).toBe(gains[1][1])
  expect(Math.min(...gains[1])).toBeGreaterThan(Math.max(...gains[0]))
})

test.each([
  [{ validation: { numImages: 1797 } }, 'validation.numImages: expected less than the 1797 images of digits'],
  [
    { validation: { numImages: 1700 }, globalBatchSize: 128 },
    'globalBatchSize: expected at most the 97 images of digits that are left of 1797 with 1700 held out',
  ],
])('%j is refused before anything is written', async (changes, message) => {
  await expect(
    prepare({ dataset: { kind: 'digits' }, objective: 'ddim', assignment: 'quantized', outputDir: '/nowhere', ...changes }),
  ).rejects.toThrow(message)
})
