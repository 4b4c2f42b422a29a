/** For each image the nearest of its own few fresh noises: Li et al., "Improved Immiscible Diffusion", 2025 (arXiv 2505.18521), "KNN noise selection". */
import type { Arena, Kernel } from '../kernel/kernel.ts'
import { threadKernel } from '../kernel/simd/simd.ts'
import type { AssignmentStrategy, Matrix } from './assignment.ts'
import { products, roundToFloat16, squaredNorms, toFloats } from './matrix.ts'

export interface NearestOptions {
  /** Noises drawn for each image: rows i * candidates and on are those of image i. */
  readonly candidates?: number
  /** `float16`: both sides and every distance rounded to float16. */
  readonly precision?: 'float32' | 'float16'
}

const DEFAULT_CANDIDATES = 4

/**
 * O(candidates x dims) per image, and no image needs another. The price: noises that are not chosen are gone, so what is kept is shorter than Gaussian noise
 * and leans towards the mean of the images. At k candidates of d dimensions, images of root mean square r, E|n|^2 falls by about 2 m_k / sqrt(d (2 + 4 r^2)),
 * m_k the mean of the largest of k standard normals.
 *
 * `float16` is the official code's || half(x) - half(n) ||, where equal distances go to the first; there each difference is rounded as well, here the norm only.
 */
export function nearest(
  { candidates = DEFAULT_CANDIDATES, precision = 'float32' }: NearestOptions = {},
  kernel: Kernel = threadKernel(),
): AssignmentStrategy {
  return {
    name: 'nearest',
    candidatesPerImage: candidates,
    assign(_pool, images, noise, noiseIndex) {
      const { rows, dims } = images
      kernel.scope((arena) => {
        const [x, y] = [images, noise].map((matrix) => toPrecision(matrix, precision, kernel, arena))
        const noiseNorms = squaredNorms(y, dims, kernel, arena)
        const imageNorms = precision === 'float16' ? squaredNorms(x, dims, kernel, arena) : undefined
        const least = new Float32Array(rows).fill(Infinity)
        const distance = arena.array(Float32Array, rows)
        for (let candidate = 0; candidate < candidates; candidate++) {
          const index = Int32Array.from({ length: rows }, (_, image) => image * candidates + candidate)
          const inner = products(x, y, index, dims, kernel, arena)
          for (let image = 0; image < rows; image++) {
            const beyondImage = noiseNorms[index[image]] - 2 * inner[image]
            distance[image] = imageNorms ? Math.sqrt(Math.max(0, imageNorms[image] + beyondImage)) : beyondImage
          }
          if (imageNorms) roundToFloat16(distance, distance, kernel)
          for (let image = 0; image < rows; image++) {
            if (!Number.isFinite(distance[image]))
              throw new RangeError(`expected finite distances, got ${distance[image]} of image ${image}`)
            if (distance[image] >= least[image]) continue
            least[image] = distance[image]
            noiseIndex[image] = index[image]
          }
        }
      })
      return {}
    },
  }
}

/** What it takes of a kernel's arena for n images of int8, in bytes: float images, and rounded copies of both sides for float16. */
export function nearestBytes(n: number, dims: number, { candidates = DEFAULT_CANDIDATES, precision = 'float32' }: NearestOptions): number {
  const perImage = precision === 'float32' ? 4 * dims : (4 + 4 + 4 * candidates + 2 * candidates) * dims
  return n * (perImage + 16 * candidates)
}

function toPrecision(matrix: Matrix, precision: 'float32' | 'float16', kernel: Kernel, arena: Arena): Float32Array {
  const floats = toFloats(matrix, kernel, arena)
  if (precision === 'float32') return floats
  const rounded = arena.array(Float32Array, floats.length)
  roundToFloat16(floats, rounded, kernel)
  return rounded
}
