/** Coefficients of a JPEG to samples: the inverse DCT of libjpeg's "islow", in the 16 and 32 bits of its SIMD versions. */

/** Behind the point of the factors: CONST_BITS of libjpeg. */
const FACTOR_BITS = 13
/** More bits that are kept between the passes: PASS1_BITS of libjpeg. */
const BETWEEN_BITS = 2

/** In fixed point, rounded. */
const fixed = (factor: number): number => Math.round(factor * 2 ** FACTOR_BITS)

/**
 * C. Loeffler, A. Ligtenberg and G. S. Moschytz: Practical fast 1-D DCT algorithms with 11 multiplications, ICASSP 1989, figure 1. Each
 * factor is rounded by itself, and then they are added: the products are libjpeg's, in another order.
 */
const EVEN = fixed(0.5411961)
const EVEN_2 = EVEN + fixed(0.765366865)
const EVEN_6 = EVEN - fixed(1.847759065)
const ODD = fixed(1.175875602)
const ODD_37 = ODD - fixed(1.96157056)
const ODD_15 = ODD - fixed(0.390180644)
const ACROSS_17 = -fixed(0.899976223)
const ACROSS_35 = -fixed(2.562915447)
const ODD_7 = ACROSS_17 + fixed(0.298631336)
const ODD_5 = ACROSS_35 + fixed(2.053119869)
const ODD_3 = ACROSS_35 + fixed(3.072711026)
const ODD_1 = ACROSS_17 + fixed(1.50132111)

/** See `Kernel.jpegSamples`. */
export function jpegSamples(coefficients: Int16Array, blocksAcross: number, quantization: Int16Array, out: Uint8Array): void {
  const block = new Int16Array(64)
  const width = blocksAcross * 8
  for (let start = 0; start < coefficients.length; start += 64) {
    // What is too large for 16 bits wraps here, and is clipped after the transform: no image has it, but damaged files do.
    for (let at = 0; at < 64; at++) block[at] = Math.imul(coefficients[start + at], quantization[at])
    const isFlat = coefficients.subarray(start + 8, start + 64).every((value) => value === 0)
    for (let column = 0; column < 8; column++) {
      if (isFlat) for (let row = 7; row >= 0; row--) block[row * 8 + column] = block[column] << BETWEEN_BITS
      else transform(block, column, 8, FACTOR_BITS - BETWEEN_BITS)
    }
    // Three bits more: the factor 1/8 of the two-dimensional transform.
    for (let row = 0; row < 8; row++) transform(block, row * 8, 1, FACTOR_BITS + BETWEEN_BITS + 3)
    const [row, column] = [Math.floor(start / 64 / blocksAcross), (start / 64) % blocksAcross]
    for (let at = 0; at < 64; at++) {
      out[(row * 8 + (at >> 3)) * width + column * 8 + (at & 7)] = clamp(block[at], -128, 127) + 128
    }
  }
}

/** Eight values in place, `step` apart from `start` on; the result loses `bits` bits, and is rounded to nearest. */
function transform(block: Int16Array, start: number, step: number, bits: number): void {
  const at = (index: number): number => block[start + index * step]
  const half = 1 << (bits - 1)
  const sum = (wrap16(at(0) + at(4)) << FACTOR_BITS) + half
  const difference = (wrap16(at(0) - at(4)) << FACTOR_BITS) + half
  const turned2 = at(2) * EVEN_2 + at(6) * EVEN
  const turned6 = at(2) * EVEN + at(6) * EVEN_6
  const even = [sum + turned2, difference + turned6, difference - turned6, sum - turned2]
  const [sum37, sum15] = [wrap16(at(3) + at(7)), wrap16(at(1) + at(5))]
  const shared37 = sum37 * ODD_37 + sum15 * ODD
  const shared15 = sum37 * ODD + sum15 * ODD_15
  const odd = [
    at(1) * ODD_1 + at(7) * ACROSS_17 + shared15,
    at(3) * ODD_3 + at(5) * ACROSS_35 + shared37,
    at(5) * ODD_5 + at(3) * ACROSS_35 + shared15,
    at(7) * ODD_7 + at(1) * ACROSS_17 + shared37,
  ]
  for (let index = 0; index < 4; index++) {
    block[start + index * step] = clamp((even[index] + odd[index]) >> bits, -(2 ** 15), 2 ** 15 - 1)
    block[start + (7 - index) * step] = clamp((even[index] - odd[index]) >> bits, -(2 ** 15), 2 ** 15 - 1)
  }
}

function wrap16(value: number): number {
  return (value << 16) >> 16
}

function clamp(value: number, least: number, most: number): number {
  return Math.min(Math.max(value, least), most)
}
