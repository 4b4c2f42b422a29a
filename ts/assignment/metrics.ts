/** What an assignment did to a pool, in numbers. */
import type { AssignmentMetrics } from '../../protocol/index.ts'
import type { AssignmentStrategy, Matrix } from './assignment.ts'

interface PairMeans {
  /** Mean L2 norm of image - noise. */
  readonly distance: number
  /** Mean projection of the noise on the direction of its image; 0 for an image that is zero. */
  readonly gain: number
}

/** O(rows x dims), in float64. Image i's own noise, as drawn, is row i * candidatesPerImage. */
export function measure(
  { candidatesPerImage, noiseSign = 1 }: AssignmentStrategy,
  images: Matrix,
  noise: Matrix,
  noiseIndex: Int32Array,
  dualGap: number | undefined,
): AssignmentMetrics {
  const ownIndex = noiseIndex.map((_, image) => image * candidatesPerImage)
  const before = pairMeans(images, noise, ownIndex, 1)
  const after = pairMeans(images, noise, noiseIndex, noiseSign)
  return {
    numMoved: noiseIndex.reduce((count, row, image) => count + (row === ownIndex[image] ? 0 : 1), 0),
    preCost: before.distance,
    postCost: after.distance,
    preGain: before.gain,
    gain: after.gain,
    dualGap: dualGap ?? null,
  }
}

function pairMeans(images: Matrix, noise: Matrix, noiseIndex: Int32Array, noiseSign: number): PairMeans {
  const { dims } = images
  let distances = 0
  let gains = 0
  for (let row = 0; row < images.rows; row++) {
    const image = row * dims
    const paired = noiseIndex[row] * dims
    let squaredDistance = 0
    let squaredNorm = 0
    let product = 0
    for (let d = 0; d < dims; d++) {
      const x = images.data[image + d] * images.scale + images.offset
      const n = (noise.data[paired + d] * noise.scale + noise.offset) * noiseSign
      squaredDistance += (x - n) * (x - n)
      squaredNorm += x * x
      product += x * n
    }
    distances += Math.sqrt(squaredDistance)
    if (squaredNorm > 0) gains += product / Math.sqrt(squaredNorm)
  }
  return { distance: distances / images.rows, gain: gains / images.rows }
}
