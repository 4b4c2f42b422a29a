/** Kernel.packPixels, packFloats and packNoise. See ts/kernel/pack.ts. */

/** out = pixel - 128: the sign bit flipped. */
export function packPixels(pixels: usize, length: i32, out: usize): void {
  const flip = i8x16.splat(-128)
  let at = 0
  for (; at + 16 <= length; at += 16) v128.store(out + at, v128.xor(v128.load(pixels + at), flip))
  for (; at < length; at++) store<u8>(out + at, load<u8>(pixels + at) ^ 0x80)
}

/** The largest magnitude, or NaN when a value is not finite. */
export function largestMagnitude(values: usize, length: i32): f32 {
  let largest = f32x4.splat(0)
  let check = f32x4.splat(0)
  let at = 0
  for (; at + 4 <= length; at += 4) {
    const value = v128.load(values + (<usize>at << 2))
    largest = f32x4.max(largest, f32x4.abs(value))
    check = f32x4.add(check, f32x4.sub(value, value))
  }
  let most = max(max(f32x4.extract_lane(largest, 0), f32x4.extract_lane(largest, 1)), max(f32x4.extract_lane(largest, 2), f32x4.extract_lane(largest, 3)))
  let bad = f32x4.extract_lane(check, 0) + f32x4.extract_lane(check, 1) + f32x4.extract_lane(check, 2) + f32x4.extract_lane(check, 3)
  for (; at < length; at++) {
    const value = load<f32>(values + (<usize>at << 2))
    most = max(most, abs(value))
    bad += value - value
  }
  return most + bad
}

/** out = int8(round-even(value * inverse)). */
export function scaleFloats(values: usize, length: i32, inverse: f32, out: usize): void {
  const factor = f32x4.splat(inverse)
  let at = 0
  for (; at + 16 <= length; at += 16) {
    const from = values + (<usize>at << 2)
    const low = i16x8.narrow_i32x4_s(rounded(v128.load(from), factor), rounded(v128.load(from, 16), factor))
    const high = i16x8.narrow_i32x4_s(rounded(v128.load(from, 32), factor), rounded(v128.load(from, 48), factor))
    v128.store(out + at, i8x16.narrow_i16x8_s(low, high))
  }
  for (; at < length; at++) store<i8>(out + at, <i8>nearest(load<f32>(values + (<usize>at << 2)) * inverse))
}

/** To the nearest even integer, for magnitudes up to 2^22: the adder rounds, and leaves the integer in the low bits. */
@inline
function roundedEven(value: v128): v128 {
  return i32x4.sub(f32x4.add(value, f32x4.splat(12582912)), i32x4.splat(0x4b400000))
}

@inline
function rounded(value: v128, factor: v128): v128 {
  return roundedEven(f32x4.mul(value, factor))
}

/** out = value * scale + offset. */
export function unpack(values: usize, length: i32, scale: f32, offset: f32, out: usize): void {
  const factor = f32x4.splat(scale)
  const shift = f32x4.splat(offset)
  let at = 0
  for (; at + 8 <= length; at += 8) {
    const words = v128.load8x8_s(values + at)
    const to = out + (<usize>at << 2)
    v128.store(to, f32x4.add(f32x4.mul(f32x4.convert_i32x4_s(i32x4.extend_low_i16x8_s(words)), factor), shift))
    v128.store(to, f32x4.add(f32x4.mul(f32x4.convert_i32x4_s(i32x4.extend_high_i16x8_s(words)), factor), shift), 16)
  }
  for (; at < length; at++) store<f32>(out + (<usize>at << 2), <f32>load<i8>(values + at) * scale + offset)
}

/** out = clamp(round-even(16 n), -64, 63) + 64. */
export function packNoise(noise: usize, length: i32, out: usize): void {
  let at = 0
  for (; at + 16 <= length; at += 16) {
    const from = noise + (<usize>at << 2)
    const low = i16x8.narrow_i32x4_s(level(v128.load(from)), level(v128.load(from, 16)))
    const high = i16x8.narrow_i32x4_s(level(v128.load(from, 32)), level(v128.load(from, 48)))
    v128.store(out + at, i8x16.add(i8x16.narrow_i16x8_s(low, high), i8x16.splat(64)))
  }
  for (; at < length; at++) {
    const value = min(max(load<f32>(noise + (<usize>at << 2)) * 16, <f32>-64), <f32>63)
    store<u8>(out + at, <u8>(<i32>nearest(value) + 64))
  }
}

@inline
function level(noise: v128): v128 {
  // pmin and pmax are one instruction each where min and max, which care for NaN and -0, are seven.
  const value = f32x4.pmin(f32x4.splat(63), f32x4.pmax(f32x4.splat(-64), f32x4.mul(noise, f32x4.splat(16))))
  return roundedEven(value)
}
