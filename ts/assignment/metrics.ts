/** What an assignment did to a pool, in numbers. */
import type { AssignmentMetrics } from '../../protocol/index.ts'
import type { Kernel } from '../kernel/kernel.ts'
import type { AssignmentStrategy, Matrix } from './assignment.ts'
import { squaredNorms, toFloats } from './matrix.ts'

/** Images whose numbers are unpacked to floats at a time. */
const BLOCK_ROWS = 32

interface PairSums {
  /** Of the L2 norms of image - noise. */
  distance: number
  /** Of the projections of the noise on the direction of its image; 0 for an image that is zero. */
  gain: number
}

/** All but the drift (drift.ts). O(rows x dims). Image i's own noise, as drawn, is row i * candidatesPerImage. Memory in the kernel: `measureBytes`. */
export function measure(
  { candidatesPerImage, noiseSign = 1 }: Pick<AssignmentStrategy, 'candidatesPerImage' | 'noiseSign'>,
  images: Matrix,
  noise: Matrix,
  noiseIndex: Int32Array,
  dualGap: number | undefined,
  kernel: Kernel,
): Omit<AssignmentMetrics, 'drift'> {
  const { rows, dims } = images
  const ownIndex = noiseIndex.map((_, image) => image * candidatesPerImage)
  const before: PairSums = { distance: 0, gain: 0 }
  const after: PairSums = { distance: 0, gain: 0 }
  kernel.scope((arena) => {
    const length = Math.min(BLOCK_ROWS, rows)
    const x = arena.array(Float32Array, length * dims)
    const y = toFloats(noise, kernel, arena)
    const [xx, xy] = [arena.array(Float32Array, length), arena.array(Float32Array, length)]
    const yy = squaredNorms(y, dims, kernel, arena)
    for (let first = 0; first < rows; first += length) {
      const end = Math.min(first + length, rows)
      unpackRows(images, first, end, x, kernel)
      kernel.pairProducts(x, x, range(end - first), dims, xx)
      for (const [sums, noiseOf, sign] of [
        [before, ownIndex, 1],
        [after, noiseIndex, noiseSign],
      ] as const) {
        const index = noiseOf.subarray(first, end)
        kernel.pairProducts(x, y, index, dims, xy)
        addPairs(xx, xy, yy, index, sign, sums)
      }
    }
  })
  return {
    numMoved: noiseIndex.reduce((count, row, image) => count + (row === ownIndex[image] ? 0 : 1), 0),
    preCost: before.distance / rows,
    postCost: after.distance / rows,
    preGain: before.gain / rows,
    gain: after.gain / rows,
    dualGap: dualGap ?? null,
  }
}

/** What `measure` takes of a kernel's arena, in bytes, for as many noises as images. */
export function measureBytes(rows: number, dims: number): number {
  return Math.min(BLOCK_ROWS, rows) * (4 * dims + 12) + 8 * rows
}

/** From squared norms and inner products. */
function addPairs(xx: Float32Array, xy: Float32Array, yy: Float32Array, noiseIndex: Int32Array, sign: number, sums: PairSums): void {
  noiseIndex.forEach((row, at) => {
    const product = xy[at] * sign
    sums.distance += Math.sqrt(Math.max(0, xx[at] - 2 * product + yy[row]))
    if (xx[at] > 0) sums.gain += product / Math.sqrt(xx[at])
  })
}

/** Rows first .. end - 1 in their own units, at the beginning of `out`. */
function unpackRows({ data, dims, scale, offset }: Matrix, first: number, end: number, out: Float32Array, kernel: Kernel): void {
  const rows = data.subarray(first * dims, end * dims)
  if (rows instanceof Int8Array) kernel.unpack(rows, scale, offset, out)
  else for (let at = 0; at < rows.length; at++) out[at] = rows[at] * scale + offset
}

const range = (length: number): Int32Array => Int32Array.from({ length }, (_, row) => row)
