/** How far the noise of a pool, as assigned, is from independent standard normal numbers: what an assignment must not change, or must say that it does. */
import type { NoiseDrift } from '../../protocol/index.ts'
import type { Kernel } from '../kernel/kernel.ts'
import type { AssignmentStrategy, Matrix } from './assignment.ts'
import type { Directions } from './directions.ts'

/** Rows measured at a time: few enough to stay in the second-level cache. */
const BLOCK = 32

/**
 * One pass over the assigned noise: its squared lengths, its coordinates along the principal directions, and of each image the coordinate along the direction
 * of its class. A permutation leaves the first two as drawn; one that does not look at labels shifts the third.
 * @param noise (rows * candidatesPerImage) x dims, float32, scale 1, offset 0
 * @param noiseIndex one row of the noise for each image
 */
export function measureDrift(
  { candidatesPerImage, noiseSign = 1 }: Pick<AssignmentStrategy, 'candidatesPerImage' | 'noiseSign'>,
  noise: Matrix,
  noiseIndex: Int32Array,
  kernel: Kernel,
  directions?: Directions,
  labels?: Int32Array,
): NoiseDrift {
  const { dims } = noise
  const data = noise.data as Float32Array
  const numImages = noiseIndex.length
  const principal = directions?.principal ?? new Float32Array()
  const classes = (labels && directions?.classes) ?? new Float32Array()
  const isSeen = Array.from({ length: classes.length / dims }, (_, label) =>
    classes.subarray(label * dims, (label + 1) * dims).some(Boolean),
  )
  const sums = new Float64Array(principal.length / dims)
  const squares = new Float64Array(sums.length)
  let squaredNorms = 0
  let classSum = 0
  let numClassed = 0
  kernel.scope((arena) => {
    const [principalRows, classRows] = [arena.place(principal), arena.place(classes)]
    const rowIndex = arena.array(Int32Array, BLOCK)
    const out = arena.array(Float32Array, BLOCK)
    // The rows of a permutation are measured where they lie, since their order changes no sum; of candidates the chosen ones are gathered.
    const isPermutation = candidatesPerImage === 1
    const gathered = arena.array(Float32Array, isPermutation ? 0 : BLOCK * dims)
    const imageOfRow = new Int32Array(numImages)
    noiseIndex.forEach((row, image) => (imageOfRow[isPermutation ? row : image] = image))

    for (let first = 0; first < numImages; first += BLOCK) {
      const count = Math.min(BLOCK, numImages - first)
      if (!isPermutation) {
        for (let at = 0; at < count; at++) {
          const row = noiseIndex[first + at]
          gathered.set(data.subarray(row * dims, (row + 1) * dims), at * dims)
        }
      }
      const rows = isPermutation ? data.subarray(first * dims, (first + count) * dims) : gathered
      const multiply = (y: Float32Array, rowOf: (at: number) => number): void => {
        for (let at = 0; at < count; at++) rowIndex[at] = rowOf(at)
        kernel.pairProducts(rows, y, rowIndex.subarray(0, count), dims, out)
      }

      multiply(rows, (at) => at)
      for (let at = 0; at < count; at++) squaredNorms += out[at]
      for (let direction = 0; direction < sums.length; direction++) {
        multiply(principalRows, () => direction)
        for (let at = 0; at < count; at++) {
          sums[direction] += out[at]
          squares[direction] += out[at] ** 2
        }
      }
      if (!labels || classes.length === 0) continue
      multiply(classRows, (at) => labels[imageOfRow[first + at]])
      for (let at = 0; at < count; at++) {
        if (!isSeen[rowIndex[at]]) continue
        classSum += out[at]
        numClassed++
      }
    }
  })
  const norm = squaredNorms / (numImages * dims)
  return {
    norm,
    normDeviation: (norm - 1) * Math.sqrt((numImages * dims) / 2),
    ...deviations(sums, squares, numImages, noiseSign),
    classMean: numClassed > 0 ? (noiseSign * classSum) / numClassed : null,
    classMeanDeviation: numClassed > 0 ? (noiseSign * classSum) / Math.sqrt(numClassed) : null,
  }
}

/** Of all directions the largest ones: mean by its standard error sqrt(1 / n), variance by sqrt(2 / (n - 1)). */
function deviations(
  sums: Float64Array,
  squares: Float64Array,
  n: number,
  sign: number,
): Pick<NoiseDrift, 'meanDeviation' | 'varianceDeviation'> {
  if (sums.length === 0) return { meanDeviation: null, varianceDeviation: null }
  const means = Array.from(sums, (sum) => (sign * sum) / Math.sqrt(n))
  const variances = Array.from(sums, (sum, at) => (squares[at] - sum ** 2 / n) / (n - 1))
  return {
    meanDeviation: means.reduce(larger),
    varianceDeviation: n > 1 ? variances.map((variance) => (variance - 1) * Math.sqrt((n - 1) / 2)).reduce(larger) : null,
  }
}

const larger = (a: number, b: number): number => (Math.abs(b) > Math.abs(a) ? b : a)
