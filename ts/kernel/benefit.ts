/** The benefit matrix: every image times every noise, in integers; and the two bytes a pair that a large pool keeps of it. */

/** Dimensions per pass: rows of this length stay in the caches, and sums of this length in their half of a double. */
const STRIP = 256
/** Two 7-bit numbers in one double, so that one multiplication makes two products: |sum of a strip| <= 256 * 128 * 127 < 2^22. */
const UPPER = 2 ** 26

interface Shape {
  readonly numImages: number
  readonly numNoises: number
}

/**
 * See `Kernel.benefitInt8`. Integer sums are exact in any order, so how they are made here (in doubles, which JavaScript multiplies fastest) binds nobody.
 * A product is at most 128 * 127 in magnitude: 132,104 of them fit in int32.
 */
export function benefitInt8(
  images: Int8Array,
  noise: Uint8Array,
  numImages: number,
  numNoises: number,
  dims: number,
  out: Int32Array,
): void {
  // Tiles of two images and two pairs of noises; the rows that fill up the last tile stay zero.
  const imageStrip = new Float64Array((numImages + (numImages % 2)) * STRIP)
  const noiseStrip = new Float64Array(Math.ceil(numNoises / 4) * 2 * STRIP)
  const shape = { numImages, numNoises }
  out.fill(0, 0, numImages * numNoises)
  for (let begin = 0; begin < dims; begin += STRIP) {
    const length = Math.min(STRIP, dims - begin)
    for (let i = 0; i < numImages; i++) {
      for (let d = 0; d < length; d++) imageStrip[i * STRIP + d] = images[i * dims + begin + d]
    }
    for (let j = 0; j < numNoises; j += 2) {
      const lower = j * dims + begin
      const upper = j + 1 < numNoises ? lower + dims : lower
      for (let d = 0; d < length; d++) noiseStrip[(j / 2) * STRIP + d] = noise[lower + d] + UPPER * noise[upper + d]
    }
    for (let j = 0; j < numNoises; j += 4) {
      for (let i = 0; i < numImages; i += 2) addTile(imageStrip, noiseStrip, length, shape, i, j, out)
    }
  }
}

/** Adds a strip's sums to rows i, i + 1 and columns j .. j + 3, as far as they exist. */
function addTile(
  imageStrip: Float64Array,
  noiseStrip: Float64Array,
  length: number,
  shape: Shape,
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
  addPair(s00, shape, i, j, out)
  addPair(s01, shape, i, j + 2, out)
  addPair(s10, shape, i + 1, j, out)
  addPair(s11, shape, i + 1, j + 2, out)
}

function addPair(sum: number, { numImages, numNoises }: Shape, i: number, j: number, out: Int32Array): void {
  if (i >= numImages) return
  const upper = Math.round(sum / UPPER)
  if (j < numNoises) out[i * numNoises + j] += sum - upper * UPPER
  if (j + 1 < numNoises) out[i * numNoises + j + 1] += upper
}

/** One entry of that matrix: image i times noise j. */
export function productOf(images: Int8Array, noise: Uint8Array, i: number, j: number, dims: number): number {
  let sum = 0
  for (let d = 0; d < dims; d++) sum += images[i * dims + d] * noise[j * dims + d]
  return sum
}

/** See `Kernel.shortfalls`. */
export function shortfalls(
  benefit: Int32Array,
  numRows: number,
  n: number,
  shift: number,
  rowMaxima: Int32Array,
  out: Uint16Array,
): number {
  let largestSpread = 0
  for (let row = 0; row < numRows; row++) {
    let least = benefit[row * n]
    let most = least
    for (let at = row * n; at < (row + 1) * n; at++) {
      least = Math.min(least, benefit[at])
      most = Math.max(most, benefit[at])
    }
    rowMaxima[row] = most
    largestSpread = Math.max(largestSpread, most - least)
  }
  while (largestSpread >= 2 ** (16 + shift)) shift++
  for (let at = 0; at < numRows * n; at++) out[at] = (rowMaxima[Math.floor(at / n)] - benefit[at]) >>> shift
  return shift
}
