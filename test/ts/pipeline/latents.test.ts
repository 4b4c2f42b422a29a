/** Latents in batch(step): each a draw out of its posterior by sample number, assigned as they are sent; what cannot be done to them is refused. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import type { TrainConfig, TrainConfigInput } from '../../../protocol/index.ts'
import type { AssignmentStrategy, Matrix } from '../../../ts/assignment/assignment.ts'
import { independent } from '../../../ts/assignment/independent.ts'
import { createStrategy, STRATEGIES } from '../../../ts/assignment/table.ts'
import { checkData } from '../../../ts/conditions.ts'
import type { Dataset } from '../../../ts/dataset/dataset.ts'
import { loadDigits } from '../../../ts/dataset/digits.ts'
import { splitImages } from '../../../ts/dataset/split.ts'
import { plainKernel } from '../../../ts/kernel/plain.ts'
import { createSimdKernel } from '../../../ts/kernel/simd/simd.ts'
import { datasetDirections } from '../../../ts/pipeline/dataset-directions.ts'
import { openPipeline } from '../../../ts/pipeline/pipeline.ts'
import { arenaBytes, batchImages, createPoolSource, poolLayout, type Batch, type PoolSource } from '../../../ts/pipeline/source.ts'
import { flips } from '../../../ts/random/sample.ts'
import { testConfig } from '../../fixture/config.ts'
import { LATENT_DIMS as DIMS, LATENT_SHAPE, latentDataset } from '../../fixture/latents.ts'
import { scipyOptima } from '../../fixture/python.ts'

/** As ts/random/stream.ts has it: version 1, purpose 9. */
const LATENT_STREAM = (1 << 24) | 9
const SMALL: Partial<TrainConfigInput> = { globalBatchSize: 8, seed: 3, pipeline: { noiseDtype: 'float32' } }

const floatsOf = ({ tensors }: Batch, name: string): Float32Array => {
  const { data } = tensors.find(({ spec }) => spec.name === name) ?? { data: new Uint8Array() }
  return new Float32Array(data.slice().buffer)
}

function sourceOf(config: TrainConfig, dataset: Dataset, strategy?: AssignmentStrategy): PoolSource {
  return createPoolSource(config, dataset, strategy ?? createStrategy(config.assignment), plainKernel)
}

/** mean + std * normal, number by number. */
function expectedLatents(config: TrainConfig, dataset: Dataset, parts: readonly Float32Array[], step: number): Float32Array {
  const images = batchImages(config, dataset, step)
  const mirrored = new Uint8Array(images.length)
  const first = step * config.globalBatchSize
  if (config.dataset.horizontalFlip) flips(config.seed, first, mirrored)
  const half = parts.length > 2 ? 2 : 0
  return Float32Array.from({ length: images.length * DIMS }, (_, at) => {
    const row = Math.floor(at / DIMS)
    const normal = new Float32Array(DIMS)
    plainKernel.normal(config.seed, LATENT_STREAM, BigUint64Array.of(BigInt(first + row)), DIMS, normal)
    const place = images[row] * DIMS + (at % DIMS)
    const part = mirrored[row] === 1 ? half : 0
    return parts[part][place] + parts[part + 1][place] * normal[at % DIMS]
  })
}

test.each([false, true])('a latent is mean + std * normal of its sample, mirrored where it is (horizontalFlip %s)', (horizontalFlip) => {
  const { dataset, parts } = latentDataset({ hasMirrored: true })
  const config = testConfig({ ...SMALL, dataset: { kind: 'digits', horizontalFlip } })
  const source = sourceOf(config, dataset)
  for (const step of [0, 5, 30]) {
    const [batch] = source.pool(step)
    expect(batch.tensors[0].spec).toMatchObject({ name: 'images', dtype: 'float32', shape: [8, ...LATENT_SHAPE], byteLength: 4 * 8 * DIMS })
    const expected = expectedLatents(config, dataset, parts, step)
    expect(floatsOf(batch, 'images')).toEqual(expected)
    expect(expected.some((value) => Math.abs(value) > 2)).toBe(true)
    expect(floatsOf(batch, 'images'), 'control: another sample').not.toEqual(expectedLatents(config, dataset, parts, step + 1))
    const other = { ...config, seed: 4 }
    expect(floatsOf(sourceOf(other, dataset).pool(step)[0], 'images'), 'control: another seed').not.toEqual(expected)
  }
})

