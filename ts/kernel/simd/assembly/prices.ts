/** Start prices of the exact solver: the specification of ts/kernel/prices.ts. `isInt`: costs are int32, else float32. */
import { bidAll } from './auction'
import { placeShortPrices, setPrice } from './scan'

const MEAN_SPREAD: f64 = 4096
const MAX_SPREAD: i16 = 10000
const FIRST_EPSILON: f64 = 1.0 / 16.0
const EPSILON_DIVISOR: i32 = 6
const MAX_BIDS_PER_ROW: i64 = 128

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

/** `price`: n float64. `scratch`: n float64, 3 n int32, and n + 1 rows of n uint16. Answers false when a cost is not finite. */
export function startPrices(cost: usize, isInt: bool, n: i32, price: usize, scratch: usize): bool {
  const row = <usize>n << 2
  const least = scratch
  const paid = least + 2 * row
  const columnOfRow = paid + row
  const rowOfColumn = columnOfRow + row
  const shortPaid = rowOfColumn + row
  const shortfall = shortPaid + (<usize>n << 1)
  const meanSpread = measureRows(cost, isInt, n, least)
  if (isNaN(meanSpread)) return false
  memory.fill(price, 0, <usize>n << 3)
  if (n === 1 || meanSpread === 0) return true
  let scale: f64 = 1
  while (meanSpread * scale >= 2 * MEAN_SPREAD) scale /= 2
  if (!isInt) while (meanSpread * scale < MEAN_SPREAD) scale *= 2
  pack(cost, isInt, n, scale, least, shortfall)
  placeShortPrices(shortPaid)
  for (let j = 0; j < n; j++) setPrice(paid, j, 0)
  let bidsLeft = MAX_BIDS_PER_ROW * n
  for (let epsilon = <i32>Math.floor(meanSpread * scale * FIRST_EPSILON); bidsLeft > 0; epsilon /= EPSILON_DIVISOR) {
    bidsLeft = bidAll(shortfall, n, max(1, epsilon), paid, columnOfRow, rowOfColumn, bidsLeft)
    if (epsilon <= 1) break
  }
  for (let j = 0; j < n; j++) store<f64>(price + (<usize>j << 3), -(<f64>load<i32>(paid + (<usize>j << 2))) / scale)
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

/** Costs to uint16, from 0 for a row's least up to MAX_SPREAD. */
function pack(cost: usize, isInt: bool, n: i32, scale: f64, leasts: usize, shortfall: usize): void {
  const whole = n & ~7
  const scales = f64x2.splat(scale)
  const highest = i16x8.splat(MAX_SPREAD)
  for (let i = 0; i < n; i++) {
    const row = cost + ((<usize>i * n) << 2)
    const to = shortfall + ((<usize>i * n) << 1)
    const least = load<f64>(leasts + (<usize>i << 3))
    const low = f64x2.splat(least)
    for (let j = 0; j < whole; j += 8) {
      const from = row + (<usize>j << 2)
      const a = i32x4.trunc_sat_f64x2_s_zero(f64x2.mul(f64x2.sub(twoCosts(from, isInt), low), scales))
      const b = i32x4.trunc_sat_f64x2_s_zero(f64x2.mul(f64x2.sub(twoCosts(from + 8, isInt), low), scales))
      const c = i32x4.trunc_sat_f64x2_s_zero(f64x2.mul(f64x2.sub(twoCosts(from + 16, isInt), low), scales))
      const d = i32x4.trunc_sat_f64x2_s_zero(f64x2.mul(f64x2.sub(twoCosts(from + 24, isInt), low), scales))
      const eight = i16x8.narrow_i32x4_s(v128.shuffle<i64>(a, b, 0, 2), v128.shuffle<i64>(c, d, 0, 2))
      v128.store(to + (<usize>j << 1), i16x8.min_s(eight, highest))
    }
    for (let j = whole; j < n; j++) {
      const value = Math.trunc((oneCost(row + (<usize>j << 2), isInt) - least) * scale)
      store<u16>(to + (<usize>j << 1), <u16>min(<f64>MAX_SPREAD, value))
    }
  }
}
