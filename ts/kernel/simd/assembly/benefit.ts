/** Kernel.benefitInt8 (tiles of three images and three noises, sixteen dimensions at once) and Kernel.shortfalls. See ts/kernel/benefit.ts. */

import { least, most } from './lanes'

/** Images that stay in the second-level cache while all noises pass by: rows of this many bytes in all. */
const BLOCK_BYTES: i32 = 262144

/** The dot product of sixteen int8 and sixteen 7-bit numbers, added to four int32. */
@inline
function dot(x: v128, y: v128, sum: v128): v128 {
  if (ASC_FEATURE_RELAXED_SIMD) return i32x4.relaxed_dot_i8x16_i7x16_add_s(x, y, sum)
  const low = i32x4.dot_i16x8_s(i16x8.extend_low_i8x16_s(x), i16x8.extend_low_i8x16_s(y))
  const high = i32x4.dot_i16x8_s(i16x8.extend_high_i8x16_s(x), i16x8.extend_high_i8x16_s(y))
  return i32x4.add(sum, i32x4.add(low, high))
}

@inline
function total(sum: v128): i32 {
  const pairs = i32x4.add(sum, v128.shuffle<i32>(sum, sum, 2, 3, 0, 1))
  return i32x4.extract_lane(pairs, 0) + i32x4.extract_lane(pairs, 1)
}

/** numImages x numNoises int32 at `out`; rows beyond the last are the last again, and not stored. */
export function benefitInt8(images: usize, noise: usize, numImages: i32, numNoises: i32, dims: i32, out: usize): void {
  const whole = dims & ~15
  const numBlocks = 1 + (numImages - 1) / max(3, BLOCK_BYTES / dims)
  let block = 1 + (numImages - 1) / numBlocks
  block += (3 - (block % 3)) % 3
  for (let first = 0; first < numImages; first += block) {
    const end = min(first + block, numImages)
    for (let j = 0; j < numNoises; j += 3) {
      const y0 = noise + <usize>j * dims
      const y1 = noise + <usize>min(j + 1, numNoises - 1) * dims
      const y2 = noise + <usize>min(j + 2, numNoises - 1) * dims
      for (let i = first; i < end; i += 3) tile(images, y0, y1, y2, numImages, numNoises, dims, whole, i, j, out)
    }
  }
}

@inline
function tile(
  images: usize,
  y0: usize,
  y1: usize,
  y2: usize,
  m: i32,
  n: i32,
  dims: i32,
  whole: i32,
  i: i32,
  j: i32,
  out: usize,
): void {
  const x0 = images + <usize>i * dims
  const x1 = images + <usize>min(i + 1, m - 1) * dims
  const x2 = images + <usize>min(i + 2, m - 1) * dims
  let s00 = i32x4.splat(0)
  let s01 = i32x4.splat(0)
  let s02 = i32x4.splat(0)
  let s10 = i32x4.splat(0)
  let s11 = i32x4.splat(0)
  let s12 = i32x4.splat(0)
  let s20 = i32x4.splat(0)
  let s21 = i32x4.splat(0)
  let s22 = i32x4.splat(0)
  for (let d = 0; d < whole; d += 16) {
    const a = v128.load(y0 + d)
    const b = v128.load(y1 + d)
    const c = v128.load(y2 + d)
    let x = v128.load(x0 + d)
    s00 = dot(x, a, s00)
    s01 = dot(x, b, s01)
    s02 = dot(x, c, s02)
    x = v128.load(x1 + d)
    s10 = dot(x, a, s10)
    s11 = dot(x, b, s11)
    s12 = dot(x, c, s12)
    x = v128.load(x2 + d)
    s20 = dot(x, a, s20)
    s21 = dot(x, b, s21)
    s22 = dot(x, c, s22)
  }
  const at = out + (<usize>(i * n + j) << 2)
  put(at, s00, x0, y0, whole, dims)
  if (j + 1 < n) put(at + 4, s01, x0, y1, whole, dims)
  if (j + 2 < n) put(at + 8, s02, x0, y2, whole, dims)
  if (i + 1 < m) {
    const next = at + (<usize>n << 2)
    put(next, s10, x1, y0, whole, dims)
    if (j + 1 < n) put(next + 4, s11, x1, y1, whole, dims)
    if (j + 2 < n) put(next + 8, s12, x1, y2, whole, dims)
  }
  if (i + 2 < m) {
    const last = at + (<usize>n << 3)
    put(last, s20, x2, y0, whole, dims)
    if (j + 1 < n) put(last + 4, s21, x2, y1, whole, dims)
    if (j + 2 < n) put(last + 8, s22, x2, y2, whole, dims)
  }
}

