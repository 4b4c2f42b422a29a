/** Every strategy under one oracle, which reads the sent bytes alone; and the faults of public implementations planted, each of which it must see. */
import { describe, expect, test } from 'vitest'
import type { AssignmentConfig, TrainConfig } from '../../../protocol/index.ts'
import { runStrategy } from '../../../ts/assignment/assign.ts'
import type { AssignmentStrategy, Matrix } from '../../../ts/assignment/assignment.ts'
import { reassign } from '../../../ts/assignment/reassign.ts'
import { createStrategy, STRATEGIES } from '../../../ts/assignment/table.ts'
import { loadDigits } from '../../../ts/dataset/digits.ts'
import { fromFloat16 } from '../../../ts/kernel/half.ts'
import { threadKernel } from '../../../ts/kernel/simd/simd.ts'
import { createPoolSource, type Batch } from '../../../ts/pipeline/source.ts'
import { shuffledIndex } from '../../../ts/random/shuffle.ts'
import { testConfig } from '../../fixture/config.ts'

const [N, DIMS, POOL] = [256, 64, 2]
/** Standard deviations of gain that any assignment of 256 digits reaches, and no other order does. */
const LEAST_GAIN = 0.5
const digits = loadDigits()
const kernel = threadKernel()

const configOf = (assignment: object): TrainConfig =>
  testConfig({
    globalBatchSize: N,
    dataset: { kind: 'digits', horizontalFlip: true },
    pipeline: { noiseDtype: 'float32' },
    assignment: assignment as AssignmentConfig,
  })

const batchOf = (config: TrainConfig, strategy: AssignmentStrategy): Batch =>
  createPoolSource(config, digits, strategy, kernel).pool(POOL)[0]

function tensor({ tensors }: Batch, name: string): Uint8Array<ArrayBuffer> {
  const found = tensors.find(({ spec }) => spec.name === name)
  if (!found) throw new Error(`no ${name}`)
  return found.data.slice()
}

const rowsOf = (bytes: Uint8Array, rowBytes: number): string[] =>
  Array.from({ length: bytes.length / rowBytes }, (_, row) =>
    Buffer.from(bytes.subarray(row * rowBytes, (row + 1) * rowBytes)).toString('hex'),
  )

/**
 * What must hold of a batch whatever made it: each image is the one that its place in the epoch says, mirrored or not; its label is its own; each noise was drawn for
 * this batch; image i, as it was sent, gains from noise i, as it was sent, what no other order gives; and shown the images that were sent, the strategy answers the same.
 */
function expectSound(batch: Batch, config: TrainConfig, strategy: AssignmentStrategy): void {
  const { candidatesPerImage, noiseSign = 1 } = strategy
  const images = tensor(batch, 'images')
  const labels = new Int32Array(tensor(batch, 'labels').buffer)
  const noise = new Float32Array(tensor(batch, 'noise').buffer)
  const original = new Uint8Array(DIMS)
  for (let row = 0; row < N; row++) {
    const index = shuffledIndex(config.seed, 0, digits.numImages, POOL * N + row)
    digits.read(index, original, 0)
    const [image, mirrored] = [rowsOf(images, DIMS)[row], rowsOf(mirror(original), DIMS)[0]]
    expect([rowsOf(original, DIMS)[0], mirrored], `image ${row}`).toContain(image)
    expect(labels[row], `label ${row}`).toBe(digits.labels?.[index])
  }
  const all = drawn(config, candidatesPerImage).map((value) => noiseSign * value)
  const rows = rowsOf(new Uint8Array(all.buffer), DIMS * 4)
  const sent = rowsOf(tensor(batch, 'noise'), DIMS * 4).map((row) => rows.indexOf(row))
  expect(new Set(sent).size, 'a noise sent twice').toBe(N)
  if (candidatesPerImage === 1)
    expect(
      sent.toSorted((a, b) => a - b),
      'noise of another pool',
    ).toEqual(rows.map((_, row) => row))
  else expect(sent.map((row) => Math.floor(row / candidatesPerImage))).toEqual(sent.map((_, image) => image))
  const gain = noiseSign * gainOf(images, noise)
  expect(gain, 'gain').toBeGreaterThan(LEAST_GAIN)
  expect(gain, 'gain that was reported').toBeCloseTo(noiseSign * batch.assignment.gain, 4)
  expect(sent, 'the choice for the images that were sent').toEqual([
    ...answerTo(
      images,
      labels,
      all.map((value) => noiseSign * value),
      strategy,
    ),
  ])
}

function answerTo(pixels: Uint8Array, labels: Int32Array, noise: Float32Array, strategy: AssignmentStrategy): Int32Array {
  const data = Int8Array.from(pixels, (pixel) => pixel - 128)
  const pool = { epoch: 0, firstStep: POOL, firstSample: POOL * N, sampleIndices: new Int32Array(N), flips: new Uint8Array(N), labels }
  const images = { data, rows: N, dims: DIMS, scale: 1 / 127.5, offset: 0.5 / 127.5 }
  return runStrategy(strategy, pool, images, { data: noise, rows: noise.length / DIMS, dims: DIMS, scale: 1, offset: 0 }).noiseIndex
}

/** All noise of the pool as drawn: row i * k + c for image i. */
function drawn(config: TrainConfig, k: number): Float32Array {
  const seen: Float32Array[] = []
  const spy: AssignmentStrategy = {
    name: 'spy',
    candidatesPerImage: k,
    assign(_pool, _images, noise, noiseIndex) {
      seen.push(Float32Array.from(noise.data))
      noiseIndex.forEach((_, image) => (noiseIndex[image] = image * k))
      return {}
    },
  }
  batchOf(config, spy)
  return seen[0]
}