test('the same sample is the same draw in any thread, pool size and order; in the next epoch it is another', async () => {
  const { dataset } = latentDataset({ numImages: 32 })
  const config = testConfig({ ...SMALL, assignment: { kind: 'quantized', poolSize: 32 }, pipeline: { threads: 2 } })
  const small = testConfig({ ...SMALL, assignment: { kind: 'quantized', poolSize: 8 } })
  await using pipeline = openPipeline(config, dataset)
  const source = sourceOf(small, dataset)
  const seen = new Map<string, Set<string>>()
  for (const step of [7, 0, 3, 12, 1, 7]) {
    const batch = await pipeline.batch(step)
    expect(floatsOf(batch, 'images')).toEqual(floatsOf(source.pool(step)[0], 'images'))
  }
  for (let step = 0; step < 12; step++) {
    const latents = floatsOf(source.pool(step)[0], 'images')
    batchImages(small, dataset, step).forEach((image, row) => {
      const draws = seen.get(String(image)) ?? new Set<string>()
      seen.set(String(image), draws.add(latents.slice(row * DIMS, (row + 1) * DIMS).join()))
    })
  }
  expect([...seen.values()].map((draws) => draws.size)).toEqual(Array<number>(32).fill(3))
})

test('without a std the latent is the mean, whatever the seed', () => {
  const { dataset, parts } = latentDataset({ hasStd: false })
  const config = testConfig(SMALL)
  const expected = Float32Array.from({ length: 8 * DIMS }, (_, at) => {
    const image = batchImages(config, dataset, 2)[Math.floor(at / DIMS)]
    return parts[0][image * DIMS + (at % DIMS)]
  })
  expect(floatsOf(sourceOf(config, dataset).pool(2)[0], 'images')).toEqual(expected)
})

test('held-out images are their means, not mirrored', () => {
  const { dataset, parts } = latentDataset({ hasMirrored: true })
  const config = testConfig({ ...SMALL, dataset: { kind: 'digits', horizontalFlip: true }, validation: { numImages: 8 } })
  const { heldOut } = splitImages(60, 8, 3)
  const expected = Float32Array.from({ length: 8 * DIMS }, (_, at) => parts[0][heldOut[Math.floor(at / DIMS)] * DIMS + (at % DIMS)])
  expect(floatsOf(sourceOf(config, dataset).heldOutPool(0)[0], 'images')).toEqual(expected)
})

test.each([1, 3])('a strategy sees what is sent, times imageScale (%d)', (imageScale) => {
  const seen: Matrix[] = []
  const spy: AssignmentStrategy = {
    ...independent(),
    assign(pool, images, noise, noiseIndex) {
      seen.push({ ...images, data: images.data.slice() })
      return independent().assign(pool, images, noise, noiseIndex)
    },
  }
  const { dataset } = latentDataset()
  const config = testConfig({ ...SMALL, dataset: { kind: 'digits', imageScale } })
  const sent = floatsOf(sourceOf(config, dataset, spy).pool(1)[0], 'images')
  const [{ data, ...layout }] = seen
  expect(layout).toEqual({ rows: 8, dims: DIMS, scale: imageScale, offset: 0 })
  expect(data).toEqual(sent)
})

/** Squared distances of what is sent, image by noise; noise in the order in which it was drawn. */
function distances(config: TrainConfig, dataset: Dataset, n: number): { cost: Float32Array; noise: Float32Array; images: Float32Array } {
  const [batch] = sourceOf({ ...config, assignment: { kind: 'independent', poolSize: n } }, dataset).pool(0)
  const [images, noise] = [floatsOf(batch, 'images'), floatsOf(batch, 'noise')]
  const cost = Float32Array.from({ length: n * n }, (_, at) => squared(images, Math.floor(at / n), noise, at % n))
  return { cost, noise, images }
}

function squared(images: Float32Array, i: number, noise: Float32Array, j: number): number {
  let sum = 0
  for (let at = 0; at < DIMS; at++) sum += (images[i * DIMS + at] - noise[j * DIMS + at]) ** 2
  return sum
}

function sentCost(batch: Batch): number {
  const [images, noise] = [floatsOf(batch, 'images'), floatsOf(batch, 'noise')]
  return Array.from({ length: batch.numImages }, (_, row) => squared(images, row, noise, row)).reduce((sum, value) => sum + value, 0)
}

