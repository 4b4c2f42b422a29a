/**
 * Standard normals from Philox words: Box-Muller (Box & Muller 1958) in float32 with polynomials, so that no libm takes part and the bits are the same everywhere.
 *
 * Where each number comes from: elements 16 g .. 16 g + 15 of a row come from blocks 4 g .. 4 g + 3 (so that four vector lanes make four blocks
 * at once and store without shuffling): element 16 g + 4 k + lane is the k-th normal of block 4 g + lane. Words (w0, w1, w2, w3) of a block give
 *
 *     k = 0: r(w0) cos a(w1)    k = 1: r(w0) sin a(w1)    k = 2: r(w2) cos a(w3)    k = 3: r(w2) sin a(w3)
 *
 * A shorter row is a prefix of a longer one. Every operation is rounded to float32, in the order written.
 */
import { philox } from './philox.ts'

const { fround, sqrt } = Math
const BLOCKS = 4
const GROUP = 16
const TWO_POW_MINUS_32 = 2 ** -32
const TWO_POW_MINUS_33 = 2 ** -33

// Constants are written out where they need more than a division: engines differ in powers.
const LN_2 = fround(Math.LN2)
const SQRT_HALF_BITS = 0x3f3504f3
const ONE_BITS = 0x3f800000
/** atanh(s) = s + s^3/3 + s^5/5 + s^7/7 + s^9/9: with |s| <= 0.172 the first term left out is under 2^-29 of the sum. */
const L3 = fround(1 / 3)
const L5 = fround(1 / 5)
const L7 = fround(1 / 7)
const L9 = fround(1 / 9)
/** (pi/2)^k / k!, the Taylor terms of sin and cos of (pi/2) t, |t| <= 1/2: the first ones left out are under 2^-29 and 2^-25. */
const S1 = fround(1.570_796_4)
const S3 = fround(-0.645_964_1)
const S5 = fround(0.079_692_625)
const S7 = fround(-0.004_681_754)
const S9 = fround(0.000_160_441_18)
const C2 = fround(-1.233_700_5)
const C4 = fround(0.253_669_5)
const C6 = fround(-0.020_863_48)
const C8 = fround(0.000_919_260_26)

const words = new Uint32Array(BLOCKS * 4)
const group = new Float32Array(GROUP)
const groupBits = new Int32Array(group.buffer)
const float = new Float32Array(1)
const bits = new Int32Array(float.buffer)

/** See `Kernel.normal`. */
export function normal(seed: number, stream: number, keys: BigUint64Array, dims: number, out: Float32Array): void {
  const keyWords = new Uint32Array(keys.buffer, keys.byteOffset, keys.length * 2)
  for (let row = 0; row < keys.length; row++) {
    const low = keyWords[2 * row]
    const high = keyWords[2 * row + 1]
    for (let begin = 0; begin < dims; begin += GROUP) {
      for (let lane = 0; lane < BLOCKS; lane++) {
        philox(begin / BLOCKS + lane, low, high, stream, seed, 0, words, 4 * lane)
      }
      fillGroup()
      const end = Math.min(GROUP, dims - begin)
      for (let d = 0; d < end; d++) out[row * dims + begin + d] = group[d]
    }
  }
}

/** `words` -> `group`. */
function fillGroup(): void {
  for (let lane = 0; lane < BLOCKS; lane++) {
    for (let pair = 0; pair < 2; pair++) {
      const r = radius(words[4 * lane + 2 * pair])
      const word = words[4 * lane + 2 * pair + 1]
      // The two high bits turn by quarters, the others are t in [-1/2, 1/2] quarters. Arithmetic instead of branches, which nothing could predict.
      const t = fround(fround(word << 2) * TWO_POW_MINUS_32)
      const t2 = fround(t * t)
      const quarter = word >>> 30
      const swap = (quarter & 1) * BLOCKS
      const cosine = 8 * pair + lane + swap
      const sine = 8 * pair + lane + BLOCKS - swap
      group[cosine] = fround(r * cosQuarters(t2))
      group[sine] = fround(r * sinQuarters(t, t2))
      // (cos, sin), (-sin, cos), (-cos, -sin), (sin, -cos)
      const x = 8 * pair + lane
      groupBits[x] ^= ((quarter ^ (quarter << 1)) & 2) << 30
      groupBits[x + BLOCKS] ^= (quarter & 2) << 30
    }
  }
}

/** sqrt(-2 ln u), u = (word + 1/2) 2^-32 in (0, 1]: 6.76 at most. */
function radius(word: number): number {
  float[0] = fround(fround(fround(word) * TWO_POW_MINUS_32) + TWO_POW_MINUS_33)
  // u = 2^exponent m with m in [sqrt(1/2), sqrt(2)), by its bits.
  const shifted = (bits[0] + (ONE_BITS - SQRT_HALF_BITS)) | 0
  const exponent = (shifted >> 23) - 127
  bits[0] = (shifted & 0x007f_ffff) + SQRT_HALF_BITS
  const m = float[0]
  const s = fround(fround(m - 1) / fround(m + 1))
  const s2 = fround(s * s)
  let series = fround(fround(s2 * L9) + L7)
  series = fround(fround(s2 * series) + L5)
  series = fround(fround(s2 * series) + L3)
  const log = fround(fround(exponent * LN_2) + fround(fround(2 * s) + fround(fround(2 * s) * fround(s2 * series))))
  return fround(sqrt(fround(-2 * log)))
}

function sinQuarters(t: number, t2: number): number {
  let sum = fround(fround(t2 * S9) + S7)
  sum = fround(fround(t2 * sum) + S5)
  sum = fround(fround(t2 * sum) + S3)
  sum = fround(fround(t2 * sum) + S1)
  return fround(t * sum)
}

function cosQuarters(t2: number): number {
  let sum = fround(fround(t2 * C8) + C6)
  sum = fround(fround(t2 * sum) + C4)
  sum = fround(fround(t2 * sum) + C2)
  return fround(fround(t2 * sum) + 1)
}
