/** Kernel.jpegPixels. See ts/kernel/jpeg-pixels.ts. A row after the other, sixteen pixels at a time. */

/** Of a plane, in int32: samples, stride, width, height, pixels to a sample across and down. */
const PLANE_BYTES: usize = 24

/** JFIF's factors less what is added whole; red and blue with 15 bits behind the point, which round all 256 chromas as libjpeg's 16 do; green with 16. */
const RED_OF_CR: i16 = 13_173
const BLUE_OF_CB: i16 = -7_471
const GREEN_OF_CB: i16 = -22_554
const GREEN_OF_CR: i16 = 18_734
const HALF: i32 = 1 << 15

/** Of a row of int16 with room on both sides. */
@inline
function rowBytes(width: i32): usize {
  return ((<usize>width << 1) + 79) & ~15
}

/** How many bytes are needed for rows of so many pixels: the sums of a row, two enlarged rows, the last pixels of a row. */
export function jpegPixelsBytes(width: i32): usize {
  return 3 * rowBytes(width) + 48
}

/** Reads up to 15 bytes behind a row of samples. @param scratch jpegPixelsBytes. */
export function jpegPixels(planes: usize, numPlanes: i32, isYcc: bool, width: i32, height: i32, out: usize, scratch: usize): void {
  const enlarged = scratch + rowBytes(width)
  const rest = enlarged + 2 * rowBytes(width)
  const samples = <usize>load<u32>(planes)
  const stride = <usize>load<u32>(planes, 4)
  for (let y = 0; y < height; y++) {
    const first = samples + y * stride
    if (numPlanes === 1) {
      memory.copy(out, first, width)
      out += width
      continue
    }
    const second = enlarge(planes + PLANE_BYTES, y, scratch, enlarged)
    const third = enlarge(planes + 2 * PLANE_BYTES, y, scratch, enlarged + rowBytes(width))
    for (let x = 0; x < width; x += 16) {
      const numPixels = min(16, width - x)
      const to = numPixels === 16 ? out : rest
      if (isYcc) storeYcc(v128.load(first + x), v128.load(second + x), v128.load(third + x), to)
      else storeRgb(v128.load(first + x), v128.load(second + x), v128.load(third + x), to)
      if (numPixels < 16) memory.copy(out, rest, 3 * numPixels)
      out += 3 * numPixels
    }
  }
}

/** Row y of a plane with as many samples as pixels: where it is, or what is made of it in `out`. */
function enlarge(plane: usize, y: i32, scratch: usize, out: usize): usize {
  const width = load<i32>(plane, 8)
  const height = load<i32>(plane, 12)
  const across = load<i32>(plane, 16)
  const down = load<i32>(plane, 20)
  const isLower = down === 2 && (y & 1) === 1
  const nearRow = down === 2 ? y >> 1 : y
  const near = load<u32>(plane) + <usize>nearRow * load<u32>(plane, 4)
  if (across === 1 && down === 1) return near
  if (across === 2 && width <= 2) {
    for (let x = 0; x < 2 * width; x++) store<u8>(out + x, load<u8>(near + (x >> 1)))
    return out
  }
  const otherRow = max(0, min(height - 1, isLower ? nearRow + 1 : nearRow - 1))
  const other = load<u32>(plane) + <usize>otherRow * load<u32>(plane, 4)
  if (across === 1) {
    const bias = i16x8.splat(<i16>(isLower ? 2 : 1))
    for (let x = 0; x < width; x += 8) {
      const levels = i16x8.shr_u(i16x8.add(sumRows(near + x, other + x), bias), 2)
      v128.store64_lane(out + x, i8x16.narrow_i16x8_u(levels, levels), 0)
    }
    return out
  }
  // Beside the row, what is at its edge.
  const sums = scratch + 16
  const end = <usize>width << 1
  for (let x = 0; x < width; x += 8) v128.store(sums + (<usize>x << 1), down === 2 ? sumRows(near + x, other + x) : v128.load8x8_u(near + x))
  store<i16>(sums - 2, load<i16>(sums))
  store<i16>(sums + end, load<i16>(sums + end - 2))
  const shift = down === 2 ? 4 : 2
  const leftBias = i16x8.splat(<i16>(down === 2 ? 8 : 1))
  const rightBias = i16x8.splat(<i16>(down === 2 ? 7 : 2))
  for (let at: usize = 0; at < end; at += 16) {
    const here = v128.load(sums + at)
    const three = i16x8.add(i16x8.add(here, here), here)
    const left = i16x8.shr_u(i16x8.add(i16x8.add(three, v128.load(sums + at - 2)), leftBias), shift)
    const right = i16x8.shr_u(i16x8.add(i16x8.add(three, v128.load(sums + at + 2)), rightBias), shift)
    v128.store(out + at, v128.or(left, i16x8.shl(right, 8)))
  }
  return out
}

