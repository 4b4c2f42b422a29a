import { createHash } from 'node:crypto'
import { expect, test } from 'vitest'
import type { TrainConfigInput } from '../../../protocol/index.ts'
import type { AssignmentStrategy } from '../../../ts/assignment/assignment.ts'
import { independent } from '../../../ts/assignment/independent.ts'
import { createStrategy } from '../../../ts/assignment/table.ts'
import { loadDigits } from '../../../ts/dataset/digits.ts'
import { plainKernel } from '../../../ts/kernel/plain.ts'
import { createPoolSource, type Batch, type PoolSource } from '../../../ts/pipeline/source.ts'
import { testConfig } from '../../fixture/config.ts'

const digits = loadDigits()
const DIMS = 64

function sourceOf(changes: Partial<TrainConfigInput>, strategy?: AssignmentStrategy): PoolSource {
  const config = testConfig(changes)
  return createPoolSource(config, digits, strategy ?? createStrategy(config.assignment), plainKernel)
}

const bytesOf = ({ tensors }: Batch, name: string): Uint8Array => tensors.find(({ spec }) => spec.name === name)?.data ?? new Uint8Array()

/** Everything of a batch that may reach training; timings and the pool's metrics may not. */
function digest(batch: Batch): string {
  const hash = createHash('sha256').update(JSON.stringify([batch.step, batch.epoch, batch.tensors.map(({ spec }) => spec)]))
  for (const { data } of batch.tensors) hash.update(data)
  return hash.digest('hex')
}

const batchesOf = (source: PoolSource, pools: readonly number[]): Batch[] => pools.flatMap((index) => source.pool(index))

test('the same pool is the same bytes, however often and in whatever order it is asked for', () => {
  const inOrder = batchesOf(sourceOf({ globalBatchSize: 64 }), [0, 1, 2, 3, 40]).map(digest)
  const source = sourceOf({ globalBatchSize: 64 })
  const shuffled = batchesOf(source, [40, 3, 0, 2, 1, 3, 0]).map(digest)
  expect(shuffled).toEqual([4, 3, 0, 2, 1, 3, 0].map((at) => inOrder[at]))
  expect(new Set(inOrder).size).toBe(5)
})

test('another seed is another batch', () => {
  const [a] = sourceOf({ globalBatchSize: 64, seed: 1 }).pool(0)
  const [b] = sourceOf({ globalBatchSize: 64, seed: 2 }).pool(0)
  for (const name of ['images', 'noise', 'uniforms']) expect(bytesOf(a, name)).not.toEqual(bytesOf(b, name))
})

test('sixteen slices of 16 from a pool of 256 are the one batch of 256', () => {
  const small = sourceOf({ globalBatchSize: 16, assignment: { kind: 'quantized', poolSize: 256 } })
  const large = sourceOf({ globalBatchSize: 256, assignment: { kind: 'quantized' } })
  for (const pool of [0, 1, 6, 7, 20]) {
    const slices = small.pool(pool)
    const [whole] = large.pool(pool)
    expect(slices.map(({ step }) => step)).toEqual(Array.from({ length: 16 }, (_, part) => pool * 16 + part))
    for (const name of ['images', 'noise', 'labels', 'uniforms']) {
      expect(Buffer.concat(slices.map((slice) => bytesOf(slice, name)))).toEqual(Buffer.from(bytesOf(whole, name)))
    }
  }
})

test('an epoch shows no image twice, and the next shows them in another order', () => {
  const source = sourceOf({ globalBatchSize: 128, assignment: { kind: 'independent' } })
  const poolsPerEpoch = Math.floor(digits.numImages / 128)
  const indexOf = imageIndex()
  const epochs = [0, 1].map((epoch) =>
    batchesOf(
      source,
      Array.from({ length: poolsPerEpoch }, (_, pool) => epoch * poolsPerEpoch + pool),
    ).flatMap((batch) => {
      expect(batch.epoch).toBe(epoch)
      return rowsOf(bytesOf(batch, 'images')).map(indexOf)
    }),
  )
  // A few digits of the set are equal pixel by pixel: images are told apart by their pixels here.
  for (const seen of epochs) expect(new Set(seen).size).toBeGreaterThan(seen.length - 10)
  expect(epochs[0]).not.toEqual(epochs[1])
})

