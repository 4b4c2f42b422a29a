/** Where an analysis takes its images from: a data set of the table, or Gaussian numbers, for which there are figures to compare with. */
import { resolveConfig, type TrainConfigInput } from '../../protocol/index.ts'
import type { Matrix } from '../assignment/assignment.ts'
import { findDirections, type Directions } from '../assignment/directions.ts'
import { countNumbers, type Dataset } from '../dataset/dataset.ts'
import { openDataset } from '../dataset/table.ts'
import { ConfigError } from '../errors.ts'
import type { Arena, Kernel } from '../kernel/kernel.ts'
import { createSimdKernel } from '../kernel/simd/simd.ts'
import { datasetDirections } from '../pipeline/dataset-directions.ts'
import { readLatents } from '../pipeline/latents.ts'
import { readPixels, toPixelMatrix } from '../pipeline/pixels.ts'
import { shuffledIndex } from '../random/shuffle.ts'
import { STREAM } from '../random/stream.ts'

/** Images whose numbers are independent and normal. For analysis only. */
export interface GaussianDataset {
  readonly kind: 'gaussian'
  /** Root mean square of the numbers: about 0.5 for photographs in [-1, 1], 1 where images are standardised. Default 0.5. */
  readonly imageRms?: number
  /** Numbers per image; default 3,072, a 32x32 image in colour. */
  readonly dims?: number
}

export type AnalysisDataset = Exclude<TrainConfigInput['dataset'], string> | GaussianDataset

export interface SceneBatch {
  readonly images: Matrix
  readonly sampleIndices: Int32Array
  readonly labels?: Int32Array
}

export interface Scene {
  readonly name: string
  /** null: without end. */
  readonly numImages: number | null
  readonly dims: number
  readonly imageRms: number
  /** Along which drift is measured. */
  readonly directions: Directions
  /** `size` images by seed, in `arena`. */
  draw(seed: number, size: number, kernel: Kernel, arena: Arena): SceneBatch
}

const DEFAULT_RMS = 0.5
const DEFAULT_DIMS = 3072
/** Numbers of the noise begin at 0: these never meet them. */
const FIRST_IMAGE_KEY = 2 ** 40
const FIRST_SAMPLE_KEY = 2 ** 41
const NUM_SAMPLE = 1024
const MAX_RMS_IMAGES = 10_000

/** Rejects with a ConfigError where the data set is none. */
export async function openScene(input: AnalysisDataset): Promise<Scene> {
  if (input.kind === 'gaussian') return gaussianScene(input)
  const resolved = resolveConfig({ dataset: input, outputDir: 'unused' })
  if ('problems' in resolved) throw new ConfigError(resolved.problems)
  return datasetScene(await openDataset(resolved.config.dataset))
}

function gaussianScene({ imageRms = DEFAULT_RMS, dims = DEFAULT_DIMS }: GaussianDataset): Scene {
  const problems = [
    ...(imageRms > 0 && Number.isFinite(imageRms) ? [] : [{ path: 'dataset.imageRms', message: `expected more than 0, got ${imageRms}` }]),
    ...(Number.isInteger(dims) && dims > 0 ? [] : [{ path: 'dataset.dims', message: `expected an integer of at least 1, got ${dims}` }]),
  ]
  if (problems.length > 0) throw new ConfigError(problems)
  const fill = (kernel: Kernel, seed: number, firstKey: number, out: Float32Array): void => {
    const keys = BigUint64Array.from({ length: out.length / dims }, (_, row) => BigInt(firstKey + row))
    kernel.normal(seed, STREAM.noise, keys, dims, out)
    for (let at = 0; at < out.length; at++) out[at] *= imageRms
  }
  const toMatrix = (data: Float32Array): Matrix => ({ data, rows: data.length / dims, dims, scale: 1, offset: 0 })
  const kernel = createSimdKernel()
  const sample = new Float32Array(NUM_SAMPLE * dims)
  fill(kernel, 0, FIRST_SAMPLE_KEY, sample)
  return {
    name: `gaussian, RMS ${imageRms}`,
    numImages: null,
    dims,
    imageRms,
    directions: findDirections(toMatrix(sample), kernel),
    draw(seed, size, thread, arena) {
      const data = arena.array(Float32Array, size * dims)
      fill(thread, seed, FIRST_IMAGE_KEY, data)
      return { images: toMatrix(data), sampleIndices: Int32Array.from({ length: size }, (_, row) => row) }
    },
  }
}

function datasetScene(dataset: Dataset): Scene {
  const { name, numImages, labels } = dataset
  const dims = countNumbers(dataset)
  return {
    name,
    numImages,
    dims,
    imageRms: rmsOf(dataset, dims),
    directions: datasetDirections(dataset),
    draw(seed, size, kernel, arena) {
      const sampleIndices = Int32Array.from({ length: size }, (_, position) => shuffledIndex(seed, 0, numImages, position))
      const images: Matrix =
        dataset.dtype === 'float32'
          ? { data: arena.place(readLatents(dataset, sampleIndices)), rows: size, dims, scale: 1, offset: 0 }
          : toPixelMatrix(readPixels(dataset, sampleIndices), dims, 1, kernel, arena)
      return { images, sampleIndices, ...(labels && { labels: sampleIndices.map((image) => labels[image]) }) }
    },
  }
}

/** Of a sample where there are many. */
function rmsOf(dataset: Dataset, dims: number): number {
  const { numImages } = dataset
  const numRead = Math.min(numImages, MAX_RMS_IMAGES)
  let sum = 0
  for (let position = 0; position < numRead; position++) {
    const image = Int32Array.of(numRead < numImages ? shuffledIndex(0, 0, numImages, position) : position)
    if (dataset.dtype === 'float32') for (const value of readLatents(dataset, image)) sum += value ** 2
    else for (const pixel of readPixels(dataset, image)) sum += (pixel / 127.5 - 1) ** 2
  }
  return Math.sqrt(sum / (numRead * dims))
}
