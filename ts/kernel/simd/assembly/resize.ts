/** Kernel.resizeRows and resizeColumns. See ts/kernel/resize.ts. Four weights at a time: those behind the last are zero. */

const WEIGHT_BITS: i32 = 22
/** Of a weight; the high part is int16 as well. */
const LOW_BITS: i32 = 11
const HALF: i32 = 1 << (WEIGHT_BITS - 1)

/** Reads up to 15 bytes behind the last pixel. `parts`: as many bytes as the weights. */
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
  parts: usize,
): void {
  splitWeights(weights, (<usize>width * stride) << 2, parts)
  const plane = <usize>numRows * width
  for (let y = 0; y < numRows; y++) {
    const row = pixels + <usize>y * rowStep
    const to = out + <usize>y * width
    let x = 0
    if (channels === 3) {
      for (; x + 4 <= width; x += 4) {
        const low = i16x8.narrow_i32x4_s(pixelAt(row, starts, counts, parts, stride, x), pixelAt(row, starts, counts, parts, stride, x + 1))
        const high = i16x8.narrow_i32x4_s(pixelAt(row, starts, counts, parts, stride, x + 2), pixelAt(row, starts, counts, parts, stride, x + 3))
        const planes = i8x16.swizzle(i8x16.narrow_i16x8_u(low, high), i8x16(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15))
        v128.store32_lane(to + x, planes, 0)
        v128.store32_lane(to + plane + x, planes, 1)
        v128.store32_lane(to + 2 * plane + x, planes, 2)
      }
    } else if (channels === 1) {
      for (; x + 4 <= width; x += 4) {
        const left = sumParts(partsAt(row, starts, counts, parts, stride, x), partsAt(row, starts, counts, parts, stride, x + 1))
        const right = sumParts(partsAt(row, starts, counts, parts, stride, x + 2), partsAt(row, starts, counts, parts, stride, x + 3))
        const low = i32x4.add(v128.shuffle<i32>(left, right, 2, 3, 6, 7), i32x4.splat(HALF))
        const words = levels(v128.shuffle<i32>(left, right, 0, 1, 4, 5), low)
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
        const left = i16x8.extend_low_i8x16_u(bytes)
        const right = i16x8.extend_high_i8x16_u(bytes)
        a = i32x4.add(a, i32x4.mul(i32x4.extend_low_i16x8_u(left), factor))
        b = i32x4.add(b, i32x4.mul(i32x4.extend_high_i16x8_u(left), factor))
        c = i32x4.add(c, i32x4.mul(i32x4.extend_low_i16x8_u(right), factor))
        d = i32x4.add(d, i32x4.mul(i32x4.extend_high_i16x8_u(right), factor))
      }
      v128.store(to + x, narrow(rounded(a), rounded(b), rounded(c), rounded(d)))
    }
    for (; x < width; x++) store<u8>(to + x, level(first + x, rowStep, weight, count))
  }
}

/** Each four weights as eight int16: their high parts, then their low ones. Products with pixels are exact, and two are summed at once. */
function splitWeights(weights: usize, byteLength: usize, out: usize): void {
  for (let at: usize = 0; at < byteLength; at += 16) {
    const four = v128.load(weights + at)
    v128.store(out + at, i16x8.narrow_i32x4_s(i32x4.shr_s(four, LOW_BITS), v128.and(four, i32x4.splat((1 << LOW_BITS) - 1))))
  }
}

/** Result `x` of three channels beside each other, in three lanes, not yet clipped. */
@inline
function pixelAt(row: usize, starts: usize, counts: usize, parts: usize, stride: i32, x: i32): v128 {
  let at = row + <usize>load<i32>(starts + (<usize>x << 2)) * 3
  let part = parts + ((<usize>x * stride) << 2)
  const end = part + (<usize>load<i32>(counts + (<usize>x << 2)) << 2)
  let high = i32x4.splat(0)
  let low = i32x4.splat(HALF)
  for (; part < end; part += 16, at += 12) {
    const four = v128.load(at)
    const first = i8x16.swizzle(four, i8x16(0, -1, 3, -1, 1, -1, 4, -1, 2, -1, 5, -1, -1, -1, -1, -1))
    const second = i8x16.swizzle(four, i8x16(6, -1, 9, -1, 7, -1, 10, -1, 8, -1, 11, -1, -1, -1, -1, -1))
    high = i32x4.add(high, i32x4.dot_i16x8_s(first, v128.load32_splat(part)))
    low = i32x4.add(low, i32x4.dot_i16x8_s(first, v128.load32_splat(part, 8)))
    high = i32x4.add(high, i32x4.dot_i16x8_s(second, v128.load32_splat(part, 4)))
    low = i32x4.add(low, i32x4.dot_i16x8_s(second, v128.load32_splat(part, 12)))
  }
  return levels(high, low)
}

/** Result `x` of one channel: two parts of its high sum, two of its low one. */
@inline
function partsAt(row: usize, starts: usize, counts: usize, parts: usize, stride: i32, x: i32): v128 {
  let at = row + load<i32>(starts + (<usize>x << 2))
  let part = parts + ((<usize>x * stride) << 2)
  const end = part + (<usize>load<i32>(counts + (<usize>x << 2)) << 2)
  let sum = i32x4.splat(0)
  for (; part < end; part += 16, at += 4) {
    sum = i32x4.add(sum, i32x4.dot_i16x8_s(i16x8.extend_low_i8x16_u(v128.load32_splat(at)), v128.load(part)))
  }
  return sum
}

/** Of the parts of x and of y: the high sums of both, then the low ones. */
@inline
function sumParts(x: v128, y: v128): v128 {
  return i32x4.add(v128.shuffle<i32>(x, y, 0, 4, 2, 6), v128.shuffle<i32>(x, y, 1, 5, 3, 7))
}

@inline
function rounded(sum: v128): v128 {
  return i32x4.shr_s(sum, WEIGHT_BITS)
}

@inline
function levels(high: v128, low: v128): v128 {
  return rounded(i32x4.add(i32x4.shl(high, LOW_BITS), low))
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
