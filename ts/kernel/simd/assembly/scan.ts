/**
 * One row of an auction: its least sums of shortfall (uint16) and price (int32). Eight columns at once in uint16 where that is enough, else four in int32.
 */
import { least } from './lanes'

const SATURATED: i32 = 0xffff

/** The prices as uint16, at most 65,535. Sums of both that saturate below that are the true ones; a scan that needs a larger one is done again in int32. */
let shortPrice: usize = 0

/** What a scan of a row found. */
export let best: i32 = 0
export let second: i32 = 0
export let bestColumn: i32 = 0

export function placeShortPrices(at: usize): void {
  shortPrice = at
}

/** Four shortfalls as int32. */
@inline
export function loadFour(row: usize, j: i32): v128 {
  return v128.load16x4_u(row + ((<usize>j) << 1))
}

@inline
export function loadOne(row: usize, j: i32): i32 {
  return <i32>load<u16>(row + ((<usize>j) << 1))
}

@inline
export function rowOf(shortfall: usize, i: i32, n: i32): usize {
  return shortfall + ((<usize>i * n) << 1)
}

@inline
export function setPrice(price: usize, j: i32, value: i32): void {
  store<i32>(price + ((<usize>j) << 2), value)
  store<u16>(shortPrice + ((<usize>j) << 1), <u16>min(value, SATURATED))
}

/** The least sum goes to `best`, its column (of equals the lowest) to `bestColumn`, the second least to `second`. */
@inline
export function scan(row: usize, n: i32, price: usize): void {
  if (!scanShort(row, n)) scanWide(row, n, price)
}

@inline
export function leastTotal(row: usize, n: i32, price: usize): i32 {
  const lowest = leastTotalShort(row, n)
  return lowest === SATURATED ? leastWide(row, n, price) : lowest
}

@inline
function scanWide(row: usize, n: i32, price: usize): void {
  const whole = n & ~3
  const four = i32x4.splat(4)
  let bests = i32x4.splat(i32.MAX_VALUE)
  let seconds = bests
  let bestColumns = i32x4.splat(0)
  let columns = i32x4(0, 1, 2, 3)
  for (let j = 0; j < whole; j += 4) {
    const total = i32x4.add(loadFour(row, j), v128.load(price + ((<usize>j) << 2)))
    const isBetter = i32x4.lt_s(total, bests)
    seconds = i32x4.min_s(seconds, i32x4.max_s(total, bests))
    bests = i32x4.min_s(bests, total)
    bestColumns = v128.bitselect(columns, bestColumns, isBetter)
    columns = i32x4.add(columns, four)
  }
  // Of the lanes the least; of equal ones the lowest column, which alone stays out of the second best.
  best = least(bests)
  const isBest = i32x4.eq(bests, i32x4.splat(best))
  bestColumn = least(v128.bitselect(bestColumns, i32x4.splat(i32.MAX_VALUE), isBest))
  const isWinner = v128.and(isBest, i32x4.eq(bestColumns, i32x4.splat(bestColumn)))
  second = least(v128.bitselect(seconds, bests, isWinner))
  for (let j = whole; j < n; j++) {
    const total = loadOne(row, j) + load<i32>(price + ((<usize>j) << 2))
    second = min(second, max(total, best))
    if (total < best) {
      best = total
      bestColumn = j
    }
  }
}

/** As `scanWide`, in uint16; false where it cannot tell. */
@inline
function scanShort(row: usize, n: i32): bool {
  const whole = n & ~7
  const eight = i16x8.splat(8)
  let bests = i16x8.splat(-1)
  let seconds = bests
  let bestColumns = i16x8.splat(0)
  let columns = i16x8(0, 1, 2, 3, 4, 5, 6, 7)
  for (let at: usize = 0, end = (<usize>whole) << 1; at < end; at += 16) {
    const total = i16x8.add_sat_u(v128.load(row + at), v128.load(shortPrice + at))
    const better = i16x8.min_u(bests, total)
    seconds = i16x8.min_u(seconds, i16x8.max_u(total, bests))
    bestColumns = v128.bitselect(bestColumns, columns, i16x8.eq(better, bests))
    bests = better
    columns = i16x8.add(columns, eight)
  }
  best = leastShort(bests)
  const isBest = i16x8.eq(bests, i16x8.splat(<i16>best))
  bestColumn = leastShort(v128.or(bestColumns, v128.not(isBest)))
  const isWinner = v128.and(isBest, i16x8.eq(bestColumns, i16x8.splat(<i16>bestColumn)))
  second = leastShort(v128.bitselect(seconds, bests, isWinner))
  for (let j = whole; j < n; j++) {
    const total = loadOne(row, j) + loadOne(shortPrice, j)
    second = min(second, max(total, best))
    if (total < best) {
      best = total
      bestColumn = j
    }
  }
  return second < SATURATED
}

/** Of eight uint16. */
@inline
function leastShort(value: v128): i32 {
  let low = i16x8.min_u(value, v128.shuffle<i64>(value, value, 1, 0))
  low = i16x8.min_u(low, v128.shuffle<i32>(low, low, 1, 0, 3, 2))
  low = i16x8.min_u(low, v128.shuffle<i16>(low, low, 1, 0, 3, 2, 5, 4, 7, 6))
  return i16x8.extract_lane_u(low, 0)
}

@inline
function leastWide(row: usize, n: i32, price: usize): i32 {
  const whole = n & ~3
  let leasts = i32x4.splat(i32.MAX_VALUE)
  for (let j = 0; j < whole; j += 4) leasts = i32x4.min_s(leasts, i32x4.add(loadFour(row, j), v128.load(price + ((<usize>j) << 2))))
  let lowest = least(leasts)
  for (let j = whole; j < n; j++) lowest = min(lowest, loadOne(row, j) + load<i32>(price + ((<usize>j) << 2)))
  return lowest
}

/** As `leastWide`, in uint16; SATURATED where it cannot tell. */
@inline
function leastTotalShort(row: usize, n: i32): i32 {
  const whole = n & ~7
  let leasts = i16x8.splat(-1)
  for (let at: usize = 0, end = (<usize>whole) << 1; at < end; at += 16) {
    leasts = i16x8.min_u(leasts, i16x8.add_sat_u(v128.load(row + at), v128.load(shortPrice + at)))
  }
  let lowest = leastShort(leasts)
  for (let j = whole; j < n; j++) lowest = min(lowest, loadOne(row, j) + loadOne(shortPrice, j))
  return lowest
}
