/** The exact linear sum assignment on floating-point distances: Li et al., "Immiscible Diffusion", NeurIPS 2024 (arXiv 2406.12303). */
import type { Arena, Kernel } from '../kernel/kernel.ts'
import { threadKernel } from '../kernel/simd/simd.ts'
import type { AssignmentStrategy, Matrix } from './assignment.ts'
import { roundToFloat16, squaredNorms, toFloats } from './matrix.ts'

export interface LinearOptions {
  /** What of each pair is summed and minimised. */
  readonly metric?: 'l1' | 'l2' | 'squaredL2'
  /** `float16`: both sides times 0.10 and every distance rounded to float16. */
  readonly precision?: 'float32' | 'float16'
}

/** The official code's factor. It cannot change the assignment, only what rounding does. */
const PAPER_SCALE = Math.fround(0.1)

/**
 * `l2` in `float16` is the paper's: || 0.10 half(x) - 0.10 half(n) ||. The official code rounds each of the dims differences to float16 too; here the distance
 * comes from norms and products in float32 and is rounded once (n x n x dims differences are more than the solver costs). `l1` is the ablation of its Table 5.
 */
export function linear(
  { metric = 'squaredL2', precision = 'float32' }: LinearOptions = {},
  kernel: Kernel = threadKernel(),
): AssignmentStrategy {
  return {
    name: 'linear',
    candidatesPerImage: 1,
    assign(_pool, images, noise, noiseIndex) {
      const { rows: n, dims } = images
      kernel.scope((arena) => {
        const cost = arena.array(Float32Array, n * n)
        if (metric === 'squaredL2' && precision === 'float32') {
          kernel.costFloat32(rawFloats(images, kernel, arena), rawFloats(noise, kernel, arena), n, dims, cost)
        } else writeDistances(images, noise, { metric, precision }, kernel, arena, cost)
        kernel.linearSum(cost, n, noiseIndex)
      })
      return {}
    },
  }
}

/** What it takes of a kernel's arena for n images of int8, in bytes: float images (rounded copies of both sides for float16), costs, and the solver's matrix, duals and lists. */
export function linearBytes(n: number, dims: number, precision: 'float32' | 'float16'): number {
  const floats = precision === 'float32' ? 4 * n * dims : 16 * n * dims
  return floats + 6 * n ** 2 + 128 * n
}

/** distances[i * n + j] of image i and noise j. */
export function writeDistances(
  images: Matrix,
  noise: Matrix,
  { metric, precision }: Required<LinearOptions>,
  kernel: Kernel,
  arena: Arena,
  distances: Float32Array,
): void {
  const { rows: n, dims } = images
  const [x, y] = [images, noise].map((matrix) => {
    const floats = toFloats(matrix, kernel, arena)
    return precision === 'float16' ? toScaledHalves(floats, kernel, arena) : floats
  })
  if (metric === 'l1') kernel.costL1(x, y, n, dims, distances)
  else writeL2(x, y, n, dims, metric, kernel, arena, distances)
  if (precision === 'float16') roundToFloat16(distances, distances, kernel)
}

/** From norms and products. */
function writeL2(
  x: Float32Array,
  y: Float32Array,
  n: number,
  dims: number,
  metric: 'l2' | 'squaredL2',
  kernel: Kernel,
  arena: Arena,
  distances: Float32Array,
): void {
  const [imageNorms, noiseNorms] = [x, y].map((rows) => squaredNorms(rows, dims, kernel, arena))
  kernel.costFloat32(x, y, n, dims, distances)
  for (let i = 0; i < n; i++) {
    for (let j = 0; j < n; j++) {
      const squared = imageNorms[i] + noiseNorms[j] + 2 * distances[i * n + j]
      distances[i * n + j] = metric === 'l2' ? Math.sqrt(Math.max(0, squared)) : squared
    }
  }
}

function toScaledHalves(values: Float32Array, kernel: Kernel, arena: Arena): Float32Array {
  const scaled = arena.array(Float32Array, values.length)
  roundToFloat16(values, scaled, kernel)
  for (let at = 0; at < scaled.length; at++) scaled[at] *= PAPER_SCALE
  roundToFloat16(scaled, scaled, kernel)
  return scaled
}

/** Without scale and offset: one multiplies all squared distances, the other adds to whole columns, and no assignment changes by either. */
function rawFloats(matrix: Matrix, kernel: Kernel, arena: Arena): Float32Array {
  return toFloats({ ...matrix, scale: 1, offset: 0 }, kernel, arena)
}