/** Three of the nearer and one of the other, of eight samples. */
@inline
function sumRows(near: usize, other: usize): v128 {
  return i16x8.add(i16x8.mul(v128.load8x8_u(near), i16x8.splat(3)), v128.load8x8_u(other))
}

@inline
function storeYcc(luma: v128, cb: v128, cr: v128, out: usize): void {
  const blueness = v128.xor(cb, i8x16.splat(-128))
  const redness = v128.xor(cr, i8x16.splat(-128))
  const lowLuma = i16x8.extend_low_i8x16_u(luma)
  const highLuma = i16x8.extend_high_i8x16_u(luma)
  const lowBlueness = i16x8.extend_low_i8x16_s(blueness)
  const highBlueness = i16x8.extend_high_i8x16_s(blueness)
  const lowRedness = i16x8.extend_low_i8x16_s(redness)
  const highRedness = i16x8.extend_high_i8x16_s(redness)
  const red = i8x16.narrow_i16x8_u(redOf(lowLuma, lowRedness), redOf(highLuma, highRedness))
  const green = i8x16.narrow_i16x8_u(greenOf(lowLuma, lowBlueness, lowRedness), greenOf(highLuma, highBlueness, highRedness))
  const blue = i8x16.narrow_i16x8_u(blueOf(lowLuma, lowBlueness), blueOf(highLuma, highBlueness))
  storeRgb(red, green, blue, out)
}

@inline
function redOf(luma: v128, redness: v128): v128 {
  return i16x8.add(i16x8.add(luma, redness), i16x8.q15mulr_sat_s(redness, i16x8.splat(RED_OF_CR)))
}

@inline
function greenOf(luma: v128, blueness: v128, redness: v128): v128 {
  const low = greenPart(v128.shuffle<i16>(blueness, redness, 0, 8, 1, 9, 2, 10, 3, 11))
  const high = greenPart(v128.shuffle<i16>(blueness, redness, 4, 12, 5, 13, 6, 14, 7, 15))
  return i16x8.add(i16x8.sub(luma, redness), i16x8.narrow_i32x4_s(low, high))
}

@inline
function greenPart(pairs: v128): v128 {
  const factors = i16x8(GREEN_OF_CB, GREEN_OF_CR, GREEN_OF_CB, GREEN_OF_CR, GREEN_OF_CB, GREEN_OF_CR, GREEN_OF_CB, GREEN_OF_CR)
  return i32x4.shr_s(i32x4.add(i32x4.dot_i16x8_s(pairs, factors), i32x4.splat(HALF)), 16)
}

@inline
function blueOf(luma: v128, blueness: v128): v128 {
  return i16x8.add(i16x8.add(luma, i16x8.add(blueness, blueness)), i16x8.q15mulr_sat_s(blueness, i16x8.splat(BLUE_OF_CB)))
}

/** Sixteen pixels, channels beside each other. */
@inline
function storeRgb(red: v128, green: v128, blue: v128, out: usize): void {
  const low = v128.shuffle<i8>(red, green, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23)
  const high = v128.shuffle<i8>(red, green, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31)
  const middle = v128.shuffle<i64>(low, high, 1, 2)
  v128.store(out, v128.shuffle<i8>(low, blue, 0, 1, 16, 2, 3, 17, 4, 5, 18, 6, 7, 19, 8, 9, 20, 10))
  v128.store(out, v128.shuffle<i8>(middle, blue, 3, 21, 4, 5, 22, 6, 7, 23, 8, 9, 24, 10, 11, 25, 12, 13), 16)
  v128.store(out, v128.shuffle<i8>(high, blue, 26, 6, 7, 27, 8, 9, 28, 10, 11, 29, 12, 13, 30, 14, 15, 31), 32)
}
