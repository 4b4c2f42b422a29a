/**
 * An assignment on integers: int8 images times 7-bit noise, solved by auction until a certified share of the gain is reached.
 * The sum of squared distances differs from minus twice the sum of inner products by a constant, so the cost is one integer matrix product.
 */
import type { Arena, Kernel, Shortfalls } from '../kernel/kernel.ts'
import { threadKernel } from '../kernel/simd/simd.ts'
import type { AssignmentStrategy } from './assignment.ts'
import { packPair } from './matrix.ts'

const DEFAULT_TOLERANCE = 0.001
/** Images that are multiplied at a time. */
const BLOCK_ROWS = 256

/**
 * Memory: `quantizedBytes`, most of it the two bytes of a pair.
 * @param options.tolerance solve until the certified dual gap is at most this share of the gain, or as close as units of the largest row spread / 65,536 see: about 1e-4 on normal noise.
 */
export function quantized({ tolerance = DEFAULT_TOLERANCE } = {}, kernel: Kernel = threadKernel()): AssignmentStrategy {
  return {
    name: 'quantized',
    candidatesPerImage: 1,
    assign(_pool, images, noise, noiseIndex) {
      const { rows: n, dims } = images
      return kernel.scope((arena) => {
        const { x, y } = packPair('quantized', images, noise, kernel, arena)
        const shortfalls = multiply(x, y, n, dims, kernel, arena)
        const { benefit, bound, identity } = kernel.auction(shortfalls, x, y, n, dims, tolerance, noiseIndex)
        return { dualGap: bound > identity ? (bound - benefit) / (bound - identity) : 0 }
      })
    },
  }
}

/** What it takes of a kernel's arena for n images of int8, in bytes: packed noise, shortfalls, and what is there only while rows are multiplied or bid. */
export function quantizedBytes(n: number, dims: number): number {
  return n * dims + 2 * n ** 2 + n * (4 + 4 * Math.min(BLOCK_ROWS, n))
}

/** All products as shortfalls of one unit, the finest that holds them; a block of rows is compressed while it is in the caches. */
function multiply(x: Int8Array, y: Uint8Array, n: number, dims: number, kernel: Kernel, arena: Arena): Shortfalls {
  const shortfall = arena.array(Uint16Array, n * n)
  const rowMaxima = arena.array(Int32Array, n)
  const shift = kernel.scope((blockArena) => {
    const benefit = blockArena.array(Int32Array, Math.min(BLOCK_ROWS, n) * n)
    let shiftSoFar = 0
    for (let first = 0; first < n; first += BLOCK_ROWS) {
      const end = Math.min(first + BLOCK_ROWS, n)
      kernel.benefitInt8(x.subarray(first * dims, end * dims), y, end - first, n, dims, benefit)
      const rows = shortfall.subarray(first * n, end * n)
      const needed = kernel.shortfalls(benefit, end - first, n, shiftSoFar, rowMaxima.subarray(first, end), rows)
      if (needed > shiftSoFar) for (let at = 0; at < first * n; at++) shortfall[at] >>>= needed - shiftSoFar
      shiftSoFar = needed
    }
    return shiftSoFar
  })
  return { shortfall, rowMaxima, shift }
}
