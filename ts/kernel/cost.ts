/** Inner products and L1 distances in float32: the cost matrices of the exact assignment, and products of given pairs. */

const { fround } = Math
/** Dimensions per pass: part of the definition, since float sums depend on their order. */
const STRIP = 1024

/**
 * See `Kernel.costFloat32`. The order of the sums, which a vector unit of four lanes follows exactly: within a strip of 1,024 dimensions (counted from 0)
 * lane l adds the products of dimensions d = l mod 4 in rising order to +0; the strip's sum is (lane 0 + lane 1) + (lane 2 + lane 3); the sums of the strips are
 * subtracted from +0 in rising order. Every product, sum and difference is rounded to float32.
 */
export function costFloat32(images: Float32Array, noise: Float32Array, n: number, dims: number, out: Float32Array): void {
  out.fill(0, 0, n * n)
  for (let begin = 0; begin < dims; begin += STRIP) {
    const end = Math.min(begin + STRIP, dims)
    for (let j = 0; j < n; j++) {
      for (let i = 0; i < n; i++) out[i * n + j] -= stripDot(images, i * dims, noise, j * dims, begin, end)
    }
  }
}

/** See `Kernel.costL1`: the order of sums is that of `costFloat32`, with magnitudes of differences for products and strips that are added. */
export function costL1(images: Float32Array, noise: Float32Array, n: number, dims: number, out: Float32Array): void {
  out.fill(0, 0, n * n)
  for (let begin = 0; begin < dims; begin += STRIP) {
    const end = Math.min(begin + STRIP, dims)
    for (let j = 0; j < n; j++) {
      for (let i = 0; i < n; i++) out[i * n + j] += stripDistance(images, i * dims, noise, j * dims, begin, end)
    }
  }
}

/** See `Kernel.pairProducts`: the order of sums is that of `costFloat32`. */
export function pairProducts(x: Float32Array, y: Float32Array, yIndex: Int32Array, dims: number, out: Float32Array): void {
  for (let row = 0; row < yIndex.length; row++) {
    let sum = 0
    for (let begin = 0; begin < dims; begin += STRIP) {
      sum = fround(sum + stripDot(x, row * dims, y, yIndex[row] * dims, begin, Math.min(begin + STRIP, dims)))
    }
    out[row] = sum
  }
}

function stripDot(x: Float32Array, xRow: number, y: Float32Array, yRow: number, begin: number, end: number): number {
  let lane0 = 0
  let lane1 = 0
  let lane2 = 0
  let lane3 = 0
  let d = begin
  for (; d + 4 <= end; d += 4) {
    lane0 = fround(lane0 + fround(x[xRow + d] * y[yRow + d]))
    lane1 = fround(lane1 + fround(x[xRow + d + 1] * y[yRow + d + 1]))
    lane2 = fround(lane2 + fround(x[xRow + d + 2] * y[yRow + d + 2]))
    lane3 = fround(lane3 + fround(x[xRow + d + 3] * y[yRow + d + 3]))
  }
  if (d < end) lane0 = fround(lane0 + fround(x[xRow + d] * y[yRow + d]))
  if (d + 1 < end) lane1 = fround(lane1 + fround(x[xRow + d + 1] * y[yRow + d + 1]))
  if (d + 2 < end) lane2 = fround(lane2 + fround(x[xRow + d + 2] * y[yRow + d + 2]))
  return fround(fround(lane0 + lane1) + fround(lane2 + lane3))
}

function stripDistance(x: Float32Array, xRow: number, y: Float32Array, yRow: number, begin: number, end: number): number {
  const lanes = new Float32Array(4) // rounds what it is given
  for (let d = begin; d < end; d++) lanes[(d - begin) % 4] += fround(Math.abs(fround(x[xRow + d] - y[yRow + d])))
  return fround(fround(lanes[0] + lanes[1]) + fround(lanes[2] + lanes[3]))
}
