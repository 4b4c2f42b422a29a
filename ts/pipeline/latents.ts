/** Latents: float32 on the wire and for a strategy, in training a new draw out of the posterior of each sample. */
import type { TrainConfig } from '../../protocol/index.ts'
import { countNumbers, type Dataset } from '../dataset/dataset.ts'
import { recordBytes } from '../dataset/stored.ts'
import type { Kernel } from '../kernel/kernel.ts'
import { consecutiveKeys } from '../random/sample.ts'
import { STREAM } from '../random/stream.ts'
import type { PoolImages } from './images.ts'

/**
 * A latent of a sample is mean + std * normal, of the mirrored image where the sample is mirrored; the normal is keyed by the global sample number.
 * Without a std it is the mean.
 */
export function openLatents({ seed, dataset: { imageScale } }: TrainConfig, dataset: Dataset, kernel: Kernel): PoolImages {
  const dims = countNumbers(dataset)
  return {
    draw: ({ sampleIndices, firstSample, flips }) =>
      kernel.scope((arena) => {
        const normals = arena.array(Float32Array, dataset.stored.record.hasStd ? sampleIndices.length * dims : 0)
        const keys = arena.array(BigUint64Array, normals.length / dims)
        consecutiveKeys(firstSample, keys)
        kernel.normal(seed, STREAM.latent, keys, dims, normals)
        return bytesOf(readLatents(dataset, sampleIndices, flips, normals))
      }),
    stored: ({ sampleIndices }) => bytesOf(readLatents(dataset, sampleIndices)),
    toMatrix(bytes, arena) {
      const data = arena.place(new Float32Array(bytes.buffer))
      return { data, rows: data.length / dims, dims, scale: imageScale, offset: 0 }
    },
  }
}

/**
 * A latent a row, in channel, height, width order.
 * @param flips 1 where the mirrored image is meant. @param normals of each row where there is a std; none: the means.
 */
export function readLatents(
  dataset: Dataset,
  sampleIndices: Int32Array,
  flips?: Uint8Array,
  normals: Float32Array = new Float32Array(0),
): Float32Array<ArrayBuffer> {
  const { record } = dataset.stored
  const dims = countNumbers(dataset)
  const latents = new Float32Array(sampleIndices.length * dims)
  // Mean, std, mirrored mean, mirrored std, as far as they are there.
  const numbers = new Float32Array(recordBytes(record) / Float32Array.BYTES_PER_ELEMENT)
  const bytes = new Uint8Array(numbers.buffer)
  const mirrored = record.hasMirrored ? numbers.length / 2 : 0
  sampleIndices.forEach((image, row) => {
    dataset.read(image, bytes, 0)
    const mean = flips?.[row] === 1 ? mirrored : 0
    latents.set(numbers.subarray(mean, mean + dims), row * dims)
    if (normals.length === 0) return
    const std = mean + dims
    for (let at = 0; at < dims; at++) latents[row * dims + at] += numbers[std + at] * normals[row * dims + at]
  })
  return latents
}

const bytesOf = ({ buffer }: Float32Array<ArrayBuffer>): Uint8Array<ArrayBuffer> => new Uint8Array(buffer)
