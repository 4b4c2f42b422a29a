/** One block of a JPEG's scan, for Kernel.jpegScan. See ts/kernel/jpeg-scan.ts, whose functions these are. A block is 128 bytes. */
import { entryOf, fill, IS_SYMBOL, longSymbol, nextSymbol, numBits, next, setBits, signed, skip, symbolOf, take, window } from './jpeg-bits'

/** @param previous where the last DC coefficient of the component is, int32. */
export function sequential(block: usize, dc: usize, ac: usize, previous: usize, zigzag: usize): bool {
  if (!readDc(dc, previous)) return false
  store<i16>(block, <i16>load<i32>(previous))
  // Here, as locals of the loop that takes the time, they are registers.
  let bits = window
  let count = numBits
  let at = next
  let k = 0
  while (k < 63) {
    if (count <= 32) {
      bits |= <u64>bswap(load<u32>(at)) << (32 - count)
      at += 4
      count += 32
    }
    const entry = entryOf(ac, bits)
    let length = <i32>(entry & 31)
    if ((entry & IS_SYMBOL) === 0) {
      k += (entry >> 8) & 31
      if (k > 63) return false
      store<i16>(block + (<usize>load<u8>(zigzag + k) << 1), <i16>(<i32>entry >> 16))
      bits <<= length
      count -= length
      continue
    }
    let symbol = <i32>(entry >> 8) & 0xff
    if (length === 0) {
      setBits(at, bits, count)
      symbol = longSymbol(ac)
      if (symbol < 0) return false
      length = count - numBits
    }
    const size = symbol & 15
    bits <<= length
    count -= length
    if (size === 0) {
      if (symbol !== 0xf0) break
      k += 16
      if (k > 62) return false
      continue
    }
    k += (symbol >> 4) + 1
    if (k > 63) return false
    store<i16>(block + (<usize>load<u8>(zigzag + k) << 1), <i16>signed(<i32>(bits >> (64 - size)), size))
    bits <<= size
    count -= size
  }
  setBits(at, bits, count)
  return true
}

export function firstDc(block: usize, dc: usize, previous: usize, low: i32): bool {
  if (!readDc(dc, previous)) return false
  store<i16>(block, <i16>(load<i32>(previous) << low))
  return true
}

export function refinedDc(block: usize, low: i32): void {
  fill()
  store<i16>(block, <i16>(load<i16>(block) | (take(1) << low)))
}

/** @param numEnded blocks that have ended already, this one included. Answers that for the next block; -1: damaged. */
export function firstAc(block: usize, ac: usize, first: i32, last: i32, low: i32, numEnded: i32, zigzag: usize): i32 {
  if (numEnded > 0) return numEnded - 1
  for (let k = first; k <= last; k++) {
    const symbol = nextSymbol(ac)
    const run = symbol >> 4
    const size = symbol & 15
    if (symbol < 0) return -1
    if (size === 0) {
      if (run < 15) return run === 0 ? 0 : (1 << run) + take(run) - 1
      k += 15
      if (k >= last) return -1
      continue
    }
    k += run
    if (k > last) return -1
    store<i16>(block + (<usize>load<u8>(zigzag + k) << 1), <i16>(signed(take(size), size) << low))
  }
  return 0
}

/** As `firstAc`. */
export function refinedAc(block: usize, ac: usize, first: i32, last: i32, low: i32, numEnded: i32, zigzag: usize): i32 {
  let k = first
  while (numEnded === 0 && k <= last) {
    const symbol = nextSymbol(ac)
    const run = symbol >> 4
    const size = symbol & 15
    if (symbol < 0 || size > 1) return -1
    if (size === 0 && run < 15) {
      numEnded = run === 0 ? 1 : (1 << run) + take(run)
    } else {
      const value = size === 0 ? 0 : signed(take(1), 1)
      k = refine(block, k, last, low, run, zigzag)
      if (k > last) return -1
      if (value !== 0) store<i16>(block + (<usize>load<u8>(zigzag + k) << 1), <i16>(value << low))
      k++
    }
  }
  if (numEnded === 0) return 0
  refine(block, k, last, low, 64, zigzag)
  return numEnded - 1
}

/** Goes past `numZeros` coefficients that are still zero, giving one bit more to those that are not. Answers where it stands. */
function refine(block: usize, from: i32, last: i32, low: i32, numZeros: i32, zigzag: usize): i32 {
  let left = numZeros
  for (let k = from; k <= last; k++) {
    const at = block + (<usize>load<u8>(zigzag + k) << 1)
    const value = <i32>load<i16>(at)
    if (value === 0) {
      if (left === 0) return k
      left--
    } else {
      fill()
      if (take(1) === 1 && (value & (1 << low)) === 0) store<i16>(at, <i16>(value + (value > 0 ? 1 << low : -(1 << low))))
    }
  }
  return last + 1
}

/** Adds the difference to the last one. */
function readDc(dc: usize, previous: usize): bool {
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
  return value > -(1 << 15) && value < 1 << 15
}