function mirror(image: Uint8Array): Uint8Array {
  const mirrored = image.slice()
  for (let line = 0; line < DIMS; line += 8) mirrored.subarray(line, line + 8).reverse()
  return mirrored
}

/** Mean projection of noise on the direction of its image, pixels in [-1, 1]. */
function gainOf(images: Uint8Array, noise: Float32Array): number {
  let sum = 0
  for (let row = 0; row < N; row++) {
    let [product, square] = [0, 0]
    for (let at = row * DIMS; at < (row + 1) * DIMS; at++) {
      const value = images[at] / 127.5 - 1
      product += value * noise[at]
      square += value * value
    }
    sum += product / Math.sqrt(square)
  }
  return sum / N
}

/** Where only strategies err: what they write, and what they were shown. */
const inverted = (right: AssignmentStrategy): AssignmentStrategy =>
  reassign(right, (pool, images, noise, noiseIndex) => {
    const report = right.assign(pool, images, noise, noiseIndex)
    const k = right.candidatesPerImage
    // Of several candidates each image has its own: the like mistake is to read the choice backwards.
    if (k > 1) noiseIndex.forEach((row, image) => (noiseIndex[image] = image * k + (k - 1 - (row % k))))
    else noiseIndex.slice().forEach((row, image) => (noiseIndex[row] = image))
    return report
  })

const beforeFlip = (right: AssignmentStrategy): AssignmentStrategy =>
  reassign(right, (pool, images, noise, noiseIndex) => {
    const data = Int8Array.from(images.data)
    pool.flips.forEach((isFlipped, row) => {
      if (isFlipped) data.set(new Int8Array(mirror(new Uint8Array(data.buffer, row * DIMS, DIMS)).buffer), row * DIMS)
    })
    const unflipped: Matrix = { ...images, data }
    return right.assign(pool, unflipped, noise, noiseIndex)
  })

/** Labels travel with the noise instead of staying with their images. */
function withMovedLabels(batch: Batch): Batch {
  const labels = new Int32Array(tensor(batch, 'labels').buffer)
  const moved = labels.map((_, row) => labels[(row + 1) % N])
  return {
    ...batch,
    tensors: batch.tensors.map((one) => (one.spec.name === 'labels' ? { ...one, data: new Uint8Array(moved.buffer) } : one)),
  }
}

const CASES: readonly (readonly [string, object])[] = [
  ...STRATEGIES.filter(({ kind }) => kind !== 'independent').map(({ kind }) => [kind, { kind }] as const),
  ...(['l1', 'l2', 'squaredL2'] as const).flatMap((metric) =>
    (['float32', 'float16'] as const).map(
      (precision) => [`linear, ${metric}, ${precision}`, { kind: 'linear', metric, precision }] as const,
    ),
  ),
  ['nearest, float16', { kind: 'nearest', candidates: 8, precision: 'float16' }],
  ...(['linear', 'quantized', 'greedy', 'negated'] as const).map((kind) => [`${kind} within label`, { kind, within: 'label' }] as const),
  ['quantized from step 2', { kind: 'quantized', startStep: POOL }],
]

describe.each(CASES)('%s', (_name, assignment) => {
  const config = configOf(assignment)
  const strategy = createStrategy(config.assignment)

  test('is sound, and the same again', () => {
    const batch = batchOf(config, strategy)
    expectSound(batch, config, strategy)
    expect(batchOf(config, createStrategy(config.assignment)).tensors).toEqual(batch.tensors)
  })

  test('would be seen if its permutation were inverted', () => {
    expect(() => expectSound(batchOf(config, inverted(strategy)), config, strategy)).toThrow(/gain/)
  })

  test('would be seen if labels moved', () => {
    expect(() => expectSound(withMovedLabels(batchOf(config, strategy)), config, strategy)).toThrow(/label/)
  })

  test('would be seen if it were applied before the flip: the sent images gain less, and ask for other noise', () => {
    const [right, wrong] = [strategy, beforeFlip(strategy)].map((one) => batchOf(config, one))
    const gains = [right, wrong].map((batch) => Math.abs(gainOf(tensor(batch, 'images'), new Float32Array(tensor(batch, 'noise').buffer))))
    expect(gains[1]).toBeLessThan(0.97 * gains[0])
    expect(() => expectSound(wrong, config, strategy)).toThrow(/choice for the images|^gain/)
    expect(tensor(wrong, 'noise')).not.toEqual(tensor(right, 'noise'))
    expect(tensor(wrong, 'images')).toEqual(tensor(right, 'images'))
  })
})

test('noise that is permuted keeps its lengths, exactly', () => {
  const lengths = (kind: string): number[] => {
    const config = testConfig({ globalBatchSize: N, assignment: { kind } as AssignmentConfig })
    const halves = new Uint16Array(tensor(batchOf(config, createStrategy(config.assignment)), 'noise').buffer)
    const noise = new Float32Array(halves.length)
    fromFloat16(halves, noise)
    return Array.from({ length: N }, (_, row) =>
      noise.subarray(row * DIMS, (row + 1) * DIMS).reduce((sum, value) => sum + value * value, 0),
    ).toSorted((a, b) => a - b)
  }
  const asDrawn = lengths('independent')
  for (const kind of ['linear', 'quantized', 'greedy', 'negated']) expect(lengths(kind)).toEqual(asDrawn)
  expect(lengths('nearest')).not.toEqual(asDrawn)
})
