/** batch(step) as a pure function of (config, data set, step): sampler, augmentation, noise, assignment, uniforms. No state between calls. */
import { crc32 } from 'node:zlib'
import {
  DTYPE_BYTES,
  UNIFORM_COLUMNS,
  type AssignmentMetrics,
  type Dtype,
  type TensorSpec,
  type TrainConfig,
} from '../../protocol/index.ts'
import type { AssignmentStrategy, Matrix, PoolContext } from '../assignment/assignment.ts'
import { measurePool, solvePool, type Solution } from '../assignment/assign.ts'
import { measureBytes } from '../assignment/metrics.ts'
import { strategyBytes } from '../assignment/table.ts'
import { countNumbers, type Dataset } from '../dataset/dataset.ts'
import { splitImages } from '../dataset/split.ts'
import { ConfigError } from '../errors.ts'
import type { Arena, Kernel } from '../kernel/kernel.ts'
import { MAX_ARENA_BYTES } from '../kernel/simd/simd.ts'
import { consecutiveKeys, flips, isRefreshed, uniforms } from '../random/sample.ts'
import { shuffledIndex } from '../random/shuffle.ts'
import { STREAM } from '../random/stream.ts'
import { datasetDirections } from './dataset-directions.ts'
import { entryOf, type PoolTables } from './kept-noise.ts'
import { openLatents } from './latents.ts'
import { openPixels } from './pixels.ts'

const ALIGNMENT_BYTES = 2 ** 20

/** What a pool draws its numbers from. */
interface Streams {
  readonly noise: number
  readonly uniforms: number
}
const TRAIN: Streams = { noise: STREAM.noise, uniforms: STREAM.uniforms }
const HELD_OUT: Streams = { noise: STREAM.heldOutNoise, uniforms: STREAM.heldOutUniforms }

export interface BatchTensor {
  readonly spec: TensorSpec
  readonly data: Uint8Array<ArrayBuffer>
}

/** One optimiser step's worth of a pool, ready for the wire. */
export interface Batch {
  readonly step: number
  readonly epoch: number
  readonly numImages: number
  /** images uint8 or, of latents, float32 [B, C, H, W], noise float16 | float32 [B, C, H, W], labels int32 [B] where there are any, uniforms float32 [B, 3]. */
  readonly tensors: readonly BatchTensor[]
  /** Of the whole pool that the batch was cut from. */
  readonly assignment: AssignmentMetrics
  /** Milliseconds, the pool's divided by its number of batches. */
  readonly noiseMs: number
  readonly assignMs: number
  readonly measureMs: number
}

export interface PoolSource {
  /** All batches of a pool, in step order: pool p holds steps p * batchesPerPool and on. `tables` where the strategy keeps noise: `after` is written. */
  pool(index: number, tables?: PoolTables): Batch[]
  /**
   * The held-out images, poolSize at a time and then what is left, in batches of globalBatchSize at most; step and epoch are 0. Each image comes once, not
   * mirrored; its noise is of a stream of its own and assigned over its pool, as training does from `startStep` on and where no noise was kept yet.
   */
  heldOutPool(index: number): Batch[]
}

/** Messages that carry the held-out images. */
export function numHeldOutBatches({ globalBatchSize, validation }: TrainConfig): number {
  return Math.ceil(validation.numImages / globalBatchSize)
}

/** How steps map to pools, and what one solved pool weighs in bytes. */
export function poolLayout(config: TrainConfig, dataset: Dataset): { batchesPerPool: number; poolBytes: number } {
  const dims = countNumbers(dataset)
  const noiseBytes = DTYPE_BYTES[config.pipeline.noiseDtype]
  const { poolSize } = config.assignment
  return {
    batchesPerPool: poolSize / config.globalBatchSize,
    poolBytes: poolSize * (dims * (DTYPE_BYTES[dataset.dtype] + noiseBytes) + 4 * UNIFORM_COLUMNS.length + (dataset.labels ? 4 : 0)),
  }
}

/** Which images a pool has, by their numbers in the data set. `train`: those that are trained on. */
function poolImages({ seed, assignment: { poolSize } }: TrainConfig, train: Int32Array, index: number): Int32Array {
  const poolsPerEpoch = Math.floor(train.length / poolSize)
  const epoch = Math.floor(index / poolsPerEpoch)
  const firstPosition = (index % poolsPerEpoch) * poolSize
  return Int32Array.from({ length: poolSize }, (_, i) => train[shuffledIndex(seed, epoch, train.length, firstPosition + i)])
}

/** Which images the batch of a step has, by their numbers in the data set and in the order of its rows. */
export function batchImages(config: TrainConfig, dataset: Dataset, step: number): Int32Array {
  const { batchesPerPool } = poolLayout(config, dataset)
  const { train } = splitImages(dataset.numImages, config.validation.numImages, config.seed)
  const first = (step % batchesPerPool) * config.globalBatchSize
  return poolImages(config, train, Math.floor(step / batchesPerPool)).slice(first, first + config.globalBatchSize)
}

