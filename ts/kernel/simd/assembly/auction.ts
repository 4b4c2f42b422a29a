/** Kernel.auction: the specification of ts/kernel/auction.ts, row scans four columns at once. Every sum of float64 is made in its order. */

const FREE: i32 = -1
const MAX_SPREAD: f64 = 268435456
const FIRST_EPSILON: f64 = 1.0 / 16.0
const EPSILON_DIVISOR: i32 = 6
const FLOOR: f64 = 1.0 / 1048576.0

let shift: i32 = 0
let meanSpread: f64 = 0

/** Where the second result goes: the bound, as f64 at `bound`. Answers the benefit. `scratch`: n * n + 4 n int32. */
export function auction(benefit: usize, n: i32, tolerance: f64, columnOfRow: usize, scratch: usize, bound: usize): f64 {
  const relative = scratch
  const row = (<usize>n) << 2
  const rowMaxima = relative + row * n
  const price = rowMaxima + row
  const candidate = price + row
  const rowOfColumn = candidate + row
  relativeToRowMaxima(benefit, n, relative, rowMaxima)
  const unit = <f64>(1 << shift)
  const floor = FLOOR * meanSpread * <f64>n * unit
  columnMaxima(relative, n, price)
  for (let i = 0; i < n; i++) store<i32>(columnOfRow + ((<usize>i) << 2), i)
  const identity = sumOfBenefits(benefit, n, columnOfRow)
  let reached = identity
  let best = upperBound(relative, n, rowMaxima, price)
  let epsilon = max(1, <i32>Math.floor(meanSpread * FIRST_EPSILON))
  while (best - reached > max(tolerance * (reached - identity), floor)) {
    bidAll(relative, n, epsilon, price, candidate, rowOfColumn)
    best = min(best, upperBound(relative, n, rowMaxima, price))
    const sum = sumOfBenefits(benefit, n, candidate)
    if (sum > reached) {
      reached = sum
      memory.copy(columnOfRow, candidate, row)
    }
    if (epsilon === 1) break
    epsilon = max(1, epsilon / EPSILON_DIVISOR)
  }
  store<f64>(bound, best)
  return reached
}

function relativeToRowMaxima(benefit: usize, n: i32, relative: usize, rowMaxima: usize): void {
  let sumOfSpreads: f64 = 0
  let largestSpread: f64 = 0
  const whole = n & ~3
  for (let i = 0; i < n; i++) {
    const row = benefit + ((<usize>i * n) << 2)
    let least = load<i32>(row)
    let most = least
    if (whole > 0) {
      let low = v128.load(row)
      let high = low
      for (let j = 4; j < whole; j += 4) {
        const value = v128.load(row + ((<usize>j) << 2))
        low = i32x4.min_s(low, value)
        high = i32x4.max_s(high, value)
      }
      least = min(min(i32x4.extract_lane(low, 0), i32x4.extract_lane(low, 1)), min(i32x4.extract_lane(low, 2), i32x4.extract_lane(low, 3)))
      most = max(
        max(i32x4.extract_lane(high, 0), i32x4.extract_lane(high, 1)),
        max(i32x4.extract_lane(high, 2), i32x4.extract_lane(high, 3)),
      )
    }
    for (let j = whole; j < n; j++) {
      const value = load<i32>(row + ((<usize>j) << 2))
      least = min(least, value)
      most = max(most, value)
    }
    store<i32>(rowMaxima + ((<usize>i) << 2), most)
    const spread = <f64>most - <f64>least
    sumOfSpreads += spread
    largestSpread = max(largestSpread, spread)
  }
  shift = 0
  while (largestSpread >= MAX_SPREAD * <f64>(1 << shift)) shift++
  for (let i = 0; i < n; i++) {
    const from = benefit + ((<usize>i * n) << 2)
    const to = relative + ((<usize>i * n) << 2)
    const most = load<i32>(rowMaxima + ((<usize>i) << 2)) >> shift
    const mosts = i32x4.splat(most)
    for (let j = 0; j < whole; j += 4) {
      v128.store(to + ((<usize>j) << 2), i32x4.sub(i32x4.shr_s(v128.load(from + ((<usize>j) << 2)), shift), mosts))
    }
    for (let j = whole; j < n; j++) store<i32>(to + ((<usize>j) << 2), (load<i32>(from + ((<usize>j) << 2)) >> shift) - most)
  }
  meanSpread = sumOfSpreads / <f64>n / <f64>(1 << shift)
}

function columnMaxima(relative: usize, n: i32, price: usize): void {
  const whole = n & ~3
  memory.copy(price, relative, (<usize>n) << 2)
  for (let i = 1; i < n; i++) {
    const row = relative + ((<usize>i * n) << 2)
    for (let j = 0; j < whole; j += 4) {
      const at = price + ((<usize>j) << 2)
      v128.store(at, i32x4.max_s(v128.load(at), v128.load(row + ((<usize>j) << 2))))
    }
    for (let j = whole; j < n; j++) {
      const at = price + ((<usize>j) << 2)
      store<i32>(at, max(load<i32>(at), load<i32>(row + ((<usize>j) << 2))))
    }
  }
}

