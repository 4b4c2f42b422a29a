/** float32 <-> float16 (IEEE 754 binary16) as bits, for engines without Float16Array. Integer arithmetic and one exact float addition: the same bits everywhere. */

const INFINITY_BITS = 0x7f80_0000
/** 2^16, the first magnitude that is beyond float16 whatever the rounding; [65520, 65536) carries into infinity by itself. */
const OVERFLOW_BITS = 0x4780_0000
/** 2^-14: below it float16 is subnormal. */
const SUBNORMAL_BITS = 0x3880_0000
const HALF_BITS = 0x3f00_0000
/** What takes a float32 exponent (bias 127) to a float16 one (bias 15), in units of the float32 mantissa. */
const REBIAS = (127 - 15) << 23
const CHUNK = 1024

const float = new Float32Array(CHUNK)
const bits = new Int32Array(float.buffer)

/** See `Kernel.toFloat16`. NaN becomes the quiet NaN 0x7e00, with its sign. */
export function toFloat16(values: Float32Array, out: Uint16Array): void {
  for (let begin = 0; begin < values.length; begin += CHUNK) {
    const length = Math.min(CHUNK, values.length - begin)
    for (let at = 0; at < length; at++) {
      float[at] = values[begin + at]
      const sign = (bits[at] >>> 16) & 0x8000
      const magnitude = bits[at] & 0x7fff_ffff
      out[begin + at] = sign | halfOfMagnitude(magnitude, at)
    }
  }
}

function halfOfMagnitude(magnitude: number, at: number): number {
  if (magnitude >= OVERFLOW_BITS) return magnitude > INFINITY_BITS ? 0x7e00 : 0x7c00
  if (magnitude < SUBNORMAL_BITS) {
    // The last bit of a float32 in [1/2, 1) is worth 2^-24, as is that of a subnormal half: the adder rounds for us.
    bits[at] = magnitude
    float[at] += 0.5
    return bits[at] - HALF_BITS
  }
  const isOdd = (magnitude >>> 13) & 1
  return (magnitude - REBIAS + 0x0fff + isOdd) >>> 13
}

/** float16 bits -> float32, exactly. */
export function fromFloat16(halves: Uint16Array, out: Float32Array): void {
  for (let at = 0; at < halves.length; at++) {
    const half = halves[at]
    const exponent = (half >>> 10) & 0x1f
    const mantissa = half & 0x03ff
    let magnitude: number
    if (exponent === 0) magnitude = mantissa * 2 ** -24
    else if (exponent === 31) magnitude = mantissa === 0 ? Infinity : NaN
    else magnitude = (1 + mantissa * 2 ** -10) * 2 ** (exponent - 15)
    out[at] = (half & 0x8000) === 0 ? magnitude : -magnitude
  }
}
