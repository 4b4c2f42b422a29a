/** Start prices of the exact solver: the specification of ts/kernel/prices.ts, row scans eight columns at once. `isInt`: costs are int32, else float32. */

const FREE: i32 = -1
const MEAN_SPREAD: f64 = 4096
const MAX_SPREAD: i16 = 10000
const FIRST_EPSILON: f64 = 1.0 / 16.0
const EPSILON_DIVISOR: i32 = 6
const MAX_BIDS_PER_ROW: i32 = 128

@inline
export function oneCost(at: usize, isInt: bool): f64 {
  return isInt ? <f64>load<i32>(at) : <f64>load<f32>(at)
}

/** Two costs from `at`, as float64. */
@inline
export function twoCosts(at: usize, isInt: bool): v128 {
  const two = v128.load64_zero(at)
  return isInt ? f64x2.convert_low_i32x4_s(two) : f64x2.promote_low_f32x4(two)
}

/** `price`: n float64. `scratch`: n + 3 rows of int16, whole vectors of each, and n float64. Answers false when a cost is not finite. */
export function startPrices(cost: usize, isInt: bool, n: i32, price: usize, scratch: usize): bool {
  const rowBytes = <usize>((n + 7) & ~7) << 1
  const worth = scratch
  const paid = worth + rowBytes * n
  const rowOfColumn = paid + rowBytes
  const least = rowOfColumn + 2 * rowBytes
  const meanSpread = measureRows(cost, isInt, n, least)
  if (isNaN(meanSpread)) return false
  memory.fill(price, 0, <usize>n << 3)
  if (n === 1 || meanSpread === 0) return true
  let scale: f64 = 1
  while (meanSpread * scale >= 2 * MEAN_SPREAD) scale /= 2
  if (!isInt) while (meanSpread * scale < MEAN_SPREAD) scale *= 2
  pack(cost, isInt, n, scale, least, worth, rowBytes)
  memory.fill(paid, 0, rowBytes)
  let bidsLeft = MAX_BIDS_PER_ROW * n
  for (let epsilon = <i32>Math.floor(meanSpread * scale * FIRST_EPSILON); bidsLeft > 0; epsilon /= EPSILON_DIVISOR) {
    bidsLeft = bidAll(worth, rowBytes, n, max(1, epsilon), paid, rowOfColumn, bidsLeft)
    if (epsilon <= 1) break
  }
  for (let j = 0; j < n; j++) store<f64>(price + (<usize>j << 3), -(<f64>load<i16>(paid + (<usize>j << 1))) / scale)
  return true
}

function measureRows(cost: usize, isInt: bool, n: i32, leasts: usize): f64 {
  const whole = n & ~1
  let sum: f64 = 0
  let checks = f64x2.splat(0)
  let check: f64 = 0
  for (let i = 0; i < n; i++) {
    const row = cost + ((<usize>i * n) << 2)
    let low = f64x2.splat(Infinity)
    let high = f64x2.splat(-Infinity)
    for (let j = 0; j < whole; j += 2) {
      const value = twoCosts(row + (<usize>j << 2), isInt)
      checks = f64x2.add(checks, f64x2.sub(value, value))
      low = f64x2.pmin(low, value)
      high = f64x2.pmax(high, value)
    }
    let least = min(f64x2.extract_lane(low, 0), f64x2.extract_lane(low, 1))
    let most = max(f64x2.extract_lane(high, 0), f64x2.extract_lane(high, 1))
    if (whole < n) {
      const value = oneCost(row + (<usize>whole << 2), isInt)
      check += value - value
      least = min(least, value)
      most = max(most, value)
    }
    store<f64>(leasts + (<usize>i << 3), least)
    sum += most - least
  }
  return sum / <f64>n + check + f64x2.extract_lane(checks, 0) + f64x2.extract_lane(checks, 1)
}

/** Costs to int16, from 0 for a row's least down to -MAX_SPREAD. What fills a row's last vector is never the best nor, from two columns on, the second best. */
function pack(cost: usize, isInt: bool, n: i32, scale: f64, leasts: usize, worth: usize, rowBytes: usize): void {
  const whole = n & ~7
  const scales = f64x2.splat(scale)
  const lowest = i16x8.splat(-MAX_SPREAD)
  for (let i = 0; i < n; i++) {
    const row = cost + ((<usize>i * n) << 2)
    const to = worth + rowBytes * i
    const least = load<f64>(leasts + (<usize>i << 3))
    const low = f64x2.splat(least)
    for (let j = 0; j < whole; j += 8) {
      const from = row + (<usize>j << 2)
      const a = i32x4.trunc_sat_f64x2_s_zero(f64x2.mul(f64x2.sub(low, twoCosts(from, isInt)), scales))
      const b = i32x4.trunc_sat_f64x2_s_zero(f64x2.mul(f64x2.sub(low, twoCosts(from + 8, isInt)), scales))
      const c = i32x4.trunc_sat_f64x2_s_zero(f64x2.mul(f64x2.sub(low, twoCosts(from + 16, isInt)), scales))
      const d = i32x4.trunc_sat_f64x2_s_zero(f64x2.mul(f64x2.sub(low, twoCosts(from + 24, isInt)), scales))
      const eight = i16x8.narrow_i32x4_s(v128.shuffle<i64>(a, b, 0, 2), v128.shuffle<i64>(c, d, 0, 2))
      v128.store(to + (<usize>j << 1), i16x8.max_s(eight, lowest))
    }
    for (let j = whole; j < n; j++) {
      const value = Math.trunc((least - oneCost(row + (<usize>j << 2), isInt)) * scale)
      store<i16>(to + (<usize>j << 1), <i16>max(-(<f64>MAX_SPREAD), value))
    }
    for (let at = <usize>n << 1; at < rowBytes; at += 2) store<i16>(to + at, i16.MIN_VALUE)
  }
}

