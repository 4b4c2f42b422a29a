/** A batch as the pipeline makes one: keyed shuffle, keyed noise, assignment. */
import { solvePool, type Solution } from '../assignment/assign.ts'
import type { AssignmentStrategy, Matrix, PoolContext } from '../assignment/assignment.ts'
import type { Kernel } from '../kernel/kernel.ts'
import { threadKernel } from '../kernel/simd/simd.ts'
import { consecutiveKeys } from '../random/sample.ts'
import { STREAM } from '../random/stream.ts'
import type { Scene } from './scene.ts'

export interface SolvedPool {
  readonly pool: PoolContext
  readonly images: Matrix
  readonly noise: Matrix
  readonly solution: Solution
  readonly kernel: Kernel
  /** Milliseconds: drawing the noise; packing and solving. */
  readonly noiseMs: number
  readonly assignMs: number
}

/** Draws `size` images and their noises by `seed`, solves, and calls `work`, after which their memory is used again. */
export function withSolvedPool<T>(
  scene: Scene,
  strategy: AssignmentStrategy,
  size: number,
  seed: number,
  work: (solved: SolvedPool) => T,
): T {
  const kernel = threadKernel()
  return kernel.scope((arena) => {
    const { images, ...columns } = scene.draw(seed, size, kernel, arena)
    const pool = { epoch: 0, firstStep: 0, firstSample: 0, flips: new Uint8Array(size), ...columns }
    const numRows = size * strategy.candidatesPerImage
    const start = performance.now()
    const keys = arena.array(BigUint64Array, numRows)
    consecutiveKeys(0, keys)
    strategy.noiseKeys?.(pool, keys)
    const data = arena.array(Float32Array, numRows * scene.dims)
    kernel.normal(seed, STREAM.noise, keys, scene.dims, data)
    const drawn = performance.now()
    const noise: Matrix = { data, rows: numRows, dims: scene.dims, scale: 1, offset: 0 }
    const solution = solvePool(strategy, pool, images, noise)
    return work({ pool, images, noise, solution, kernel, noiseMs: drawn - start, assignMs: performance.now() - drawn })
  })
}