test('small pools of latents are assigned as brute force assigns them', () => {
  const { dataset } = latentDataset()
  const n = 6
  const permutations = (rest: readonly number[]): number[][] =>
    rest.length === 0
      ? [[]]
      : rest.flatMap((first) => permutations(rest.filter((other) => other !== first)).map((tail) => [first, ...tail]))
  for (const seed of [1, 2, 3, 4]) {
    const config = testConfig({ ...SMALL, seed, globalBatchSize: n, assignment: { kind: 'linear' } })
    const { cost } = distances(config, dataset, n)
    const sums = permutations([...Array(n).keys()]).map((order) => order.reduce((sum, column, row) => sum + cost[row * n + column], 0))
    const best = sums.reduce((least, sum) => Math.min(least, sum))
    for (const kind of ['linear', 'quantized'] as const) {
      const [batch] = sourceOf({ ...config, assignment: createSection(kind, n) }, dataset).pool(0)
      expect(sentCost(batch)).toBeCloseTo(best, kind === 'linear' ? 3 : 0)
    }
    expect(sums.filter((sum) => sum > best + 1).length, 'control: most orders cost more').toBeGreaterThan(sums.length / 2)
  }
})

test("pools of 48 are assigned as SciPy assigns them: linear exactly, quantized within its tolerance and int8's rounding", async () => {
  const { dataset } = latentDataset()
  const n = 48
  const config = testConfig({ ...SMALL, globalBatchSize: n })
  const { cost } = distances(config, dataset, n)
  const [best] = await scipyOptima([{ n, cost }])
  const before = Array.from({ length: n }, (_, row) => cost[row * n + row]).reduce((sum, value) => sum + value, 0)
  for (const [kind, share] of [
    ['linear', 1e-6],
    ['quantized', 0.01],
  ] as const) {
    const [batch] = sourceOf({ ...config, assignment: createSection(kind, n) }, dataset).pool(0)
    expect(sentCost(batch)).toBeLessThan(best + share * (before - best) + 1e-2)
    expect(sentCost(batch)).toBeGreaterThan(best - 1e-2)
  }
  expect(before).toBeGreaterThan(1.1 * best)
})

function createSection(kind: 'linear' | 'quantized', poolSize: number): TrainConfig['assignment'] {
  return testConfig({ globalBatchSize: poolSize, assignment: { kind } }).assignment
}

const KINDS = STRATEGIES.map(({ kind }) => kind)
test.each(KINDS)('%s runs on latents, with the SIMD kernel as with the plain one, and images stay where they are', (kind) => {
  const { dataset } = latentDataset()
  const objective = kind === 'persistent' ? { kind: 'flow' as const } : { kind: 'ddim' as const }
  const config = testConfig({ ...SMALL, objective, assignment: { kind, poolSize: 16 } })
  const strategy = createStrategy(config.assignment)
  const tables = {
    before: new BigUint64Array(new SharedArrayBuffer(8 * 120)).map((_, key) => BigInt(key)) as never,
    after: new BigUint64Array(new SharedArrayBuffer(8 * 120)),
  }
  const [plain, simd] = [plainKernel, createSimdKernel()].map((kernel) =>
    createPoolSource(config, dataset, strategy, kernel).pool(1, strategy.keptNoise && tables),
  )
  const baseline = sourceOf({ ...config, assignment: { kind: 'independent', poolSize: 16 } }, dataset).pool(1)
  for (const part of [0, 1]) {
    expect(floatsOf(plain[part], 'images')).toEqual(floatsOf(baseline[part], 'images'))
    for (const name of ['images', 'noise', 'uniforms']) expect(floatsOf(simd[part], name)).toEqual(floatsOf(plain[part], name))
  }
  const raised = plain[0].assignment.gain - baseline[0].assignment.gain
  if (kind === 'independent') expect(raised).toBe(0)
  else expect(Math.abs(raised)).toBeGreaterThan(0.3)
})

test('directions are those of the means', () => {
  const { dataset, parts } = latentDataset({ hasStd: true })
  const meansAlone = latentDataset({ hasStd: false })
  expect(meansAlone.parts[0]).toEqual(parts[0])
  expect(datasetDirections(dataset)).toEqual(datasetDirections(meansAlone.dataset))
  expect(datasetDirections(dataset).principal.length % DIMS).toBe(0)
})

