/** Images and noise as the small integers that the benefit matrix multiplies. All rounding is to nearest, ties to even, in float32. */

const { fround } = Math
/** 1.5 * 2^23: adding and subtracting it rounds a float32 of magnitude up to 2^22 to the nearest even integer. */
const ROUNDER = 12_582_912
const INT8_MAX = 127
const NOISE_LEVELS_PER_STD = 16
const NOISE_MIN = -64
const NOISE_MAX = 63

/** See `Kernel.packPixels`. */
export function packPixels(pixels: Uint8Array, out: Int8Array): void {
  for (let at = 0; at < pixels.length; at++) out[at] = pixels[at] - 128
}

/** See `Kernel.packFloats`. All zero (or all under 2^-120): zeros and scale 0. Throws a RangeError when a value is not finite. */
export function packFloats(values: Float32Array, out: Int8Array): number {
  let largest = 0
  let check = 0
  for (let at = 0; at < values.length; at++) {
    const value = values[at]
    check += value - value // NaN as soon as one value is not finite
    largest = Math.max(largest, Math.abs(value))
  }
  if (check !== 0) throw new RangeError(`expected finite values, got ${values.find((value) => !Number.isFinite(value))}`)
  if (largest < 2 ** -120) {
    out.fill(0)
    return 0
  }
  const inverse = fround(INT8_MAX / largest)
  for (let at = 0; at < values.length; at++) out[at] = roundEven(fround(values[at] * inverse))
  return fround(largest / INT8_MAX)
}

/** See `Kernel.unpack`. */
export function unpack(values: Int8Array, scale: number, offset: number, out: Float32Array): void {
  const [factor, shift] = [fround(scale), fround(offset)]
  for (let at = 0; at < values.length; at++) out[at] = fround(fround(values[at] * factor) + shift)
}

/** See `Kernel.packNoise`. */
export function packNoise(noise: Float32Array, out: Uint8Array): void {
  for (let at = 0; at < noise.length; at++) {
    const level = Math.min(Math.max(fround(noise[at] * NOISE_LEVELS_PER_STD), NOISE_MIN), NOISE_MAX)
    out[at] = roundEven(level) - NOISE_MIN
  }
}

function roundEven(value: number): number {
  return fround(fround(value + ROUNDER) - ROUNDER)
}