test('labels stay with their images', () => {
  const [batch] = sourceOf({ globalBatchSize: 256 }).pool(3)
  expectLabelsMatch(batch)
})

test('a label that moved would be seen', () => {
  const [batch] = sourceOf({ globalBatchSize: 256 }).pool(3)
  const labels = new Int32Array(bytesOf(batch, 'labels').slice().buffer)
  const from = labels.findIndex((label) => label !== labels[0])
  ;[labels[0], labels[from]] = [labels[from], labels[0]]
  const moved = batch.tensors.map((tensor) => (tensor.spec.name === 'labels' ? { ...tensor, data: new Uint8Array(labels.buffer) } : tensor))
  expect(() => expectLabelsMatch({ ...batch, tensors: moved })).toThrow()
})

test('only noise moves: images, labels and uniforms are those of the baseline, noise rows a permutation of its rows', () => {
  const [baseline] = sourceOf({ globalBatchSize: 128, assignment: { kind: 'independent' } }).pool(2)
  for (const kind of ['linear', 'quantized'] as const) {
    const [assigned] = sourceOf({ globalBatchSize: 128, assignment: { kind } }).pool(2)
    for (const name of ['images', 'labels', 'uniforms']) expect(bytesOf(assigned, name)).toEqual(bytesOf(baseline, name))
    const [before, after] = [baseline, assigned].map((batch) => rowsOf(bytesOf(batch, 'noise'), DIMS * 2))
    expect(after).not.toEqual(before)
    expect(after?.toSorted()).toEqual(before?.toSorted())
    expect(assigned.assignment.gain).toBeGreaterThan(baseline.assignment.gain + 0.5)
  }
})

test('an inverted permutation loses the gain, and is seen by it', () => {
  const config = testConfig({ globalBatchSize: 128, assignment: { kind: 'linear' } })
  const right = createStrategy(config.assignment)
  const inverted: AssignmentStrategy = {
    ...right,
    assign(pool, images, noise, noiseIndex) {
      const report = right.assign(pool, images, noise, noiseIndex)
      const forward = noiseIndex.slice()
      forward.forEach((row, image) => (noiseIndex[row] = image))
      return report
    },
  }
  const gainOf = (strategy: AssignmentStrategy): number => sentGain(createPoolSource(config, digits, strategy, plainKernel).pool(0)[0])
  const reported = createPoolSource(config, digits, right, plainKernel).pool(0)[0]?.assignment.gain
  expect(gainOf(right)).toBeCloseTo(reported, 2)
  expect(gainOf(right)).toBeGreaterThan(1)
  expect(Math.abs(gainOf(inverted))).toBeLessThan(0.5)
})

test('a mirrored image is mirrored before the assignment sees it, row by row', () => {
  const seen: Int8Array[] = []
  const spy: AssignmentStrategy = {
    ...independent(),
    assign(pool, images, noise, noiseIndex) {
      seen.push(Int8Array.from(images.data), Int8Array.from(pool.flips))
      return independent().assign(pool, images, noise, noiseIndex)
    },
  }
  const assignment = { kind: 'independent' } as const
  const [flipped] = sourceOf({ globalBatchSize: 64, assignment, dataset: { kind: 'digits', horizontalFlip: true } }, spy).pool(0)
  const [plain] = sourceOf({ globalBatchSize: 64, assignment }).pool(0)
  const [pixels, flips] = seen as [Int8Array, Int8Array]
  expect(flips.filter(Boolean).length).toBeGreaterThan(15)
  expect(flips.filter(Boolean).length).toBeLessThan(49)
  expect(Buffer.from(bytesOf(flipped, 'images'))).toEqual(Buffer.from(Uint8Array.from(pixels, (value) => value + 128)))
  const mirrored = rowsOf(bytesOf(plain, 'images')).map((row, image) => (flips[image] ? mirror(row) : row))
  expect(rowsOf(bytesOf(flipped, 'images'))).toEqual(mirrored)
  expect(bytesOf(flipped, 'noise')).toEqual(bytesOf(plain, 'noise'))
})

