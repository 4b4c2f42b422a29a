/** The benefit matrix: every image times every noise, in integers. */

/** Dimensions per pass: rows of this length stay in the caches, and sums of this length in their half of a double. */
const STRIP = 256
/** Two 7-bit numbers in one double, so that one multiplication makes two products: |sum of a strip| <= 256 * 128 * 127 < 2^22. */
const UPPER = 2 ** 26

/**
 * See `Kernel.benefitInt8`. Integer sums are exact in any order, so how they are made here (in doubles, which JavaScript multiplies fastest) binds nobody.
 * A product is at most 128 * 127 in magnitude: 132,104 of them fit in int32.
 */
export function benefitInt8(images: Int8Array, noise: Uint8Array, n: number, dims: number, out: Int32Array): void {
  // Tiles of two images and two pairs of noises; the rows that fill up the last tile stay zero.
  const imageStrip = new Float64Array((n + (n % 2)) * STRIP)
  const noiseStrip = new Float64Array(Math.ceil(n / 4) * 2 * STRIP)
  out.fill(0, 0, n * n)
  for (let begin = 0; begin < dims; begin += STRIP) {
    const length = Math.min(STRIP, dims - begin)
    for (let i = 0; i < n; i++) {
      for (let d = 0; d < length; d++) imageStrip[i * STRIP + d] = images[i * dims + begin + d]
    }
    for (let j = 0; j < n; j += 2) {
      const lower = j * dims + begin
      const upper = j + 1 < n ? lower + dims : lower
      for (let d = 0; d < length; d++) noiseStrip[(j / 2) * STRIP + d] = noise[lower + d] + UPPER * noise[upper + d]
    }
    for (let j = 0; j < n; j += 4) {
      for (let i = 0; i < n; i += 2) addTile(imageStrip, noiseStrip, length, n, i, j, out)
    }
  }
}

/** Adds a strip's sums to rows i, i + 1 and columns j .. j + 3, as far as they exist. */
function addTile(
  imageStrip: Float64Array,
  noiseStrip: Float64Array,
  length: number,
  n: number,
  i: number,
  j: number,
  out: Int32Array,
): void {
  const x = i * STRIP
  const y = (j / 2) * STRIP
  let s00 = 0
  let s01 = 0
  let s10 = 0
  let s11 = 0
  for (let d = 0; d < length; d++) {
    const x0 = imageStrip[x + d]
    const x1 = imageStrip[x + STRIP + d]
    const y0 = noiseStrip[y + d]
    const y1 = noiseStrip[y + STRIP + d]
    s00 += x0 * y0
    s01 += x0 * y1
    s10 += x1 * y0
    s11 += x1 * y1
  }
  addPair(s00, n, i, j, out)
  addPair(s01, n, i, j + 2, out)
  addPair(s10, n, i + 1, j, out)
  addPair(s11, n, i + 1, j + 2, out)
}

function addPair(sum: number, n: number, i: number, j: number, out: Int32Array): void {
  if (i >= n) return
  const upper = Math.round(sum / UPPER)
  if (j < n) out[i * n + j] += sum - upper * UPPER
  if (j + 1 < n) out[i * n + j + 1] += upper
}
