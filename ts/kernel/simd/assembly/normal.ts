/** Kernel.normal for four lanes: lane l of a vector is block 4 g + l of the specification (ts/kernel/normal.ts), operation by operation. */

const ROUNDS: i32 = 10
const MULTIPLIER_0: u32 = 0xd2511f53
const MULTIPLIER_1: u32 = 0xcd9e8d57
const WEYL_0: u32 = 0x9e3779b9
const WEYL_1: u32 = 0xbb67ae85

const LN_2: f32 = 0.6931471805599453
const SQRT_HALF_BITS: i32 = 0x3f3504f3
const ONE_BITS: i32 = 0x3f800000
const L3: f32 = <f32>(1.0 / 3.0)
const L5: f32 = <f32>(1.0 / 5.0)
const L7: f32 = <f32>(1.0 / 7.0)
const L9: f32 = <f32>(1.0 / 9.0)
const HALF_PI: f64 = 1.5707963267948966
const S1: f32 = <f32>HALF_PI
const S3: f32 = <f32>(-(HALF_PI * HALF_PI * HALF_PI) / 6.0)
const S5: f32 = <f32>((HALF_PI * HALF_PI * HALF_PI * HALF_PI * HALF_PI) / 120.0)
const S7: f32 = <f32>(-(HALF_PI * HALF_PI * HALF_PI * HALF_PI * HALF_PI * HALF_PI * HALF_PI) / 5040.0)
const S9: f32 = <f32>((HALF_PI * HALF_PI * HALF_PI * HALF_PI * HALF_PI * HALF_PI * HALF_PI * HALF_PI * HALF_PI) / 362880.0)
const C2: f32 = <f32>(-(HALF_PI * HALF_PI) / 2.0)
const C4: f32 = <f32>((HALF_PI * HALF_PI * HALF_PI * HALF_PI) / 24.0)
const C6: f32 = <f32>(-(HALF_PI * HALF_PI * HALF_PI * HALF_PI * HALF_PI * HALF_PI) / 720.0)
const C8: f32 = <f32>((HALF_PI * HALF_PI * HALF_PI * HALF_PI * HALF_PI * HALF_PI * HALF_PI * HALF_PI) / 40320.0)

// The words of two groups of four blocks: two chains of multiplications keep the unit busy where one would wait for itself.
let w0: v128 = i32x4.splat(0)
let w1: v128 = i32x4.splat(0)
let w2: v128 = i32x4.splat(0)
let w3: v128 = i32x4.splat(0)
let v0: v128 = i32x4.splat(0)
let v1: v128 = i32x4.splat(0)
let v2: v128 = i32x4.splat(0)
let v3: v128 = i32x4.splat(0)

@inline
function highHalves(low: v128, high: v128): v128 {
  return v128.shuffle<i32>(low, high, 1, 3, 5, 7)
}

@inline
function lowHalves(low: v128, high: v128): v128 {
  return v128.shuffle<i32>(low, high, 0, 2, 4, 6)
}

/** Blocks `block` .. `block` + 3 into w, the next four into v. */
@inline
function philoxGroups(block: u32, low: u32, high: u32, stream: u32, seed: u32): void {
  let a0 = i32x4.add(i32x4.splat(block), i32x4(0, 1, 2, 3))
  let b0 = i32x4.add(a0, i32x4.splat(4))
  let a1 = i32x4.splat(low)
  let b1 = a1
  let a2 = i32x4.splat(high)
  let b2 = a2
  let a3 = i32x4.splat(stream)
  let b3 = a3
  let k0: u32 = seed
  let k1: u32 = 0
  const m0 = i32x4.splat(MULTIPLIER_0)
  const m1 = i32x4.splat(MULTIPLIER_1)
  for (let round = 0; round < ROUNDS; round++) {
    const key0 = i32x4.splat(k0)
    const key1 = i32x4.splat(k1)
    const a0Low = i64x2.extmul_low_i32x4_u(a0, m0)
    const a0High = i64x2.extmul_high_i32x4_u(a0, m0)
    const b0Low = i64x2.extmul_low_i32x4_u(b0, m0)
    const b0High = i64x2.extmul_high_i32x4_u(b0, m0)
    const a2Low = i64x2.extmul_low_i32x4_u(a2, m1)
    const a2High = i64x2.extmul_high_i32x4_u(a2, m1)
    const b2Low = i64x2.extmul_low_i32x4_u(b2, m1)
    const b2High = i64x2.extmul_high_i32x4_u(b2, m1)
    a0 = v128.xor(v128.xor(highHalves(a2Low, a2High), a1), key0)
    b0 = v128.xor(v128.xor(highHalves(b2Low, b2High), b1), key0)
    a1 = lowHalves(a2Low, a2High)
    b1 = lowHalves(b2Low, b2High)
    a2 = v128.xor(v128.xor(highHalves(a0Low, a0High), a3), key1)
    b2 = v128.xor(v128.xor(highHalves(b0Low, b0High), b3), key1)
    a3 = lowHalves(a0Low, a0High)
    b3 = lowHalves(b0Low, b0High)
    k0 += WEYL_0
    k1 += WEYL_1
  }
  w0 = a0
  w1 = a1
  w2 = a2
  w3 = a3
  v0 = b0
  v1 = b1
  v2 = b2
  v3 = b3
}