test('what a pool weighs counts floats', () => {
  const config = testConfig({ globalBatchSize: 8 })
  const { dataset } = latentDataset()
  const asPixels: Dataset = { ...dataset, dtype: 'uint8' }
  const bytesOf = (batch: Batch): number => batch.tensors.reduce((sum, { data }) => sum + data.byteLength, 0)
  expect(poolLayout(config, dataset).poolBytes).toBe(bytesOf(sourceOf(config, dataset).pool(0)[0]))
  expect(poolLayout(config, dataset).poolBytes - poolLayout(config, asPixels).poolBytes).toBe(8 * DIMS * 3)
  expect(arenaBytes(config, dataset) - arenaBytes(config, asPixels)).toBe(8 * DIMS * 4)
})

describe('what cannot be done to latents is refused', () => {
  const latents = latentDataset().dataset
  const withMirrored = latentDataset({ hasMirrored: true }).dataset
  const digits = loadDigits()
  const section = (changes: object): TrainConfig =>
    testConfig({
      dataset: { kind: 'digits', ...changes } as never,
      network: { blockOutChannels: [8], downBlockTypes: ['DownBlock2D'], upBlockTypes: ['UpBlock2D'] },
    })

  test.each([
    [
      { horizontalFlip: true },
      'dataset.horizontalFlip',
      'expected false, since latents holds latents without those of the mirror images, got true',
    ],
    [{ randomCropPadding: 1 }, 'dataset.randomCropPadding', 'expected 0, since latents holds latents, which cannot be cropped, got 1'],
    [{ randomResizedCrop: 0.5 }, 'dataset.randomResizedCrop', 'expected 1, since latents holds latents, which cannot be cropped, got 0.5'],
  ])('%o', (changes, path, message) => {
    expect(checkData(section(changes), latents)).toEqual([{ path, message }])
    expect(checkData(section(changes), digits), 'control: pixels').toEqual([])
  })

  test('a flip is none of it where the mirror images were encoded', () => {
    expect(checkData(section({ horizontalFlip: true }), withMirrored)).toEqual([])
  })

  test('nor is lpips, which looks at pixels', () => {
    const config = testConfig({
      objective: { kind: 'consistency', loss: 'lpips', lpipsWeights: '/x' } as never,
      network: { module: 'a.b' },
    })
    expect(checkData(config, latents)).toMatchObject([{ path: 'objective.loss' }])
    expect(checkData(config, digits)).toEqual([])
  })

  test('an autoencoder has to be one, with as many channels; and pixels need none', () => {
    const folder = mkdtempSync(join(tmpdir(), 'immiscible-vae-'))
    onTestFinished(() => rmSync(folder, { recursive: true }))
    const arrays = { kind: 'arrays', path: '/x.safetensors', vae: folder } as const
    const config = testConfig({ dataset: arrays, network: { module: 'a.b' } })
    const messages = (dataset: Dataset = latents): string[] => checkData(config, dataset).map(({ path, message }) => `${path}: ${message}`)
    const describeVae = (json: object | string): void =>
      writeFileSync(join(folder, 'config.json'), typeof json === 'string' ? json : JSON.stringify(json))
    expect(messages()).toEqual([`dataset.vae: expected a folder with config.json and diffusion_pytorch_model.safetensors, got ${folder}`])
    writeFileSync(join(folder, 'diffusion_pytorch_model.safetensors'), '')
    describeVae('{')
    expect(messages()[0]).toContain(`${folder}: config.json cannot be read: `)
    describeVae({ _class_name: 'VQModel' })
    expect(messages()[0]).toContain('expected _class_name "AutoencoderKL"')
    describeVae({ _class_name: 'AutoencoderKL', latent_channels: 16 })
    expect(messages()[0]).toContain('expected latent_channels 4, since the latents of latents are 4 x 2 x 3, got 16')
    describeVae({ _class_name: 'AutoencoderKL', latent_channels: 4, shift_factor: 0.1 })
    expect(messages()[0]).toContain('expected shift_factor null, since latents are multiplied by a factor alone, got 0.1')
    describeVae({ _class_name: 'AutoencoderKL', latent_channels: 4 })
    expect(messages()).toEqual([])
    expect(messages(digits)).toEqual([`dataset.vae: expected null, since digits holds pixels and not latents, got ${folder}`])
  })
})
