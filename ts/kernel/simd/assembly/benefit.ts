/** Kernel.benefitInt8: tiles of three images and three noises, sixteen dimensions at once. See ts/kernel/benefit.ts. */

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

/** n x n int32 at `out`; rows beyond the last are the last again, and not stored. */
export function benefitInt8(images: usize, noise: usize, n: i32, dims: i32, out: usize): void {
  const whole = dims & ~15
  let block = BLOCK_BYTES / dims
  block = max(3, block - (block % 3))
  for (let first = 0; first < n; first += block) {
    const end = min(first + block, n)
    for (let j = 0; j < n; j += 3) {
      const y0 = noise + <usize>j * dims
      const y1 = noise + <usize>min(j + 1, n - 1) * dims
      const y2 = noise + <usize>min(j + 2, n - 1) * dims
      for (let i = first; i < end; i += 3) tile(images, y0, y1, y2, n, dims, whole, i, j, out)
    }
  }
}

@inline
function tile(images: usize, y0: usize, y1: usize, y2: usize, n: i32, dims: i32, whole: i32, i: i32, j: i32, out: usize): void {
  const x0 = images + <usize>i * dims
  const x1 = images + <usize>min(i + 1, n - 1) * dims
  const x2 = images + <usize>min(i + 2, n - 1) * dims
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
  if (i + 1 < n) {
    const next = at + (<usize>n << 2)
    put(next, s10, x1, y0, whole, dims)
    if (j + 1 < n) put(next + 4, s11, x1, y1, whole, dims)
    if (j + 2 < n) put(next + 8, s12, x1, y2, whole, dims)
  }
  if (i + 2 < n) {
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