/**
 * Bytes of a kernel's arena in which a pool is solved: noise as float32, images as int8 (latents also as float32), and the most that is there beside them at a time.
 * A little more than that, since arrays begin on cache lines.
 */
export function arenaBytes({ assignment }: TrainConfig, dataset: Dataset, candidatesPerImage = 1): number {
  const dims = countNumbers(dataset)
  const imageBytes = dims * (dataset.dtype === 'float32' ? 5 : 1)
  const { poolSize } = assignment
  const atATime = Math.max(poolSize * dims, strategyBytes(assignment, dims), measureBytes(poolSize, dims))
  return poolSize * (candidatesPerImage * (4 * dims + 8) + imageBytes) + atATime + ALIGNMENT_BYTES
}

/** Throws a ConfigError when a pool does not fit the memory of a WASM kernel. */
export function checkPoolFits(config: TrainConfig, dataset: Dataset, strategy?: AssignmentStrategy): void {
  const { assignment } = config
  const candidates = 'candidates' in assignment ? assignment.candidates : strategy?.candidatesPerImage
  const needed = arenaBytes(config, dataset, candidates)
  if (needed <= MAX_ARENA_BYTES) return
  const { poolSize, kind } = assignment
  const gib = (bytes: number): string => `${(bytes / 2 ** 30).toFixed(1)} GiB`
  const images = `${poolSize} images of ${dataset.imageShape.join(' x ')}`
  const message = `expected a pool that '${kind}' solves in ${gib(MAX_ARENA_BYTES)} (what a WASM kernel can address), got ${images}, which need ${gib(needed)}`
  throw new ConfigError([{ path: 'assignment.poolSize', message }])
}

/**
 * Pools never cross an epoch: an epoch is as many whole pools as fit the images that are trained on, each epoch shuffled anew.
 * Every random number comes from a counter keyed by the global sample number, so pools may be asked for in any order, from any thread.
 */