function bidAll(worth: usize, rowBytes: usize, n: i32, epsilon: i32, price: usize, rowOfColumn: usize, bidsLeft: i32): i32 {
  memory.fill(rowOfColumn, 0xff, <usize>n << 2)
  const lowest = i16x8.splat(i16.MIN_VALUE)
  const eight = i16x8.splat(8)
  for (let first = 0; first < n; first++) {
    let bidder = first
    while (bidder !== FREE) {
      if (bidsLeft === 0) return 0
      bidsLeft--
      const row = worth + rowBytes * bidder
      let bests = lowest
      let seconds = lowest
      let bestColumns = i16x8.splat(0)
      let columns = i16x8(0, 1, 2, 3, 4, 5, 6, 7)
      for (let at: usize = 0; at < rowBytes; at += 16) {
        const value = i16x8.sub(v128.load(row + at), v128.load(price + at))
        bestColumns = v128.bitselect(columns, bestColumns, i16x8.gt_s(value, bests))
        seconds = i16x8.max_s(seconds, i16x8.min_s(value, bests))
        bests = i16x8.max_s(bests, value)
        columns = i16x8.add(columns, eight)
      }
      // Every lane gets the best and the second best of all, by exchange with the lane 4, 2 and 1 away; then the lowest column (uint16) where the best was.
      const bestOfLane = bests
      let others = v128.shuffle<i16>(bests, bests, 4, 5, 6, 7, 0, 1, 2, 3)
      let otherSeconds = v128.shuffle<i16>(seconds, seconds, 4, 5, 6, 7, 0, 1, 2, 3)
      seconds = i16x8.max_s(i16x8.max_s(seconds, otherSeconds), i16x8.min_s(bests, others))
      bests = i16x8.max_s(bests, others)
      others = v128.shuffle<i16>(bests, bests, 2, 3, 0, 1, 6, 7, 4, 5)
      otherSeconds = v128.shuffle<i16>(seconds, seconds, 2, 3, 0, 1, 6, 7, 4, 5)
      seconds = i16x8.max_s(i16x8.max_s(seconds, otherSeconds), i16x8.min_s(bests, others))
      bests = i16x8.max_s(bests, others)
      others = v128.shuffle<i16>(bests, bests, 1, 0, 3, 2, 5, 4, 7, 6)
      otherSeconds = v128.shuffle<i16>(seconds, seconds, 1, 0, 3, 2, 5, 4, 7, 6)
      seconds = i16x8.max_s(i16x8.max_s(seconds, otherSeconds), i16x8.min_s(bests, others))
      bests = i16x8.max_s(bests, others)
      bestColumns = v128.or(bestColumns, i16x8.ne(bestOfLane, bests))
      bestColumns = i16x8.min_u(bestColumns, v128.shuffle<i16>(bestColumns, bestColumns, 4, 5, 6, 7, 0, 1, 2, 3))
      bestColumns = i16x8.min_u(bestColumns, v128.shuffle<i16>(bestColumns, bestColumns, 2, 3, 0, 1, 6, 7, 4, 5))
      bestColumns = i16x8.min_u(bestColumns, v128.shuffle<i16>(bestColumns, bestColumns, 1, 0, 3, 2, 5, 4, 7, 6))
      const column = <usize>i16x8.extract_lane_u(bestColumns, 0)
      const at = price + (column << 1)
      store<i16>(at, <i16>(<i32>load<i16>(at) + i16x8.extract_lane_s(bests, 0) - i16x8.extract_lane_s(seconds, 0) + epsilon))
      const displaced = load<i32>(rowOfColumn + (column << 2))
      store<i32>(rowOfColumn + (column << 2), bidder)
      bidder = displaced
    }
  }
  let least = load<i16>(price)
  for (let j = 1; j < n; j++) least = min(least, load<i16>(price + (<usize>j << 1)))
  for (let j = 0; j < n; j++) {
    const at = price + (<usize>j << 1)
    store<i16>(at, load<i16>(at) - least)
  }
  return bidsLeft
}
