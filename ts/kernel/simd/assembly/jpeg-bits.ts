/** The bits of a JPEG's scan and its Huffman tables, for Kernel.jpegScan. See ts/kernel/jpeg-bits.ts. */

/** What one look at the coming bits tells: 2^LOOKUP_BITS entries of uint32, see `buildTable`. */
const LOOKUP_BITS: i32 = 10
const LOOKUP_BYTES: usize = 4 << LOOKUP_BITS
const MAX_CODE_BITS: i32 = 16

/** Bits 0 to 4 of an entry: how many bits it takes. Bit 7: it is no number, but a symbol in bits 8 to 15; of no bits: no such code, or a longer one. */
export const IS_SYMBOL: u32 = 0x80
/** A lookup, and for each length of longer codes the first code after it and what to add to a code for the place of its symbol, int32; then the symbols. */
export const TABLE_BYTES: usize = LOOKUP_BYTES + 16 * 8 + 256

/** The next four bytes of the scan that are not in `window`. */
export let next: usize = 0
/** Coming bits, the first one uppermost, zeros behind them. */
export let window: u64 = 0
export let numBits: i32 = 0

export function setBits(at: usize, bits: u64, count: i32): void {
  next = at
  window = bits
  numBits = count
}

/** At least 33 bits, which is more than a code and its number have. May read 4 bytes behind the scan, and 4 more with every 32 bits that are not there. */
@inline
export function fill(): void {
  if (numBits > 32) return
  window |= <u64>bswap(load<u32>(next)) << (32 - numBits)
  next += 4
  numBits += 32
}

/** Whether no more was read than up to `end`, but for what is read ahead. */
@inline
export function isWithin(end: usize): bool {
  return next <= end + 8
}

/** Whether all was read up to `end` and nothing behind it, but for the bits that fill the last byte. */
export function wasRead(end: usize): bool {
  const numLeft = (<i32>end - <i32>next) * 8 + numBits
  return numLeft >= 0 && numLeft < 8
}

@inline
export function skip(count: i32): void {
  window <<= count
  numBits -= count
}

/** 1 to 16 of those that are there. */
@inline
export function take(count: i32): i32 {
  const value = <i32>(window >> (64 - count))
  skip(count)
  return value
}

@inline
export function entryOf(table: usize, bits: u64): u32 {
  return load<u32>(table + (<usize>(bits >> (64 - LOOKUP_BITS)) << 2))
}

/** Of `size` bits, 1 to 15: those with a leading zero are negative. */
@inline
export function signed(value: i32, size: i32): i32 {
  return value < 1 << (size - 1) ? value + 1 - (1 << size) : value
}

/** The symbol of an entry that is one, its bits skipped; -1: there is no such code. */
@inline
export function symbolOf(table: usize, entry: u32): i32 {
  const length = <i32>(entry & 31)
  if (length === 0) return longSymbol(table)
  skip(length)
  return (entry >> 8) & 0xff
}

export function longSymbol(table: usize): i32 {
  for (let length = LOOKUP_BITS + 1; length <= MAX_CODE_BITS; length++) {
    const code = <i32>(window >> (64 - length))
    const row = table + LOOKUP_BYTES + (<usize>(length - 1) << 3)
    if (code < load<i32>(row)) {
      skip(length)
      return load<u8>(table + LOOKUP_BYTES + 16 * 8 + code + load<i32>(row, 4))
    }
  }
  return -1
}

/**
 * @param counts of codes of 1 to 16 bits, then the symbols.
 * @param hasNumbers an entry holds the number that follows a symbol where there is room for it: in bits 16 to 31, and in 8 to 14 how many coefficients
 * on it is.
 */
export function buildTable(counts: usize, hasNumbers: bool, table: usize): void {
  const symbols = counts + 16
  for (let at: usize = 0; at < LOOKUP_BYTES; at += 4) store<u32>(table + at, IS_SYMBOL)
  let code = 0
  let place = 0
  for (let length = 1; length <= MAX_CODE_BITS; length++) {
    const count = <i32>load<u8>(counts + length - 1)
    if (length <= LOOKUP_BITS) {
      for (let end = code + count; code < end; code++, place++) {
        fillEntries(table, code, length, <i32>load<u8>(symbols + place), hasNumbers)
      }
    } else {
      const row = table + LOOKUP_BYTES + (<usize>(length - 1) << 3)
      store<i32>(row, code + count)
      store<i32>(row, place - code, 4)
      code += count
      place += count
    }
    code <<= 1
  }
  memory.copy(table + LOOKUP_BYTES + 16 * 8, symbols, place)
}

function fillEntries(table: usize, code: i32, length: i32, symbol: i32, hasNumbers: bool): void {
  const size = symbol & 15
  const free = LOOKUP_BITS - length
  let at = table + (<usize>code << (free + 2))
  if (!hasNumbers || size === 0 || size > free) {
    const entry = IS_SYMBOL | (symbol << 8) | length
    for (let rest = 0; rest < 1 << free; rest++, at += 4) store<u32>(at, entry)
    return
  }
  const step = (symbol >> 4) + 1
  for (let value = 0; value < 1 << size; value++) {
    const entry = (signed(value, size) << 16) | (step << 8) | (length + size)
    for (let rest = 0; rest < 1 << (free - size); rest++, at += 4) store<u32>(at, entry)
  }
}
