/** One block of a JPEG's scan, for Kernel.jpegScan. See ts/kernel/jpeg-scan.ts, whose functions these are. A block is 128 bytes. */
import { entryOf, fill, IS_SYMBOL, longSymbol, next, numBits, setBits, signed, skip, symbolOf, take, window } from './jpeg-bits'

/** @param previous where the last DC coefficient of the component is, int32. */
export function firstDc(block: usize, dc: usize, previous: usize, low: i32): bool {
  fill()
  const entry = entryOf(dc, window)
  let value = load<i32>(previous)
  if ((entry & IS_SYMBOL) === 0) {
    value += <i32>entry >> 16
    skip(<i32>(entry & 31))
  } else {
    const size = symbolOf(dc, entry)
    if (size < 0) return false
    if (size > 0) value += signed(take(size), size)
  }
  store<i32>(previous, value)
  store<i16>(block, <i16>(value << low))
  return value > -(1 << 15) && value < 1 << 15
}

export function refinedDc(block: usize, low: i32): void {
  fill()
  store<i16>(block, <i16>(load<i16>(block) | (take(1) << low)))
}

/** Answers how many blocks more have ended; -1: damaged. */
export function firstAc(block: usize, ac: usize, first: i32, last: i32, low: i32, zigzag: usize): i32 {
  // As locals they are registers in the loop that takes the time.
  let bits = window
  let count = numBits
  let at = next
  let k = first - 1
  while (k < last) {
    if (count <= 32) {
      bits |= <u64>bswap(load<u32>(at)) << (32 - count)
      at += 4
      count += 32
    }
    const entry = entryOf(ac, bits)
    let length = <i32>(entry & 31)
    if ((entry & IS_SYMBOL) === 0) {
      k += (entry >> 8) & 31
      if (k > last) return -1
      store<i16>(block + (<usize>load<u8>(zigzag + k) << 1), <i16>((<i32>entry >> 16) << low))
      bits <<= length
      count -= length
      continue
    }
    let symbol = <i32>(entry >> 8) & 0xff
    if (length === 0) {
      setBits(at, bits, count)
      symbol = longSymbol(ac)
      if (symbol < 0) return -1
      length = count - numBits
    }
    const run = symbol >> 4
    const size = symbol & 15
    bits <<= length
    count -= length
    if (size === 0) {
      if (run < 15) {
        setBits(at, bits, count)
        return run === 0 ? 0 : (1 << run) + take(run) - 1
      }
      k += 16
      if (k >= last) return -1
      continue
    }
    k += run + 1
    if (k > last) return -1
    store<i16>(block + (<usize>load<u8>(zigzag + k) << 1), <i16>(signed(<i32>(bits >> (64 - size)), size) << low))
    bits <<= size
    count -= size
  }
  setBits(at, bits, count)
  return 0
}

/** As `firstAc`. @param zigzag and its inverse. @param numEnded blocks that have ended already, this one included. */
export function refinedAc(block: usize, ac: usize, first: i32, last: i32, low: i32, numEnded: i32, zigzag: usize): i32 {
  const all: u64 = (<u64>2 << last) - 1
  const found = findNonzero(block, zigzag + 64) & all
  let k = first
  while (numEnded === 0 && k <= last) {
    fill()
    const symbol = symbolOf(ac, entryOf(ac, window))
    const run = symbol >> 4
    const size = symbol & 15
    if (symbol < 0 || size > 1) return -1
    if (size === 0 && run < 15) {
      numEnded = run === 0 ? 1 : (1 << run) + take(run)
    } else {
      const value = size === 0 ? 0 : signed(take(1), 1)
      const from: u64 = <u64>-1 << k
      let zeros = ~found & from & all
      for (let left = run; left > 0; left--) zeros &= zeros - 1
      if (zeros === 0) return -1
      const place = <i32>ctz(zeros)
      correct(block, found & from & ((<u64>1 << place) - 1), low, zigzag)
      if (value !== 0) store<i16>(block + (<usize>load<u8>(zigzag + place) << 1), <i16>(value << low))
      k = place + 1
    }
  }
  if (numEnded === 0) return 0
  correct(block, found & (<u64>-1 << k), low, zigzag)
  return numEnded - 1
}

/** A bit for each coefficient that is not zero, in zigzag order. */
function findNonzero(block: usize, inverse: usize): u64 {
  let found: u64 = 0
  for (let rows = nonzeroRows(block, 0) | nonzeroRows(block, 1) | nonzeroRows(block, 2) | nonzeroRows(block, 3); rows !== 0; rows &= rows - 1) {
    found |= <u64>1 << load<u8>(inverse + <usize>ctz(rows))
  }
  return found
}

/** Of two rows, at their place. */
@inline
function nonzeroRows(block: usize, pair: i32): u64 {
  const zero = i16x8.splat(0)
  const upper = i16x8.ne(v128.load(block + 32 * pair), zero)
  const lower = i16x8.ne(v128.load(block + 32 * pair, 16), zero)
  return <u64>(<u32>i8x16.bitmask(i8x16.narrow_i16x8_s(upper, lower)) & 0xffff) << (16 * pair)
}

/** One bit more for each of those coefficients. Without branches: half of the bits are ones, in no order. */
function correct(block: usize, which: u64, low: i32, zigzag: usize): void {
  for (let left = which; left !== 0;) {
    fill()
    const count = min(<i32>popcnt(left), 32)
    let bits = window
    skip(count)
    for (let index = 0; index < count; index++, bits <<= 1, left &= left - 1) {
      const at = block + (<usize>load<u8>(zigzag + <usize>ctz(left)) << 1)
      const value = <i32>load<i16>(at)
      const more = (<i32>(bits >> 63) & ~(value >> low)) << low
      const isNegative = value >> 31
      store<i16>(at, <i16>(value + ((more ^ isNegative) - isNegative)))
    }
  }
}
