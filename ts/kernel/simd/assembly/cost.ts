/** Kernel.costFloat32 and costL1: tiles of three images and three noises, in the order of sums of ts/kernel/cost.ts. */

const STRIP: i32 = 1024
/** Bytes of image strips that stay in the second-level cache while all noises pass by. */
const BLOCK_BYTES: i32 = 524288

@inline
function total(sum: v128): f32 {
  return f32x4.extract_lane(sum, 0) + f32x4.extract_lane(sum, 1) + (f32x4.extract_lane(sum, 2) + f32x4.extract_lane(sum, 3))
}

@inline
function madd(x: v128, y: v128, sum: v128): v128 {
  return f32x4.add(sum, f32x4.mul(x, y))
}

/** A term of L1 or of the inner product: which, is known while compiling. */
@inline
function fold(x: v128, y: v128, sum: v128, isL1: bool): v128 {
  return isL1 ? f32x4.add(sum, f32x4.abs(f32x4.sub(x, y))) : madd(x, y, sum)
}

/** The last dims % 4 numbers of a row, the other lanes 0: they add +0 to a lane, which changes no lane's value. */
@inline
function tail(row: usize, left: i32): v128 {
  let lanes = f32x4(load<f32>(row), 0, 0, 0)
  if (left > 1) lanes = f32x4.replace_lane(lanes, 1, load<f32>(row, 4))
  if (left > 2) lanes = f32x4.replace_lane(lanes, 2, load<f32>(row, 8))
  return lanes
}

/** L1 adds up; an inner product is subtracted. */
@inline
function finish(at: usize, sum: v128, isL1: bool): void {
  store<f32>(at, isL1 ? load<f32>(at) + total(sum) : load<f32>(at) - total(sum))
}

/** n x n float32 at `out`. */
export function costFloat32(images: usize, noise: usize, n: i32, dims: i32, out: usize): void {
  everyPair(images, noise, n, dims, out, false)
}

/** n x n float32 at `out`. */
export function costL1(images: usize, noise: usize, n: i32, dims: i32, out: usize): void {
  everyPair(images, noise, n, dims, out, true)
}

/** Rows beyond the last are the last again, and not stored. */
@inline
function everyPair(images: usize, noise: usize, n: i32, dims: i32, out: usize, isL1: bool): void {
  memory.fill(out, 0, (<usize>n * n) << 2)
  for (let begin = 0; begin < dims; begin += STRIP) {
    const length = min(STRIP, dims - begin)
    let block = BLOCK_BYTES / (length << 2)
    block = max(3, block - (block % 3))
    for (let first = 0; first < n; first += block) {
      const end = min(first + block, n)
      for (let j = 0; j < n; j += 3) {
        for (let i = first; i < end; i += 3) tile(images, noise, n, dims, begin, length, i, j, out, isL1)
      }
    }
  }
}

/** out[i] = x_i . y_(yIndex[i]), strip by strip. */
export function pairProducts(x: usize, y: usize, yIndex: usize, numRows: i32, dims: i32, out: usize): void {
  for (let row = 0; row < numRows; row++) {
    const a = x + ((<usize>row * dims) << 2)
    const b = y + ((<usize>load<i32>(yIndex + (<usize>row << 2)) * dims) << 2)
    let sum: f32 = 0
    for (let begin = 0; begin < dims; begin += STRIP) {
      const length = min(STRIP, dims - begin)
      const from = <usize>begin << 2
      const end = from + (<usize>(length & ~3) << 2)
      let lanes = f32x4.splat(0)
      for (let d = from; d < end; d += 16) lanes = madd(v128.load(a + d), v128.load(b + d), lanes)
      const left = length & 3
      if (left > 0) lanes = madd(tail(a + end, left), tail(b + end, left), lanes)
      sum += total(lanes)
    }
    store<f32>(out + (<usize>row << 2), sum)
  }
}

@inline
function rowAt(matrix: usize, row: i32, n: i32, dims: i32, begin: i32): usize {
  return matrix + ((<usize>min(row, n - 1) * dims + begin) << 2)
}

@inline
function tile(images: usize, noise: usize, n: i32, dims: i32, begin: i32, length: i32, i: i32, j: i32, out: usize, isL1: bool): void {
  const x0 = rowAt(images, i, n, dims, begin)
  const x1 = rowAt(images, i + 1, n, dims, begin)
  const x2 = rowAt(images, i + 2, n, dims, begin)
  const y0 = rowAt(noise, j, n, dims, begin)
  const y1 = rowAt(noise, j + 1, n, dims, begin)
  const y2 = rowAt(noise, j + 2, n, dims, begin)
  let s00 = f32x4.splat(0)
  let s01 = f32x4.splat(0)
  let s02 = f32x4.splat(0)
  let s10 = f32x4.splat(0)
  let s11 = f32x4.splat(0)
  let s12 = f32x4.splat(0)
  let s20 = f32x4.splat(0)
  let s21 = f32x4.splat(0)
  let s22 = f32x4.splat(0)
  const whole = <usize>(length & ~3) << 2
  for (let d: usize = 0; d < whole; d += 16) {
    const a = v128.load(y0 + d)
    const b = v128.load(y1 + d)
    const c = v128.load(y2 + d)
    let x = v128.load(x0 + d)
    s00 = fold(x, a, s00, isL1)
    s01 = fold(x, b, s01, isL1)
    s02 = fold(x, c, s02, isL1)
    x = v128.load(x1 + d)
    s10 = fold(x, a, s10, isL1)
    s11 = fold(x, b, s11, isL1)
    s12 = fold(x, c, s12, isL1)
    x = v128.load(x2 + d)
    s20 = fold(x, a, s20, isL1)
    s21 = fold(x, b, s21, isL1)
    s22 = fold(x, c, s22, isL1)
  }
  const left = length & 3
  if (left > 0) {
    const a = tail(y0 + whole, left)
    const b = tail(y1 + whole, left)
    const c = tail(y2 + whole, left)
    let x = tail(x0 + whole, left)
    s00 = fold(x, a, s00, isL1)
    s01 = fold(x, b, s01, isL1)
    s02 = fold(x, c, s02, isL1)
    x = tail(x1 + whole, left)
    s10 = fold(x, a, s10, isL1)
    s11 = fold(x, b, s11, isL1)
    s12 = fold(x, c, s12, isL1)
    x = tail(x2 + whole, left)
    s20 = fold(x, a, s20, isL1)
    s21 = fold(x, b, s21, isL1)
    s22 = fold(x, c, s22, isL1)
  }
  const at = out + (<usize>(i * n + j) << 2)
  const hasColumn1 = j + 1 < n
  const hasColumn2 = j + 2 < n
  finish(at, s00, isL1)
  if (hasColumn1) finish(at + 4, s01, isL1)
  if (hasColumn2) finish(at + 8, s02, isL1)
  if (i + 1 < n) {
    const next = at + (<usize>n << 2)
    finish(next, s10, isL1)
    if (hasColumn1) finish(next + 4, s11, isL1)
    if (hasColumn2) finish(next + 8, s12, isL1)
  }
  if (i + 2 < n) {
    const last = at + (<usize>n << 3)
    finish(last, s20, isL1)
    if (hasColumn1) finish(last + 4, s21, isL1)
    if (hasColumn2) finish(last + 8, s22, isL1)
  }
}