/** Stores a sum with the dimensions that filled no vector. */
@inline
function put(at: usize, sum: v128, x: usize, y: usize, whole: i32, dims: i32): void {
  let value = total(sum)
  for (let d = whole; d < dims; d++) value += <i32>load<i8>(x + d) * <i32>load<u8>(y + d)
  store<i32>(at, value)
}

/** One entry: the image at `x` times the noise at `y`. */
export function product(x: usize, y: usize, dims: i32): i32 {
  const whole = dims & ~63
  let s0 = i32x4.splat(0)
  let s1 = s0
  let s2 = s0
  let s3 = s0
  for (let d = 0; d < whole; d += 64) {
    s0 = dot(v128.load(x + d), v128.load(y + d), s0)
    s1 = dot(v128.load(x + d, 16), v128.load(y + d, 16), s1)
    s2 = dot(v128.load(x + d, 32), v128.load(y + d, 32), s2)
    s3 = dot(v128.load(x + d, 48), v128.load(y + d, 48), s3)
  }
  let value = total(i32x4.add(i32x4.add(s0, s1), i32x4.add(s2, s3)))
  for (let d = whole; d < dims; d++) value += <i32>load<i8>(x + d) * <i32>load<u8>(y + d)
  return value
}

/** Answers the shift. */
export function shortfalls(benefit: usize, numRows: i32, n: i32, shift: i32, rowMaxima: usize, out: usize): i32 {
  let largestSpread: u32 = 0
  const whole = n & ~7
  for (let i = 0; i < numRows; i++) {
    const row = benefit + ((<usize>i * n) << 2)
    let lows = i32x4.splat(i32.MAX_VALUE)
    let highs = i32x4.splat(i32.MIN_VALUE)
    for (let at: usize = 0, end = (<usize>whole) << 2; at < end; at += 32) {
      const a = v128.load(row + at)
      const b = v128.load(row + at, 16)
      lows = i32x4.min_s(lows, i32x4.min_s(a, b))
      highs = i32x4.max_s(highs, i32x4.max_s(a, b))
    }
    let low = least(lows)
    let high = most(highs)
    for (let j = whole; j < n; j++) {
      const value = load<i32>(row + ((<usize>j) << 2))
      low = min(low, value)
      high = max(high, value)
    }
    store<i32>(rowMaxima + ((<usize>i) << 2), high)
    largestSpread = max(largestSpread, <u32>(high - low))
  }
  while (largestSpread >> shift > 0xffff) shift++
  for (let i = 0; i < numRows; i++) {
    const from = benefit + ((<usize>i * n) << 2)
    const to = out + ((<usize>i * n) << 1)
    const high = load<i32>(rowMaxima + ((<usize>i) << 2))
    const highs = i32x4.splat(high)
    for (let j = 0; j < whole; j += 8) {
      const at = from + ((<usize>j) << 2)
      const a = i32x4.shr_u(i32x4.sub(highs, v128.load(at)), shift)
      const b = i32x4.shr_u(i32x4.sub(highs, v128.load(at, 16)), shift)
      v128.store(to + ((<usize>j) << 1), i16x8.narrow_i32x4_u(a, b))
    }
    for (let j = whole; j < n; j++) store<u16>(to + ((<usize>j) << 1), <u16>(<u32>(high - load<i32>(from + ((<usize>j) << 2))) >> shift))
  }
  return shift
}
