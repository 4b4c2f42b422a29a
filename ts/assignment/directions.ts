/** Directions of a data set along which noise can drift: the top principal ones, and the one of each class. */
import type { Kernel } from '../kernel/kernel.ts'
import type { Matrix } from './assignment.ts'

export interface Directions {
  /** Up to four rows of `dims`: unit length, orthogonal, along which the images differ most, the largest variance first. Fewer where the images span fewer. */
  readonly principal: Float32Array<ArrayBuffer>
  /** numClasses rows of `dims`: class mean minus overall mean, unit length; zeros for a class that was not seen. Absent with fewer than two classes. */
  readonly classes?: Float32Array<ArrayBuffer>
}

export interface DirectionsOptions {
  /** One class per image. */
  readonly labels?: Int32Array
  readonly numClasses?: number
  /** Principal directions looked for. */
  readonly count?: number
}

const DEFAULT_COUNT = 4
/** Rounds of the iteration: of a direction whose variance is 80 % of another's, 0.8^24 is left in that one, half a percent. */
const ROUNDS = 24
/** Key of the vectors that the iteration starts from. */
const SEED = 0x6d69_7363
const STREAM = 0xd1
/** What is left of a unit vector when no more than the rounding of float32 is left of it. */
const ROUNDING = 1e-6

/**
 * Finds the directions by orthogonal iteration on the centred images (Golub and Van Loan, "Matrix Computations", 8.2.4): the same bits on every machine, since
 * the products are the kernel's and the sums run in a fixed order. Directions of nearly equal variance may come mixed with each other, which does no harm here.
 */
export function findDirections(images: Matrix, kernel: Kernel, options: DirectionsOptions = {}): Directions {
  const { labels, numClasses = 0, count = DEFAULT_COUNT } = options
  const mean = meanOf(images)
  const principal = findPrincipal(images, mean, Math.min(count, images.dims), kernel)
  const classes = labels && findClasses(images, mean, labels, numClasses)
  return { principal, ...(classes && { classes }) }
}

/** In the units of `data`: neither scale nor offset turns a direction. */
function meanOf({ data, rows, dims }: Matrix): Float64Array {
  const mean = new Float64Array(dims)
  for (let row = 0; row < rows; row++) for (let d = 0; d < dims; d++) mean[d] += data[row * dims + d]
  return mean.map((sum) => sum / rows)
}

function largestDifference(data: Matrix['data'], mean: Float64Array): number {
  let largest = 0
  for (let row = 0; row < data.length; row += mean.length) {
    for (let d = 0; d < mean.length; d++) {
      const difference = Math.abs(data[row + d] - mean[d])
      if (difference > largest) largest = difference
    }
  }
  return largest
}

function findPrincipal({ data, rows, dims }: Matrix, mean: Float64Array, count: number, kernel: Kernel): Float32Array<ArrayBuffer> {
  const largest = largestDifference(data, mean)
  if (largest === 0) return new Float32Array(0)
  return kernel.scope((arena) => {
    const byImage = arena.array(Float32Array, rows * dims)
    const byDimension = arena.array(Float32Array, rows * dims)
    for (let row = 0; row < rows; row++) {
      for (let d = 0; d < dims; d++) {
        byImage[row * dims + d] = byDimension[d * rows + row] = (data[row * dims + d] - mean[d]) / largest
      }
    }
    const vectors = arena.array(Float32Array, count * dims)
    const coordinates = arena.array(Float32Array, count * rows)
    const [imageIndex, dimensionIndex] = [arena.array(Int32Array, rows), arena.array(Int32Array, dims)]
    const project = (): void => {
      for (let at = 0; at < count; at++) {
        kernel.pairProducts(byImage, vectors, imageIndex.fill(at), dims, coordinates.subarray(at * rows, (at + 1) * rows))
      }
    }
    const keys = BigUint64Array.from({ length: count }, (_, at) => BigInt(at))
    kernel.normal(SEED, STREAM, keys, dims, vectors)
    orthonormalize(vectors, count, dims)
    for (let round = 0; round < ROUNDS; round++) {
      project()
      for (let at = 0; at < count; at++) {
        kernel.pairProducts(byDimension, coordinates, dimensionIndex.fill(at), rows, vectors.subarray(at * dims, (at + 1) * dims))
      }
      orthonormalize(vectors, count, dims)
    }
    project()
    const variances = Array.from({ length: count }, (_, at) => squaredLength(coordinates, at * rows, rows))
    const found = variances.flatMap((variance, at) => (variance > 0 ? [at] : []))
    const principal = new Float32Array(found.length * dims)
    found.forEach((at, row) => principal.set(vectors.subarray(at * dims, (at + 1) * dims), row * dims))
    return principal
  })
}

function findClasses(
  { data, rows, dims }: Matrix,
  mean: Float64Array,
  labels: Int32Array,
  numClasses: number,
): Float32Array<ArrayBuffer> | undefined {
  const counts = new Int32Array(numClasses)
  for (const label of labels) counts[label]++
  if (counts.filter((count) => count > 0).length < 2) return undefined
  const classes = new Float64Array(numClasses * dims)
  for (let row = 0; row < rows; row++) {
    for (let d = 0; d < dims; d++) classes[labels[row] * dims + d] += data[row * dims + d] - mean[d]
  }
  for (let label = 0; label < numClasses; label++) scaleToUnit(classes, label * dims, dims)
  return Float32Array.from(classes)
}

/** Gram and Schmidt, row by row, in place; twice, since little may be left of a row the first time. A row that adds nothing to those before it becomes zeros. */
function orthonormalize(vectors: Float32Array, count: number, dims: number): void {
  for (let at = 0; at < count * dims; at += dims) {
    for (let pass = 0; pass < 2; pass++) {
      scaleToUnit(vectors, at, dims)
      for (let before = 0; before < at; before += dims) {
        let product = 0
        for (let d = 0; d < dims; d++) product += vectors[before + d] * vectors[at + d]
        for (let d = 0; d < dims; d++) vectors[at + d] -= product * vectors[before + d]
      }
      if (squaredLength(vectors, at, dims) < ROUNDING ** 2) vectors.fill(0, at, at + dims)
    }
    scaleToUnit(vectors, at, dims)
  }
}

function scaleToUnit(values: Float32Array | Float64Array, begin: number, length: number): void {
  const norm = Math.sqrt(squaredLength(values, begin, length))
  if (norm > 0) for (let at = begin; at < begin + length; at++) values[at] /= norm
}

function squaredLength(values: Float32Array | Float64Array, begin: number, length: number): number {
  let sum = 0
  for (let at = begin; at < begin + length; at++) sum += values[at] ** 2
  return sum
}
