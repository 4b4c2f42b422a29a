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
import { runStrategy } from '../assignment/assign.ts'
import type { Dataset } from '../dataset/dataset.ts'
import type { Arena, Kernel } from '../kernel/kernel.ts'
import { consecutiveKeys, flips, uniforms } from '../random/sample.ts'
import { shuffledIndex } from '../random/shuffle.ts'
import { STREAM } from '../random/stream.ts'

export interface BatchTensor {
  readonly spec: TensorSpec
  readonly data: Uint8Array<ArrayBuffer>
}

/** One optimiser step's worth of a pool, ready for the wire. */
export interface Batch {
  readonly step: number
  readonly epoch: number
  readonly numImages: number
  /** images uint8 [B, C, H, W], noise float16 | float32 [B, C, H, W], labels int32 [B] where there are any, uniforms float32 [B, 3]. */
  readonly tensors: readonly BatchTensor[]
  /** Of the whole pool that the batch was cut from. */
  readonly assignment: AssignmentMetrics
  /** Milliseconds, the pool's divided by its number of batches. */
  readonly noiseMs: number
  readonly assignMs: number
}

export interface PoolSource {
  /** All batches of a pool, in step order: pool p holds steps p * batchesPerPool and on. */
  pool(index: number): Batch[]
}

/** How steps map to pools, and what one solved pool weighs in bytes. */
export function poolLayout(config: TrainConfig, dataset: Dataset): { batchesPerPool: number; poolBytes: number } {
  const dims = dataset.imageShape.reduce((product, size) => product * size, 1)
  const noiseBytes = DTYPE_BYTES[config.pipeline.noiseDtype]
  const { poolSize } = config.assignment
  return {
    batchesPerPool: poolSize / config.globalBatchSize,
    poolBytes: poolSize * (dims * (1 + noiseBytes) + 4 * UNIFORM_COLUMNS.length + (dataset.labels ? 4 : 0)),
  }
}

/**
 * Pools never cross an epoch: an epoch is as many whole pools as fit the data set, each epoch shuffled anew.
 * Every random number comes from a counter keyed by the global sample number, so pools may be asked for in any order, from any thread.
 */
