/** Kernel.jpegSamples. See ts/kernel/jpeg-samples.ts. A vector holds a row of eight int16; the products are int32, in halves. */

/** Behind the point of the factors. */
const FACTOR_BITS: i32 = 13
const BETWEEN_BITS: i32 = 2
/** Of a block: eight vectors of int16. */
const BLOCK_BYTES: usize = 128

/** The factors of ts/kernel/jpeg-samples.ts, with 13 bits behind the point. */
const EVEN: i16 = 4433
const EVEN_2: i16 = 4433 + 6270
const EVEN_6: i16 = 4433 - 15137
const ODD: i16 = 9633
const ODD_37: i16 = 9633 - 16069
const ODD_15: i16 = 9633 - 3196
const ACROSS_17: i16 = -7373
const ACROSS_35: i16 = -20995
const ODD_7: i16 = 2446 - 7373
const ODD_5: i16 = 16819 - 20995
const ODD_3: i16 = 25172 - 20995
const ODD_1: i16 = 12299 - 7373

/** @param scratch two blocks. */
export function jpegSamples(coefficients: usize, numBlocks: i32, blocksAcross: i32, quantization: usize, out: usize, scratch: usize): void {
  const stride = <usize>blocksAcross * 8
  const other = scratch + BLOCK_BYTES
  let to = out
  let column = 0
  for (let block = 0; block < numBlocks; block++, coefficients += BLOCK_BYTES) {
    const isFlat = dequantize(coefficients, quantization, scratch)
    if (isFlat) {
      // The first pass would give eight rows like that.
      spread(i16x8.shl(v128.load(scratch), BETWEEN_BITS), other)
    } else {
      transform(scratch, FACTOR_BITS - BETWEEN_BITS)
      transpose(scratch, other)
    }
    // Three bits more: the factor 1/8 of the two-dimensional transform.
    transform(other, FACTOR_BITS + BETWEEN_BITS + 3)
    storeSamples(other, to, stride)
    to += 8
    if (++column === blocksAcross) {
      column = 0
      to += 7 * stride
    }
  }
}

/** Whether all but the first row are zero. */
@inline
function dequantize(coefficients: usize, quantization: usize, out: usize): bool {
  let others = i16x8.splat(0)
  for (let at: usize = 0; at < BLOCK_BYTES; at += 16) {
    const row = v128.load(coefficients + at)
    if (at > 0) others = v128.or(others, row)
    v128.store(out + at, i16x8.mul(row, v128.load(quantization + at)))
  }
  return !v128.any_true(others)
}

/** Column c of eight equal rows, as a row: eight times the same. */
@inline
function spread(row: v128, out: usize): void {
  v128.store(out, i8x16.swizzle(row, i16x8.splat(0x0100)))
  v128.store(out, i8x16.swizzle(row, i16x8.splat(0x0302)), 16)
  v128.store(out, i8x16.swizzle(row, i16x8.splat(0x0504)), 32)
  v128.store(out, i8x16.swizzle(row, i16x8.splat(0x0706)), 48)
  v128.store(out, i8x16.swizzle(row, i16x8.splat(0x0908)), 64)
  v128.store(out, i8x16.swizzle(row, i16x8.splat(0x0b0a)), 80)
  v128.store(out, i8x16.swizzle(row, i16x8.splat(0x0d0c)), 96)
  v128.store(out, i8x16.swizzle(row, i16x8.splat(0x0f0e)), 112)
}