test('a strategy may say which noise each row is, and negate it', () => {
  const shifted: AssignmentStrategy = { ...independent(), noiseKeys: (_pool, keys) => keys.forEach((key, row) => (keys[row] = key + 64n)) }
  const assignment = { kind: 'independent' } as const
  const source = sourceOf({ globalBatchSize: 64, assignment })
  const later = bytesOf(sourceOf({ globalBatchSize: 64, assignment }, shifted).pool(0)[0], 'noise')
  expect(later).toEqual(bytesOf(source.pool(1)[0], 'noise'))
  const negated = bytesOf(sourceOf({ globalBatchSize: 64, assignment }, { ...independent(), noiseSign: -1 }).pool(1)[0], 'noise')
  const signs = new Uint16Array(negated.slice().buffer).map((half) => half ^ 0x8000)
  expect(new Uint8Array(signs.buffer)).toEqual(later)
})

test('float32 noise is the same noise', () => {
  const assignment = { kind: 'independent' } as const
  const [half] = sourceOf({ globalBatchSize: 64, assignment }).pool(0)
  const [single] = sourceOf({ globalBatchSize: 64, assignment, pipeline: { noiseDtype: 'float32' } }).pool(0)
  const rounded = new Uint16Array(64 * DIMS)
  plainKernel.toFloat16(new Float32Array(bytesOf(single, 'noise').slice().buffer), rounded)
  expect(new Uint8Array(rounded.buffer)).toEqual(bytesOf(half, 'noise'))
})

function rowsOf(bytes: Uint8Array, rowBytes = DIMS): string[] {
  return Array.from({ length: bytes.length / rowBytes }, (_, row) =>
    Buffer.from(bytes.subarray(row * rowBytes, (row + 1) * rowBytes)).toString('hex'),
  )
}

function mirror(row: string): string {
  const pixels = Buffer.from(row, 'hex')
  for (let line = 0; line < DIMS; line += 8) pixels.subarray(line, line + 8).reverse()
  return pixels.toString('hex')
}

function allImages(): string[] {
  const pixels = new Uint8Array(digits.numImages * DIMS)
  for (let index = 0; index < digits.numImages; index++) digits.read(index, pixels, index * DIMS)
  return rowsOf(pixels)
}

function imageIndex(): (row: string) => number {
  const first = new Map(allImages().map((row, index) => [row, index]))
  return (row) => first.get(row) ?? -1
}

function expectLabelsMatch(batch: Batch): void {
  const labelsOf = Map.groupBy(
    allImages().map((row, index) => [row, digits.labels?.[index]] as const),
    ([row]) => row,
  )
  const labels = new Int32Array(bytesOf(batch, 'labels').slice().buffer)
  rowsOf(bytesOf(batch, 'images')).forEach((row, image) => {
    expect(labelsOf.get(row)?.map(([, label]) => label)).toContain(labels[image])
  })
}

/** The gain as the worker would find it: from the bytes that are sent. */
function sentGain(batch: Batch): number {
  const images = bytesOf(batch, 'images')
  const halves = new Uint16Array(bytesOf(batch, 'noise').slice().buffer)
  let sum = 0
  for (let image = 0; image < batch.numImages; image++) {
    let [dot, norm] = [0, 0]
    for (let d = image * DIMS; d < (image + 1) * DIMS; d++) {
      const x = images[d] / 127.5 - 1
      dot += x * fromHalf(halves[d])
      norm += x * x
    }
    sum += dot / Math.sqrt(norm)
  }
  return sum / batch.numImages
}

function fromHalf(bits: number): number {
  const [exponent, fraction] = [(bits >> 10) & 31, bits & 1023]
  const magnitude = exponent === 0 ? fraction * 2 ** -24 : (1 + fraction / 1024) * 2 ** (exponent - 15)
  return bits & 0x8000 ? -magnitude : magnitude
}
