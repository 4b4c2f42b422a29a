/** Kernel.resizeRows and resizeColumns. See ts/kernel/resize.ts. Four weights at a time: those behind the last are zero. */

const WEIGHT_BITS: i32 = 22
const HALF: i32 = 1 << (WEIGHT_BITS - 1)

/** Reads up to 15 bytes behind the last pixel. */
export function resizeRows(
  pixels: usize,
  rowStep: i32,
  numRows: i32,
  channels: i32,
  starts: usize,
  counts: usize,
  weights: usize,
  stride: i32,
  width: i32,
  out: usize,
): void {
  const plane = <usize>numRows * width
  for (let y = 0; y < numRows; y++) {
    const row = pixels + <usize>y * rowStep
    const to = out + <usize>y * width
    let x = 0
    if (channels === 3) {
      for (; x + 4 <= width; x += 4) {
        const low = i16x8.narrow_i32x4_s(pixelAt(row, starts, counts, weights, stride, x), pixelAt(row, starts, counts, weights, stride, x + 1))
        const high = i16x8.narrow_i32x4_s(pixelAt(row, starts, counts, weights, stride, x + 2), pixelAt(row, starts, counts, weights, stride, x + 3))
        const planes = i8x16.swizzle(i8x16.narrow_i16x8_u(low, high), i8x16(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15))
        v128.store32_lane(to + x, planes, 0)
        v128.store32_lane(to + plane + x, planes, 1)
        v128.store32_lane(to + 2 * plane + x, planes, 2)
      }
    } else if (channels === 1) {
      for (; x + 4 <= width; x += 4) {
        const low = sumPairs(lanesAt(row, starts, counts, weights, stride, x), lanesAt(row, starts, counts, weights, stride, x + 1))
        const high = sumPairs(lanesAt(row, starts, counts, weights, stride, x + 2), lanesAt(row, starts, counts, weights, stride, x + 3))
        const sum = i32x4.add(v128.shuffle<i32>(low, high, 0, 1, 4, 5), v128.shuffle<i32>(low, high, 2, 3, 6, 7))
        const words = levels(i32x4.add(sum, i32x4.splat(HALF)))
        v128.store32_lane(to + x, narrow(words, words, words, words), 0)
      }
    }
    for (; x < width; x++) {
      const start = row + <usize>load<i32>(starts + (<usize>x << 2)) * channels
      const weight = weights + ((<usize>x * stride) << 2)
      const count = load<i32>(counts + (<usize>x << 2))
      for (let channel = 0; channel < channels; channel++) {
        store<u8>(to + channel * plane + x, level(start + channel, channels, weight, count))
      }
    }
  }
}

export function resizeColumns(
  pixels: usize,
  rowStep: i32,
  width: i32,
  starts: usize,
  counts: usize,
  weights: usize,
  stride: i32,
  height: i32,
  out: usize,
): void {
  for (let y = 0; y < height; y++) {
    const first = pixels + <usize>load<i32>(starts + (<usize>y << 2)) * rowStep
    const weight = weights + ((<usize>y * stride) << 2)
    const count = load<i32>(counts + (<usize>y << 2))
    const to = out + <usize>y * width
    let x = 0
    for (; x + 16 <= width; x += 16) {
      let a = i32x4.splat(HALF)
      let b = a
      let c = a
      let d = a
      let at = first + x
      for (let tap = 0; tap < count; tap++, at += rowStep) {
        const factor = v128.load32_splat(weight + (<usize>tap << 2))
        const bytes = v128.load(at)
        const low = i16x8.extend_low_i8x16_u(bytes)
        const high = i16x8.extend_high_i8x16_u(bytes)
        a = i32x4.add(a, i32x4.mul(i32x4.extend_low_i16x8_u(low), factor))
        b = i32x4.add(b, i32x4.mul(i32x4.extend_high_i16x8_u(low), factor))
        c = i32x4.add(c, i32x4.mul(i32x4.extend_low_i16x8_u(high), factor))
        d = i32x4.add(d, i32x4.mul(i32x4.extend_high_i16x8_u(high), factor))
      }
      v128.store(to + x, narrow(levels(a), levels(b), levels(c), levels(d)))
    }
    for (; x < width; x++) store<u8>(to + x, level(first + x, rowStep, weight, count))
  }
}

/** Result `x` of three channels beside each other, in three lanes, not yet clipped. */
@inline
function pixelAt(row: usize, starts: usize, counts: usize, weights: usize, stride: i32, x: i32): v128 {
  let at = row + <usize>load<i32>(starts + (<usize>x << 2)) * 3
  let weight = weights + ((<usize>x * stride) << 2)
  const end = weight + (<usize>load<i32>(counts + (<usize>x << 2)) << 2)
  let sum = i32x4.splat(HALF)
  for (; weight < end; weight += 16, at += 12) {
    const four = v128.load(at)
    sum = i32x4.add(sum, i32x4.mul(i8x16.swizzle(four, i8x16(0, -1, -1, -1, 1, -1, -1, -1, 2, -1, -1, -1, -1, -1, -1, -1)), v128.load32_splat(weight)))
    sum = i32x4.add(sum, i32x4.mul(i8x16.swizzle(four, i8x16(3, -1, -1, -1, 4, -1, -1, -1, 5, -1, -1, -1, -1, -1, -1, -1)), v128.load32_splat(weight, 4)))
    sum = i32x4.add(sum, i32x4.mul(i8x16.swizzle(four, i8x16(6, -1, -1, -1, 7, -1, -1, -1, 8, -1, -1, -1, -1, -1, -1, -1)), v128.load32_splat(weight, 8)))
    sum = i32x4.add(sum, i32x4.mul(i8x16.swizzle(four, i8x16(9, -1, -1, -1, 10, -1, -1, -1, 11, -1, -1, -1, -1, -1, -1, -1)), v128.load32_splat(weight, 12)))
  }
  return levels(sum)
}

/** The four parts of result `x` of one channel. */
@inline
function lanesAt(row: usize, starts: usize, counts: usize, weights: usize, stride: i32, x: i32): v128 {
  let at = row + load<i32>(starts + (<usize>x << 2))
  let weight = weights + ((<usize>x * stride) << 2)
  const end = weight + (<usize>load<i32>(counts + (<usize>x << 2)) << 2)
  let sum = i32x4.splat(0)
  for (; weight < end; weight += 16, at += 4) {
    const four = i32x4.extend_low_i16x8_u(i16x8.extend_low_i8x16_u(v128.load32_zero(at)))
    sum = i32x4.add(sum, i32x4.mul(four, v128.load(weight)))
  }
  return sum
}

/** Of four lanes of x and of y: two parts of each one's sum, x y x y. */
@inline
function sumPairs(x: v128, y: v128): v128 {
  return i32x4.add(v128.shuffle<i32>(x, y, 0, 4, 1, 5), v128.shuffle<i32>(x, y, 2, 6, 3, 7))
}

@inline
function levels(sum: v128): v128 {
  return i32x4.shr_s(sum, WEIGHT_BITS)
}

/** Sixteen levels, clipped to 8 bits. */
@inline
function narrow(a: v128, b: v128, c: v128, d: v128): v128 {
  return i8x16.narrow_i16x8_u(i16x8.narrow_i32x4_s(a, b), i16x8.narrow_i32x4_s(c, d))
}

function level(at: usize, step: usize, weight: usize, count: i32): u8 {
  let sum = HALF
  for (let tap = 0; tap < count; tap++, at += step) sum += <i32>load<u8>(at) * load<i32>(weight + (<usize>tap << 2))
  return <u8>min(max(sum >> WEIGHT_BITS, 0), 255)
}
