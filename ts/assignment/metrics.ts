/** What an assignment did to a pool, in numbers. */
import type { AssignmentMetrics } from '../../protocol/index.ts'
import type { Arena, Kernel } from '../kernel/kernel.ts'
import type { AssignmentStrategy, Matrix } from './assignment.ts'

interface PairMeans {
  /** Mean L2 norm of image - noise. */
  readonly distance: number
  /** Mean projection of the noise on the direction of its image; 0 for an image that is zero. */
  readonly gain: number
}

/** All but the drift (drift.ts). O(rows x dims). Image i's own noise, as drawn, is row i * candidatesPerImage. */
export function measure(
  { candidatesPerImage, noiseSign = 1 }: AssignmentStrategy,
  images: Matrix,
  noise: Matrix,
  noiseIndex: Int32Array,
  dualGap: number | undefined,
  kernel: Kernel,
): Omit<AssignmentMetrics, 'drift'> {
  const ownIndex = noiseIndex.map((_, image) => image * candidatesPerImage)
  const { before, after } = kernel.scope((arena) => {
    const [x, n] = [toFloats(images, kernel, arena), toFloats(noise, kernel, arena)]
    const products = (a: Float32Array, b: Float32Array, index: Int32Array): Float32Array => {
      const out = arena.array(Float32Array, index.length)
      kernel.pairProducts(a, b, index, images.dims, out)
      return out
    }
    const imageNorms = products(x, x, Int32Array.from(noiseIndex.keys()))
    const noiseNorms = products(
      n,
      n,
      Int32Array.from({ length: noise.rows }, (_, row) => row),
    )
    const means = (index: Int32Array, sign: number): PairMeans => pairMeans(imageNorms, noiseNorms, products(x, n, index), index, sign)
    return { before: means(ownIndex, 1), after: means(noiseIndex, noiseSign) }
  })
  return {
    numMoved: noiseIndex.reduce((count, row, image) => count + (row === ownIndex[image] ? 0 : 1), 0),
    preCost: before.distance,
    postCost: after.distance,
    preGain: before.gain,
    gain: after.gain,
    dualGap: dualGap ?? null,
  }
}

/** From squared norms and inner products. */
function pairMeans(
  imageNorms: Float32Array,
  noiseNorms: Float32Array,
  products: Float32Array,
  noiseIndex: Int32Array,
  sign: number,
): PairMeans {
  let distances = 0
  let gains = 0
  for (let image = 0; image < products.length; image++) {
    const product = products[image] * sign
    const norm = imageNorms[image]
    distances += Math.sqrt(Math.max(0, norm - 2 * product + noiseNorms[noiseIndex[image]]))
    if (norm > 0) gains += product / Math.sqrt(norm)
  }
  return { distance: distances / products.length, gain: gains / products.length }
}

/** The matrix in its own units. */
function toFloats({ data, scale, offset }: Matrix, kernel: Kernel, arena: Arena): Float32Array {
  if (data instanceof Float32Array && scale === 1 && offset === 0) return data
  const floats = arena.array(Float32Array, data.length)
  if (data instanceof Int8Array) kernel.unpack(data, scale, offset, floats)
  else for (let at = 0; at < data.length; at++) floats[at] = data[at] * scale + offset
  return floats
}