export function createPoolSource(config: TrainConfig, dataset: Dataset, strategy: AssignmentStrategy, kernel: Kernel): PoolSource {
  const { globalBatchSize, seed, assignment } = config
  const { poolSize } = assignment
  const { batchesPerPool } = poolLayout(config, dataset)
  const poolsPerEpoch = Math.floor(dataset.numImages / poolSize)
  const [channels, height, width] = dataset.imageShape
  const dims = channels * height * width
  const { noiseDtype } = config.pipeline
  const { imageScale } = config.dataset

  function context(index: number): PoolContext {
    const epoch = Math.floor(index / poolsPerEpoch)
    const firstPosition = (index % poolsPerEpoch) * poolSize
    const firstSample = index * poolSize
    const sampleIndices = Int32Array.from({ length: poolSize }, (_, i) => shuffledIndex(seed, epoch, dataset.numImages, firstPosition + i))
    const mirrored = new Uint8Array(poolSize)
    if (config.dataset.horizontalFlip) flips(seed, firstSample, mirrored)
    const { labels } = dataset
    const labelled = labels ? { labels: sampleIndices.map((sample) => labels[sample]) } : {}
    return { epoch, firstSample, sampleIndices, flips: mirrored, ...labelled }
  }

  function readImages({ sampleIndices, flips: mirrored }: PoolContext): Uint8Array<ArrayBuffer> {
    const pixels = new Uint8Array(poolSize * dims)
    for (let row = 0; row < poolSize; row++) {
      dataset.read(sampleIndices[row], pixels, row * dims)
      if (!mirrored[row]) continue
      for (let line = row * dims; line < (row + 1) * dims; line += width) pixels.subarray(line, line + width).reverse()
    }
    return pixels
  }

  function drawNoise(poolContext: PoolContext, arena: Arena): Float32Array {
    const numRows = poolSize * strategy.candidatesPerImage
    const keys = arena.array(BigUint64Array, numRows)
    consecutiveKeys(poolContext.firstSample * strategy.candidatesPerImage, keys)
    strategy.noiseKeys?.(poolContext, keys)
    const noise = arena.array(Float32Array, numRows * dims)
    kernel.normal(seed, STREAM.noise, keys, dims, noise)
    return noise
  }

  /** The assigned noise of each image, in image order, as it goes on the wire: the one copy between the kernels and the socket. */
  function gatherNoise(noise: Float32Array, noiseIndex: Int32Array, arena: Arena): Uint8Array<ArrayBuffer> {
    if (strategy.noiseSign === -1) for (let at = 0; at < noise.length; at++) noise[at] = -noise[at]
    const values = noiseDtype === 'float32' ? noise : arena.array(Uint16Array, noise.length)
    if (values instanceof Uint16Array) kernel.toFloat16(noise, values)
    const rowBytes = dims * values.BYTES_PER_ELEMENT
    const from = new Uint8Array(values.buffer, values.byteOffset, values.byteLength)
    const gathered = new Uint8Array(poolSize * rowBytes)
    noiseIndex.forEach((row, image) => gathered.set(from.subarray(row * rowBytes, (row + 1) * rowBytes), image * rowBytes))
    return gathered
  }

  /** Noise and assignment, where the kernels keep their arrays. */
  function solve(poolContext: PoolContext, pixels: Uint8Array) {
    return kernel.scope((arena) => {
      const start = performance.now()
      const noise = drawNoise(poolContext, arena)
      const drawn = performance.now()
      const packed = arena.array(Int8Array, pixels.length)
      kernel.packPixels(pixels, packed)
      const images: Matrix = { data: packed, rows: poolSize, dims, scale: imageScale / 127.5, offset: (0.5 * imageScale) / 127.5 }
      const candidates: Matrix = { data: noise, rows: poolSize * strategy.candidatesPerImage, dims, scale: 1, offset: 0 }
      const { noiseIndex, metrics } = runStrategy(strategy, poolContext, images, candidates, kernel)
      const assigned = performance.now()
      const gathered = gatherNoise(noise, noiseIndex, arena)
      return { gathered, metrics, noiseMs: drawn - start, assignMs: assigned - drawn }
    })
  }

  function pool(index: number): Batch[] {
    const poolContext = context(index)
    const pixels = readImages(poolContext)
    const { gathered, metrics, noiseMs, assignMs } = solve(poolContext, pixels)
    const draws = new Float32Array(poolSize * UNIFORM_COLUMNS.length)
    uniforms(seed, poolContext.firstSample, draws)

    const perImage: [name: string, dtype: Dtype, shape: number[], data: Uint8Array<ArrayBuffer>][] = [
      ['images', 'uint8', [channels, height, width], pixels],
      ['noise', noiseDtype, [channels, height, width], gathered],
      ['uniforms', 'float32', [UNIFORM_COLUMNS.length], new Uint8Array(draws.buffer)],
    ]
    if (poolContext.labels)
      perImage.splice(2, 0, ['labels', 'int32', [], new Uint8Array((poolContext.labels as Int32Array<ArrayBuffer>).buffer)])

    return Array.from({ length: batchesPerPool }, (_, part) => ({
      step: index * batchesPerPool + part,
      epoch: poolContext.epoch,
      numImages: globalBatchSize,
      tensors: perImage.map(([name, dtype, shape, data]) => {
        const byteLength = data.byteLength / batchesPerPool
        const slice = data.subarray(part * byteLength, (part + 1) * byteLength)
        return { spec: { name, dtype, shape: [globalBatchSize, ...shape], byteLength, crc32: crc32(slice) }, data: slice }
      }),
      assignment: metrics,
      noiseMs: noiseMs / batchesPerPool,
      assignMs: assignMs / batchesPerPool,
    }))
  }

  return { pool }
}