function bidAll(relative: usize, n: i32, epsilon: i32, price: usize, columnOfRow: usize, rowOfColumn: usize): void {
  memory.fill(rowOfColumn, 0xff, (<usize>n) << 2)
  const whole = n & ~3
  const four = i32x4.splat(4)
  for (let first = 0; first < n; first++) {
    let bidder = first
    while (bidder !== FREE) {
      const row = relative + ((<usize>bidder * n) << 2)
      let bests = i32x4.splat(i32.MIN_VALUE)
      let seconds = bests
      let bestColumns = i32x4.splat(0)
      let columns = i32x4(0, 1, 2, 3)
      for (let at: usize = 0, end = (<usize>whole) << 2; at < end; at += 16) {
        const value = i32x4.sub(v128.load(row + at), v128.load(price + at))
        const isBetter = i32x4.gt_s(value, bests)
        seconds = i32x4.max_s(seconds, i32x4.min_s(value, bests))
        bests = i32x4.max_s(bests, value)
        bestColumns = v128.bitselect(columns, bestColumns, isBetter)
        columns = i32x4.add(columns, four)
      }
      let best = i32x4.extract_lane(bests, 0)
      let second = i32x4.extract_lane(seconds, 0)
      let column = i32x4.extract_lane(bestColumns, 0)
      for (let lane = 1; lane < 4; lane++) {
        let laneBest: i32
        let laneSecond: i32
        let laneColumn: i32
        if (lane === 1) {
          laneBest = i32x4.extract_lane(bests, 1)
          laneSecond = i32x4.extract_lane(seconds, 1)
          laneColumn = i32x4.extract_lane(bestColumns, 1)
        } else if (lane === 2) {
          laneBest = i32x4.extract_lane(bests, 2)
          laneSecond = i32x4.extract_lane(seconds, 2)
          laneColumn = i32x4.extract_lane(bestColumns, 2)
        } else {
          laneBest = i32x4.extract_lane(bests, 3)
          laneSecond = i32x4.extract_lane(seconds, 3)
          laneColumn = i32x4.extract_lane(bestColumns, 3)
        }
        second = max(max(second, laneSecond), min(best, laneBest))
        if (laneBest > best || (laneBest === best && laneColumn < column)) {
          best = laneBest
          column = laneColumn
        }
      }
      for (let j = whole; j < n; j++) {
        const value = load<i32>(row + ((<usize>j) << 2)) - load<i32>(price + ((<usize>j) << 2))
        second = max(second, min(value, best))
        if (value > best) {
          best = value
          column = j
        }
      }
      const at = (<usize>column) << 2
      store<i32>(price + at, load<i32>(price + at) + (best - second + epsilon))
      const displaced = load<i32>(rowOfColumn + at)
      store<i32>(rowOfColumn + at, bidder)
      store<i32>(columnOfRow + ((<usize>bidder) << 2), column)
      bidder = displaced
    }
  }
  let least = load<i32>(price)
  for (let j = 1; j < n; j++) least = min(least, load<i32>(price + ((<usize>j) << 2)))
  for (let j = 0; j < n; j++) {
    const at = price + ((<usize>j) << 2)
    store<i32>(at, load<i32>(at) - least)
  }
}

function sumOfBenefits(benefit: usize, n: i32, columnOfRow: usize): f64 {
  let sum: f64 = 0
  for (let i = 0; i < n; i++) sum += <f64>load<i32>(benefit + ((<usize>(i * n + load<i32>(columnOfRow + ((<usize>i) << 2)))) << 2))
  return sum
}

function upperBound(relative: usize, n: i32, rowMaxima: usize, price: usize): f64 {
  const whole = n & ~3
  let sum: f64 = 0
  for (let i = 0; i < n; i++) {
    const row = relative + ((<usize>i * n) << 2)
    let bests = i32x4.splat(i32.MIN_VALUE)
    for (let j = 0; j < whole; j += 4) {
      const at = (<usize>j) << 2
      bests = i32x4.max_s(bests, i32x4.sub(v128.load(row + at), v128.load(price + at)))
    }
    let best = max(
      max(i32x4.extract_lane(bests, 0), i32x4.extract_lane(bests, 1)),
      max(i32x4.extract_lane(bests, 2), i32x4.extract_lane(bests, 3)),
    )
    for (let j = whole; j < n; j++) best = max(best, load<i32>(row + ((<usize>j) << 2)) - load<i32>(price + ((<usize>j) << 2)))
    const at = (<usize>i) << 2
    sum += <f64>best + <f64>load<i32>(price + at) + <f64>(load<i32>(rowMaxima + at) >> shift)
  }
  return sum * <f64>(1 << shift) + <f64>n * (<f64>(1 << shift) - 1)
}