/** Eight transforms, one in each lane. */
@inline
function transform(block: usize, bits: i32): void {
  const row1 = v128.load(block, 16)
  const row2 = v128.load(block, 32)
  const row3 = v128.load(block, 48)
  const row5 = v128.load(block, 80)
  const row6 = v128.load(block, 96)
  const row7 = v128.load(block, 112)
  const low26 = lowPairs(row2, row6)
  const high26 = highPairs(row2, row6)
  const low17 = lowPairs(row1, row7)
  const high17 = highPairs(row1, row7)
  const low35 = lowPairs(row3, row5)
  const high35 = highPairs(row3, row5)
  const sum37 = i16x8.add(row3, row7)
  const sum15 = i16x8.add(row1, row5)
  const lowSums = lowPairs(sum37, sum15)
  const highSums = highPairs(sum37, sum15)

  const half = i32x4.splat(1 << (bits - 1))
  const sum = i16x8.add(v128.load(block), v128.load(block, 64))
  const difference = i16x8.sub(v128.load(block), v128.load(block, 64))
  const lowSum = i32x4.add(i32x4.shl(i32x4.extend_low_i16x8_s(sum), FACTOR_BITS), half)
  const highSum = i32x4.add(i32x4.shl(i32x4.extend_high_i16x8_s(sum), FACTOR_BITS), half)
  const lowDifference = i32x4.add(i32x4.shl(i32x4.extend_low_i16x8_s(difference), FACTOR_BITS), half)
  const highDifference = i32x4.add(i32x4.shl(i32x4.extend_high_i16x8_s(difference), FACTOR_BITS), half)

  const lowShared15 = dot(lowSums, ODD, ODD_15)
  const highShared15 = dot(highSums, ODD, ODD_15)
  const low2 = dot(low26, EVEN_2, EVEN)
  const high2 = dot(high26, EVEN_2, EVEN)
  const lowOdd1 = i32x4.add(dot(low17, ODD_1, ACROSS_17), lowShared15)
  const highOdd1 = i32x4.add(dot(high17, ODD_1, ACROSS_17), highShared15)
  storeRows(block, 0, i32x4.add(lowSum, low2), i32x4.add(highSum, high2), lowOdd1, highOdd1, bits)
  const lowOdd5 = i32x4.add(dot(low35, ACROSS_35, ODD_5), lowShared15)
  const highOdd5 = i32x4.add(dot(high35, ACROSS_35, ODD_5), highShared15)
  const low6 = dot(low26, EVEN, EVEN_6)
  const high6 = dot(high26, EVEN, EVEN_6)
  storeRows(block, 2, i32x4.sub(lowDifference, low6), i32x4.sub(highDifference, high6), lowOdd5, highOdd5, bits)
  const lowShared37 = dot(lowSums, ODD_37, ODD)
  const highShared37 = dot(highSums, ODD_37, ODD)
  const lowOdd3 = i32x4.add(dot(low35, ODD_3, ACROSS_35), lowShared37)
  const highOdd3 = i32x4.add(dot(high35, ODD_3, ACROSS_35), highShared37)
  storeRows(block, 1, i32x4.add(lowDifference, low6), i32x4.add(highDifference, high6), lowOdd3, highOdd3, bits)
  const lowOdd7 = i32x4.add(dot(low17, ACROSS_17, ODD_7), lowShared37)
  const highOdd7 = i32x4.add(dot(high17, ACROSS_17, ODD_7), highShared37)
  storeRows(block, 3, i32x4.sub(lowSum, low2), i32x4.sub(highSum, high2), lowOdd7, highOdd7, bits)
}

/** Rows `index` and 7 - `index`. */
@inline
function storeRows(block: usize, index: usize, lowEven: v128, highEven: v128, lowOdd: v128, highOdd: v128, bits: i32): void {
  v128.store(block + 16 * index, descale(i32x4.add(lowEven, lowOdd), i32x4.add(highEven, highOdd), bits))
  v128.store(block + 16 * (7 - index), descale(i32x4.sub(lowEven, lowOdd), i32x4.sub(highEven, highOdd), bits))
}

@inline
function descale(low: v128, high: v128, bits: i32): v128 {
  return i16x8.narrow_i32x4_s(i32x4.shr_s(low, bits), i32x4.shr_s(high, bits))
}

