/**
 * An assignment on integers: int8 images times 7-bit noise, solved by auction until a certified share of the gain is reached.
 * The sum of squared distances differs from minus twice the sum of inner products by a constant, so the cost is one integer matrix product.
 */
import { ImmiscibleError } from '../errors.ts'
import type { Arena, Kernel } from '../kernel/kernel.ts'
import { threadKernel } from '../kernel/simd/simd.ts'
import type { AssignmentStrategy, Matrix } from './assignment.ts'

/** 132,104 * 128 * 127 is the last sum that int32 holds. */
const MAX_DIMS = 132_104
const DEFAULT_TOLERANCE = 0.001

/** @param options.tolerance solve until the certified dual gap is at most this share of the gain. */
export function quantized({ tolerance = DEFAULT_TOLERANCE } = {}, kernel: Kernel = threadKernel()): AssignmentStrategy {
  return {
    name: 'quantized',
    candidatesPerImage: 1,
    assign(_pool, images, noise, noiseIndex) {
      const { rows: n, dims } = images
      if (dims > MAX_DIMS) {
        throw new ImmiscibleError(
          'ASSIGNMENT',
          `[assignment:quantized] images.dims: expected at most ${MAX_DIMS} (sums are int32), got ${dims}`,
        )
      }
      return kernel.scope((arena) => {
        const packedNoise = arena.array(Uint8Array, n * dims)
        kernel.packNoise(noise.data as Float32Array, packedNoise)
        const benefit = arena.array(Int32Array, n * n)
        kernel.benefitInt8(packImages(images, kernel, arena), packedNoise, n, dims, benefit)
        const { benefit: reached, bound } = kernel.auction(benefit, n, tolerance, noiseIndex)
        let identity = 0
        for (let i = 0; i < n; i++) identity += benefit[i * n + i]
        return { dualGap: bound > identity ? (bound - reached) / (bound - identity) : 0 }
      })
    },
  }
}

/** Float images (latents) are scaled by the largest magnitude of the pool; scale and offset change no assignment. */
function packImages({ data }: Matrix, kernel: Kernel, arena: Arena): Int8Array {
  if (data instanceof Int8Array) return data
  const packed = arena.array(Int8Array, data.length)
  kernel.packFloats(data, packed)
  return packed
}
