/** dataset.imageScale: strategies and telemetry see images in the model's scale, the wire does not change. */
import { expect, test } from 'vitest'
import type { AssignmentStrategy, Matrix } from '../../../ts/assignment/assignment.ts'
import { independent } from '../../../ts/assignment/independent.ts'
import { createStrategy } from '../../../ts/assignment/table.ts'
import type { Dataset } from '../../../ts/dataset/dataset.ts'
import { datasetOf } from '../../../ts/dataset/stored.ts'
import { loadDigits } from '../../../ts/dataset/digits.ts'
import { plainKernel } from '../../../ts/kernel/plain.ts'
import { createPoolSource, type Batch } from '../../../ts/pipeline/source.ts'
import { testConfig } from '../../fixture/config.ts'

const digits = loadDigits()
const DIMS = 64

function poolOf(
  imageScale: number,
  size: number,
  kind: 'independent' | 'linear' | 'quantized',
  strategy?: AssignmentStrategy,
  pool = 0,
): Batch {
  const dataset = { kind: 'digits', imageScale } as const
  const config = testConfig({ dataset, globalBatchSize: size, assignment: { kind }, pipeline: { noiseDtype: 'float32' } })
  return createPoolSource(config, digits, strategy ?? createStrategy(config.assignment), plainKernel).pool(pool)[0]
}

const bytesOf = (batch: Batch, name: string): Uint8Array => batch.tensors.find(({ spec }) => spec.name === name)?.data ?? new Uint8Array()

const valueOf = ({ data, scale, offset }: Matrix, at: number): number => data[at] * scale + offset

/** Mean distance of image and noise, from the bytes that are sent: what the worker would find. */
function sentDistance(batch: Batch, imageScale: number): number {
  const images = bytesOf(batch, 'images')
  const noise = new Float32Array(bytesOf(batch, 'noise').slice().buffer)
  let sum = 0
  for (let image = 0; image < batch.numImages; image++) {
    let squares = 0
    for (let d = image * DIMS; d < (image + 1) * DIMS; d++) squares += ((images[d] / 127.5 - 1) * imageScale - noise[d]) ** 2
    sum += Math.sqrt(squares)
  }
  return sum / batch.numImages
}

test.each([0.5, 1, 2, 4])('times %d: a strategy sees pixels from -imageScale to imageScale', (imageScale) => {
  const seen: number[] = []
  const spy: AssignmentStrategy = {
    ...independent(),
    assign(pool, images, noise, noiseIndex) {
      seen.push(...Array.from(images.data, (_, at) => valueOf(images, at)))
      return independent().assign(pool, images, noise, noiseIndex)
    },
  }
  const sent = bytesOf(poolOf(imageScale, 64, 'independent', spy), 'images')
  expect(Math.max(...seen.map((value, at) => Math.abs(value - (sent[at] / 127.5 - 1) * imageScale)))).toBeLessThan(1e-6)
  expect([Math.min(...seen), Math.max(...seen)]).toEqual([expect.closeTo(-imageScale), expect.closeTo(imageScale)])
})

test.each([0.5, 1, 2, 4])('times %d: distances are those that the worker would find, at this scale and at no other', (imageScale) => {
  for (const kind of ['independent', 'quantized'] as const) {
    const batch = poolOf(imageScale, 64, kind)
    expect(batch.assignment.postCost).toBeCloseTo(sentDistance(batch, imageScale), 3)
    for (const other of [0.5, 1, 2, 4]) {
      if (other !== imageScale) expect(Math.abs(batch.assignment.postCost - sentDistance(batch, other))).toBeGreaterThan(1)
    }
  }
})

test('costs of squared distances have the same optimum at any scale, so the bytes on the wire are the same', () => {
  for (const kind of ['linear', 'quantized'] as const) {
    const [plain, scaled] = [1, 4].map((imageScale) => poolOf(imageScale, 128, kind))
    for (const name of ['images', 'noise', 'labels', 'uniforms']) expect(bytesOf(scaled, name)).toEqual(bytesOf(plain, name))
    expect(scaled.assignment.gain).toBeCloseTo(plain.assignment.gain, 4)
  }
})

test('costs of distances have another optimum at another scale, and a strategy can find it', () => {
  const pools = Array.from({ length: 100 }, (_, pool) => pool)
  const pairings = (imageScale: number, cost: Cost): string[] => {
    const config = testConfig({ dataset: { kind: 'digits', imageScale }, globalBatchSize: 5, pipeline: { noiseDtype: 'float32' } })
    const source = createPoolSource(config, faintAndStrong, bruteForce(cost), plainKernel)
    return pools.map((pool) => Buffer.from(bytesOf(source.pool(pool)[0], 'noise')).toString('hex'))
  }
  const l2: Cost = (images, noise, i, j) => Math.sqrt(squaredL2(images, noise, i, j))
  const numChanged = (cost: Cost): number => {
    const [plain, scaled] = [pairings(1, cost), pairings(4, cost)]
    return pools.filter((pool) => plain[pool] !== scaled[pool]).length
  }
  expect(numChanged(l2)).toBeGreaterThan(3)
  expect(numChanged(squaredL2), 'control: squared').toBe(0)
  expect(
    numChanged((images, noise, i, j) => l2({ ...images, scale: 1 / 127.5, offset: 0.5 / 127.5 }, noise, i, j)),
    'control: a strategy that does not look at the scale',
  ).toBe(0)
})

/** Images of very different contrast: where norms are alike, as those of digits are, both costs agree nearly always. */
const faintAndStrong: Dataset = datasetOf(
  'faint and strong',
  [100, 1, 4, 4],
  Uint8Array.from({ length: 1600 }, (_, at) => {
    const [index, d] = [Math.floor(at / 16), at % 16]
    const amplitude = index % 2 ? 120 : 15
    return Math.round(127.5 + amplitude * Math.sin(index * 7.1 + d * (1 + (index % 5))))
  }),
)

type Cost = (images: Matrix, noise: Matrix, i: number, j: number) => number

function squaredL2(images: Matrix, noise: Matrix, i: number, j: number): number {
  let sum = 0
  for (let d = 0; d < images.dims; d++) sum += (valueOf(images, i * images.dims + d) - valueOf(noise, j * images.dims + d)) ** 2
  return sum
}

/** The best of all permutations. */
function bruteForce(cost: Cost): AssignmentStrategy {
  return {
    name: 'brute-force',
    candidatesPerImage: 1,
    assign(_pool, images, noise, noiseIndex) {
      const rows = Array.from({ length: images.rows }, (_, row) => row)
      const costs = rows.map((i) => rows.map((j) => cost(images, noise, i, j)))
      let best = Infinity
      for (const permutation of permutations(rows)) {
        const total = permutation.reduce((sum, row, image) => sum + costs[image][row], 0)
        if (total >= best) continue
        best = total
        noiseIndex.set(permutation)
      }
      return {}
    },
  }
}

function permutations(values: readonly number[]): number[][] {
  if (values.length === 0) return [[]]
  return values.flatMap((first) => permutations(values.filter((value) => value !== first)).map((rest) => [first, ...rest]))
}