/** x * first + y * second of each pair. */
@inline
function dot(pairs: v128, first: i16, second: i16): v128 {
  return i32x4.dot_i16x8_s(pairs, i16x8(first, second, first, second, first, second, first, second))
}

@inline
function lowPairs(x: v128, y: v128): v128 {
  return v128.shuffle<i16>(x, y, 0, 8, 1, 9, 2, 10, 3, 11)
}

@inline
function highPairs(x: v128, y: v128): v128 {
  return v128.shuffle<i16>(x, y, 4, 12, 5, 13, 6, 14, 7, 15)
}

@inline
function transpose(block: usize, out: usize): void {
  const low01 = lowPairs(v128.load(block), v128.load(block, 16))
  const high01 = highPairs(v128.load(block), v128.load(block, 16))
  const low23 = lowPairs(v128.load(block, 32), v128.load(block, 48))
  const high23 = highPairs(v128.load(block, 32), v128.load(block, 48))
  const low45 = lowPairs(v128.load(block, 64), v128.load(block, 80))
  const high45 = highPairs(v128.load(block, 64), v128.load(block, 80))
  const low67 = lowPairs(v128.load(block, 96), v128.load(block, 112))
  const high67 = highPairs(v128.load(block, 96), v128.load(block, 112))
  transposeHalf(low01, low23, low45, low67, out)
  transposeHalf(high01, high23, high45, high67, out + 64)
}

/** Four columns, of pairs that are two rows' each. */
@inline
function transposeHalf(rows01: v128, rows23: v128, rows45: v128, rows67: v128, out: usize): void {
  const left = v128.shuffle<i32>(rows01, rows23, 0, 4, 1, 5)
  const right = v128.shuffle<i32>(rows45, rows67, 0, 4, 1, 5)
  v128.store(out, v128.shuffle<i64>(left, right, 0, 2))
  v128.store(out, v128.shuffle<i64>(left, right, 1, 3), 16)
  const left2 = v128.shuffle<i32>(rows01, rows23, 2, 6, 3, 7)
  const right2 = v128.shuffle<i32>(rows45, rows67, 2, 6, 3, 7)
  v128.store(out, v128.shuffle<i64>(left2, right2, 0, 2), 32)
  v128.store(out, v128.shuffle<i64>(left2, right2, 1, 3), 48)
}

/** Columns of int16 to rows of samples: clipped to 8 bits, then 128 higher. */
@inline
function storeSamples(columns: usize, out: usize, stride: usize): void {
  const columns01 = samplePairs(columns)
  const columns23 = samplePairs(columns + 32)
  const columns45 = samplePairs(columns + 64)
  const columns67 = samplePairs(columns + 96)
  const left = lowPairs(columns01, columns23)
  const right = lowPairs(columns45, columns67)
  storeTwoRows(v128.shuffle<i32>(left, right, 0, 4, 1, 5), out, stride)
  storeTwoRows(v128.shuffle<i32>(left, right, 2, 6, 3, 7), out + 2 * stride, stride)
  const left2 = highPairs(columns01, columns23)
  const right2 = highPairs(columns45, columns67)
  storeTwoRows(v128.shuffle<i32>(left2, right2, 0, 4, 1, 5), out + 4 * stride, stride)
  storeTwoRows(v128.shuffle<i32>(left2, right2, 2, 6, 3, 7), out + 6 * stride, stride)
}

/** Samples of two columns beside each other. */
@inline
function samplePairs(columns: usize): v128 {
  const bytes = i8x16.narrow_i16x8_s(v128.load(columns), v128.load(columns, 16))
  return i8x16.swizzle(v128.xor(bytes, i8x16.splat(-128)), i8x16(0, 8, 1, 9, 2, 10, 3, 11, 4, 12, 5, 13, 6, 14, 7, 15))
}

@inline
function storeTwoRows(rows: v128, out: usize, stride: usize): void {
  v128.store64_lane(out, rows, 0)
  v128.store64_lane(out + stride, rows, 1)
}