export function createPoolSource(config: TrainConfig, dataset: Dataset, strategy: AssignmentStrategy, kernel: Kernel): PoolSource {
  const { globalBatchSize, seed, assignment } = config
  const { poolSize } = assignment
  const { batchesPerPool } = poolLayout(config, dataset)
  const { train, heldOut } = splitImages(dataset.numImages, config.validation.numImages, seed)
  const poolsPerEpoch = Math.floor(train.length / poolSize)
  const [channels, height, width] = dataset.imageShape
  const dims = countNumbers(dataset)
  const { noiseDtype } = config.pipeline
  const directions = datasetDirections(dataset, config.dataset)
  const shown = (dataset.dtype === 'float32' ? openLatents : openPixels)(config, dataset, kernel)

  function context(index: number): PoolContext {
    const epoch = Math.floor(index / poolsPerEpoch)
    const firstSample = index * poolSize
    const sampleIndices = poolImages(config, train, index)
    const mirrored = new Uint8Array(poolSize)
    if (config.dataset.horizontalFlip) flips(seed, firstSample, mirrored)
    const firstStep = index * batchesPerPool
    return { epoch, firstStep, firstSample, sampleIndices, flips: mirrored, ...labelsOf(sampleIndices) }
  }

  function heldOutContext(index: number): PoolContext {
    const firstSample = index * poolSize
    const sampleIndices = heldOut.subarray(firstSample, firstSample + poolSize)
    const firstStep = 'startStep' in assignment ? assignment.startStep : 0
    return { epoch: 0, firstStep, firstSample, sampleIndices, flips: new Uint8Array(sampleIndices.length), ...labelsOf(sampleIndices) }
  }

  function labelsOf(sampleIndices: Int32Array): { labels?: Int32Array } {
    const { labels } = dataset
    return labels ? { labels: sampleIndices.map((sample) => labels[sample]) } : {}
  }

  /** Which noise each row is. */
  function noiseKeys(poolContext: PoolContext, tables: PoolTables | undefined, arena: Arena): BigUint64Array {
    const keys = arena.array(BigUint64Array, poolContext.sampleIndices.length * strategy.candidatesPerImage)
    if (tables) keptKeys(poolContext, tables, keys)
    else consecutiveKeys(poolContext.firstSample * strategy.candidatesPerImage, keys)
    strategy.noiseKeys?.(poolContext, keys)
    return keys
  }

  /** The noise that is kept for each image as it is shown, mirrored or not; or, where it is drawn anew, a number that no noise of the run has had. */
  function keptKeys({ epoch, sampleIndices, flips: mirrored }: PoolContext, { before }: PoolTables, keys: BigUint64Array): void {
    const { noisesPerImage = 1, refreshShare = 0 } = strategy.keptNoise ?? {}
    for (let row = 0; row < sampleIndices.length; row++) {
      const entry = entryOf(sampleIndices[row], mirrored[row])
      keys[row] = isRefreshed(seed, epoch, entry, refreshShare) ? BigInt((noisesPerImage + epoch) * before.length + entry) : before[entry]
    }
  }

  function keepAssigned(
    { sampleIndices, flips: mirrored }: PoolContext,
    { after }: PoolTables,
    keys: BigUint64Array,
    noiseIndex: Int32Array,
  ) {
    noiseIndex.forEach((row, image) => {
      after[entryOf(sampleIndices[image], mirrored[image])] = keys[row]
    })
  }

  /** The assigned noise of each image, in image order, as it goes on the wire: the one copy between the kernels and the socket. */
  function gatherNoise(noise: Float32Array, { noiseIndex, noiseSign }: Solution, arena: Arena): Uint8Array<ArrayBuffer> {
    const isFloat32 = noiseDtype === 'float32'
    const length = noiseIndex.length * dims
    const gathered = isFloat32 ? new Float32Array(length) : new Uint16Array(length)
    const halves = arena.array(Uint16Array, dims)
    noiseIndex.forEach((row, image) => {
      const drawn = noise.subarray(row * dims, (row + 1) * dims)
      if (!isFloat32) kernel.toFloat16(drawn, halves)
      gathered.set(isFloat32 ? drawn : halves, image * dims)
    })
    if (noiseSign === -1) {
      const bits = isFloat32 ? new Uint32Array(gathered.buffer) : gathered
      const signBit = 2 ** (8 * bits.BYTES_PER_ELEMENT - 1)
      for (let at = 0; at < bits.length; at++) bits[at] ^= signBit
    }
    return new Uint8Array(gathered.buffer)
  }

  /** Noise and assignment, where the kernels keep their arrays. */
  function solve(poolContext: PoolContext, bytes: Uint8Array<ArrayBuffer>, streams: Streams, tables?: PoolTables) {
    return kernel.scope((arena) => {
      const start = performance.now()
      const keys = noiseKeys(poolContext, tables, arena)
      const noise = arena.array(Float32Array, keys.length * dims)
      kernel.normal(seed, streams.noise, keys, dims, noise)
      const drawn = performance.now()
      const images = shown.toMatrix(bytes, arena)
      const candidates: Matrix = { data: noise, rows: keys.length, dims, scale: 1, offset: 0 }
      const solution = solvePool(strategy, poolContext, images, candidates)
      if (tables) keepAssigned(poolContext, tables, keys, solution.noiseIndex)
      const solved = performance.now()
      const metrics = measurePool(strategy, poolContext, images, candidates, solution, kernel, directions)
      const measured = performance.now()
      const gathered = gatherNoise(noise, solution, arena)
      return { gathered, metrics, noiseMs: drawn - start, assignMs: solved - drawn, measureMs: measured - solved }
    })
  }

  /** A pool, cut into batches of at most globalBatchSize images. */
  function makeBatches(
    poolContext: PoolContext,
    images: Uint8Array<ArrayBuffer>,
    streams: Streams,
    tables?: PoolTables,
  ): Omit<Batch, 'step' | 'epoch'>[] {
    const { firstSample, sampleIndices, labels } = poolContext
    const numRows = sampleIndices.length
    const { gathered, metrics, noiseMs, assignMs, measureMs } = solve(poolContext, images, streams, tables)
    const draws = new Float32Array(numRows * UNIFORM_COLUMNS.length)
    uniforms(seed, firstSample, draws, streams.uniforms)

    const perImage: [name: string, dtype: Dtype, shape: number[], data: Uint8Array<ArrayBuffer>][] = [
      ['images', dataset.dtype, [channels, height, width], images],
      ['noise', noiseDtype, [channels, height, width], gathered],
      ['uniforms', 'float32', [UNIFORM_COLUMNS.length], new Uint8Array(draws.buffer)],
    ]
    if (labels) perImage.splice(2, 0, ['labels', 'int32', [], new Uint8Array((labels as Int32Array<ArrayBuffer>).buffer)])

    const numBatches = Math.ceil(numRows / globalBatchSize)
    return Array.from({ length: numBatches }, (_, part) => {
      const firstRow = part * globalBatchSize
      const numImages = Math.min(globalBatchSize, numRows - firstRow)
      const tensors = perImage.map(([name, dtype, shape, data]) => {
        const rowBytes = data.byteLength / numRows
        const slice = data.subarray(firstRow * rowBytes, (firstRow + numImages) * rowBytes)
        return { spec: { name, dtype, shape: [numImages, ...shape], byteLength: slice.byteLength, crc32: crc32(slice) }, data: slice }
      })
      const times = { noiseMs: noiseMs / numBatches, assignMs: assignMs / numBatches, measureMs: measureMs / numBatches }
      return { numImages, tensors, assignment: metrics, ...times }
    })
  }

  return {
    pool(index, tables) {
      const poolContext = context(index)
      const { epoch, firstStep } = poolContext
      const batches = makeBatches(poolContext, shown.draw(poolContext), TRAIN, tables)
      return batches.map((batch, part) => ({ step: firstStep + part, epoch, ...batch }))
    },
    heldOutPool(index) {
      const poolContext = heldOutContext(index)
      return makeBatches(poolContext, shown.stored(poolContext), HELD_OUT).map((batch) => ({ step: 0, epoch: 0, ...batch }))
    },
  }
}