@inline
function radius(word: v128): v128 {
  const u = f32x4.add(f32x4.mul(f32x4.convert_i32x4_u(word), f32x4.splat(2.3283064365386963e-10)), f32x4.splat(1.1641532182693481e-10))
  const shifted = i32x4.add(u, i32x4.splat(ONE_BITS - SQRT_HALF_BITS))
  const exponent = f32x4.convert_i32x4_s(i32x4.sub(i32x4.shr_s(shifted, 23), i32x4.splat(127)))
  const m = i32x4.add(v128.and(shifted, i32x4.splat(0x007fffff)), i32x4.splat(SQRT_HALF_BITS))
  const one = f32x4.splat(1)
  const s = f32x4.div(f32x4.sub(m, one), f32x4.add(m, one))
  const s2 = f32x4.mul(s, s)
  let series = f32x4.add(f32x4.mul(s2, f32x4.splat(L9)), f32x4.splat(L7))
  series = f32x4.add(f32x4.mul(s2, series), f32x4.splat(L5))
  series = f32x4.add(f32x4.mul(s2, series), f32x4.splat(L3))
  const twice = f32x4.mul(f32x4.splat(2), s)
  const log = f32x4.add(f32x4.mul(exponent, f32x4.splat(LN_2)), f32x4.add(twice, f32x4.mul(twice, f32x4.mul(s2, series))))
  return f32x4.sqrt(f32x4.mul(f32x4.splat(-2), log))
}

/** Stores the cosines' and then the sines' four normals of one pair of words at `out`. */
@inline
function storePair(radii: v128, word: v128, out: usize): void {
  const t = f32x4.mul(f32x4.convert_i32x4_s(i32x4.shl(word, 2)), f32x4.splat(2.3283064365386963e-10))
  const t2 = f32x4.mul(t, t)
  let sine = f32x4.add(f32x4.mul(t2, f32x4.splat(S9)), f32x4.splat(S7))
  sine = f32x4.add(f32x4.mul(t2, sine), f32x4.splat(S5))
  sine = f32x4.add(f32x4.mul(t2, sine), f32x4.splat(S3))
  sine = f32x4.add(f32x4.mul(t2, sine), f32x4.splat(S1))
  sine = f32x4.mul(radii, f32x4.mul(t, sine))
  let cosine = f32x4.add(f32x4.mul(t2, f32x4.splat(C8)), f32x4.splat(C6))
  cosine = f32x4.add(f32x4.mul(t2, cosine), f32x4.splat(C4))
  cosine = f32x4.add(f32x4.mul(t2, cosine), f32x4.splat(C2))
  cosine = f32x4.mul(radii, f32x4.add(f32x4.mul(t2, cosine), f32x4.splat(1)))
  const quarter = i32x4.shr_u(word, 30)
  const isOdd = i32x4.eq(v128.and(quarter, i32x4.splat(1)), i32x4.splat(1))
  const two = i32x4.splat(2)
  const signX = i32x4.shl(v128.and(v128.xor(quarter, i32x4.shl(quarter, 1)), two), 30)
  const signY = i32x4.shl(v128.and(quarter, two), 30)
  v128.store(out, v128.xor(v128.bitselect(sine, cosine, isOdd), signX))
  v128.store(out, v128.xor(v128.bitselect(cosine, sine, isOdd), signY), 16)
}

/** Row j of `out` (float32, dims of it) from key j. The last 32 of a row that `dims` does not fill go through `scratch` (128 bytes). */
export function normal(seed: u32, stream: u32, keys: usize, numRows: i32, dims: i32, out: usize, scratch: usize): void {
  for (let row = 0; row < numRows; row++) {
    const low = load<u32>(keys + ((<usize>row) << 3))
    const high = load<u32>(keys + ((<usize>row) << 3), 4)
    const to = out + ((<usize>row * dims) << 2)
    for (let begin = 0; begin < dims; begin += 32) {
      const isWhole = begin + 32 <= dims
      const at = isWhole ? to + (<usize>begin << 2) : scratch
      philoxGroups(<u32>begin >> 2, low, high, stream, seed)
      storePair(radius(w0), w1, at)
      storePair(radius(w2), w3, at + 32)
      storePair(radius(v0), v1, at + 64)
      storePair(radius(v2), v3, at + 96)
      if (!isWhole) memory.copy(to + (<usize>begin << 2), scratch, (dims - begin) << 2)
    }
  }
}
