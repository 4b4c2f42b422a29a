/** Each image in turn takes the best noise that is left, on the integer products of `quantized`: nine tenths of the gain, without a matrix of the whole pool. */
import type { Arena, Kernel } from '../kernel/kernel.ts'
import { ImmiscibleError } from '../errors.ts'
import { threadKernel } from '../kernel/simd/simd.ts'
import type { AssignmentStrategy } from './assignment.ts'
import { toInt8 } from './matrix.ts'

/** 132,104 * 128 * 127 is the last sum that int32 holds. */
const MAX_DIMS = 132_104
/** Rows of products that are held at once. */
const BLOCK_ROWS = 256

/** Rows in pool order, which is shuffled; ties go to the lowest noise row. Memory O(n), time O(n^2 dims) by the integer kernel. */
export function greedy(kernel: Kernel = threadKernel()): AssignmentStrategy {
  return {
    name: 'greedy',
    candidatesPerImage: 1,
    assign(_pool, images, noise, noiseIndex) {
      const { rows: n, dims } = images
      if (dims > MAX_DIMS) {
        throw new ImmiscibleError(
          'ASSIGNMENT',
          `[assignment:greedy] images.dims: expected at most ${MAX_DIMS} (sums are int32), got ${dims}`,
        )
      }
      kernel.scope((arena) => {
        const packedImages = toInt8(images, kernel, arena)
        const packedNoise = arena.array(Uint8Array, n * dims)
        kernel.packNoise(noise.data as Float32Array, packedNoise)
        const numRows = Math.min(BLOCK_ROWS, n)
        const benefit = arena.array(Int32Array, numRows * n)
        const free = Int32Array.from({ length: n }, (_, row) => row)
        for (let first = 0; first < n; first += numRows) {
          const begin = Math.min(first, n - numRows)
          const block = packedImages.subarray(begin * dims, (begin + numRows) * dims)
          writeBenefits(block, packedNoise, n, dims, kernel, arena, benefit)
          for (let image = first; image < Math.min(first + numRows, n); image++) {
            noiseIndex[image] = takeBest(benefit.subarray((image - begin) * n, (image - begin + 1) * n), free, n - image)
          }
        }
      })
      return {}
    },
  }
}

/** benefit[i * n + j] = image i of the block . noise j, in squares of as many noises as the block has images; the last square overlaps the one before. */
function writeBenefits(
  block: Int8Array,
  noise: Uint8Array,
  n: number,
  dims: number,
  kernel: Kernel,
  arena: Arena,
  benefit: Int32Array,
): void {
  const size = block.length / dims
  const square = arena.array(Int32Array, size * size)
  for (let first = 0; first < n; first += size) {
    const begin = Math.min(first, n - size)
    kernel.benefitInt8(block, noise.subarray(begin * dims, (begin + size) * dims), size, dims, square)
    for (let row = 0; row < size; row++) benefit.set(square.subarray(row * size, (row + 1) * size), row * n + begin)
  }
}

/** Takes the column with the largest benefit out of the first `numFree` of `free`, which stay in rising order. */
function takeBest(benefit: Int32Array, free: Int32Array, numFree: number): number {
  let best = 0
  for (let at = 1; at < numFree; at++) if (benefit[free[at]] > benefit[free[best]]) best = at
  const column = free[best]
  free.copyWithin(best, best + 1, numFree)
  return column
}
