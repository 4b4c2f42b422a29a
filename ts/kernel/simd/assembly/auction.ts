/** Kernel.auction, Kernel.auctionShortfalls: the specification of ts/kernel/auction.ts. Every sum of float64 is made in its order. */
import { product } from './benefit'
import { least, most } from './lanes'
import { best, bestColumn, leastTotal, loadFour, loadOne, placeShortPrices, rowOf, scan, second, setPrice } from './scan'

const FREE: i32 = -1
const MAX_SPREAD: f64 = 268435456
const FIRST_EPSILON: f64 = 1.0 / 16.0
const EPSILON_DIVISOR: i32 = 6
const FLOOR: f64 = 1.0 / 1048576.0

/** What the pairs are truly worth: an int32 matrix at `left`, or (with dims) int8 rows at `left` times 7-bit rows at `right`. */
let left: usize = 0
let right: usize = 0
let numDims: i32 = 0

/** Answers the benefit; the bound goes to `answer` and the identity's benefit behind it, as f64. `scratch`: n * n + 4 n int32 and n uint16. */
export function auction(benefit: usize, n: i32, tolerance: f64, columnOfRow: usize, scratch: usize, answer: usize): f64 {
  const shortfall = scratch
  const rowMaxima = shortfall + ((<usize>n * n) << 2)
  const shift = toShortfalls(benefit, n, shortfall, rowMaxima)
  left = benefit
  numDims = 0
  return solve<i32>(shortfall, n, rowMaxima, shift, tolerance, columnOfRow, rowMaxima + ((<usize>n) << 2), answer)
}

/** As `auction`. `scratch`: 3 n int32 and n uint16. */
export function auctionShortfalls(
  shortfall: usize,
  rowMaxima: usize,
  shift: i32,
  images: usize,
  noise: usize,
  n: i32,
  dims: i32,
  tolerance: f64,
  columnOfRow: usize,
  scratch: usize,
  answer: usize,
): f64 {
  left = images
  right = noise
  numDims = dims
  return solve<u16>(shortfall, n, rowMaxima, shift, tolerance, columnOfRow, scratch, answer)
}

/** T: the type of a shortfall, i32 or u16. */
function solve<T>(
  shortfall: usize,
  n: i32,
  rowMaxima: usize,
  shift: i32,
  tolerance: f64,
  columnOfRow: usize,
  scratch: usize,
  answer: usize,
): f64 {
  const row = (<usize>n) << 2
  const price = scratch
  const candidate = price + row
  const rowOfColumn = candidate + row
  placeShortPrices(rowOfColumn + row)
  const unit = <f64>(1 << shift)
  const spread = meanSpread<T>(shortfall, n)
  const floor = FLOOR * spread * <f64>n * unit
  firstPrices<T>(shortfall, n, price)
  let sumOfMaxima: f64 = 0
  for (let i: usize = 0; i < row; i += 4) {
    store<i32>(columnOfRow + i, <i32>(i >> 2))
    sumOfMaxima += <f64>load<i32>(rowMaxima + i)
  }
  const identity = benefitOf(n, columnOfRow)
  let reached = identity
  let bound = sumOfMaxima - leastShortfall<T>(shortfall, n, price) * unit
  let epsilon = max(1, <i32>Math.floor(spread * FIRST_EPSILON))
  while (bound - reached > max(tolerance * (reached - identity), floor)) {
    bidAll<T>(shortfall, n, epsilon, price, candidate, rowOfColumn)
    bound = min(bound, sumOfMaxima - leastShortfall<T>(shortfall, n, price) * unit)
    const sum = benefitOf(n, candidate)
    if (sum > reached) {
      reached = sum
      memory.copy(columnOfRow, candidate, row)
    }
    if (epsilon === 1) break
    epsilon = max(1, epsilon / EPSILON_DIVISOR)
  }
  store<f64>(answer, bound)
  store<f64>(answer + 8, identity)
  return reached
}

/** The int32 matrix as shortfalls; answers the shift. */
function toShortfalls(benefit: usize, n: i32, shortfall: usize, rowMaxima: usize): i32 {
  let largestSpread: f64 = 0
  const whole = n & ~3
  for (let i = 0; i < n; i++) {
    const row = rowOf<i32>(benefit, i, n)
    let lows = i32x4.splat(i32.MAX_VALUE)
    let highs = i32x4.splat(i32.MIN_VALUE)
    for (let j = 0; j < whole; j += 4) {
      const value = loadFour<i32>(row, j)
      lows = i32x4.min_s(lows, value)
      highs = i32x4.max_s(highs, value)
    }
    let low = least(lows)
    let high = most(highs)
    for (let j = whole; j < n; j++) {
      const value = loadOne<i32>(row, j)
      low = min(low, value)
      high = max(high, value)
    }
    store<i32>(rowMaxima + ((<usize>i) << 2), high)
    largestSpread = max(largestSpread, <f64>high - <f64>low)
  }
  let shift: i32 = 0
  while (largestSpread >= MAX_SPREAD * <f64>(1 << shift)) shift++
  for (let i = 0; i < n; i++) {
    const from = rowOf<i32>(benefit, i, n)
    const to = rowOf<i32>(shortfall, i, n)
    const high = load<i32>(rowMaxima + ((<usize>i) << 2))
    const highs = i32x4.splat(high)
    for (let j = 0; j < whole; j += 4) {
      v128.store(to + ((<usize>j) << 2), i32x4.shr_u(i32x4.sub(highs, loadFour<i32>(from, j)), shift))
    }
    for (let j = whole; j < n; j++) store<i32>(to + ((<usize>j) << 2), (high - loadOne<i32>(from, j)) >>> shift)
  }
  return shift
}

function meanSpread<T>(shortfall: usize, n: i32): f64 {
  const whole = n & ~3
  let sum: f64 = 0
  for (let i = 0; i < n; i++) {
    const row = rowOf<T>(shortfall, i, n)
    let spreads = i32x4.splat(0)
    for (let j = 0; j < whole; j += 4) spreads = i32x4.max_s(spreads, loadFour<T>(row, j))
    let spread = most(spreads)
    for (let j = whole; j < n; j++) spread = max(spread, loadOne<T>(row, j))
    sum += <f64>spread
  }
  return sum / <f64>n
}

function firstPrices<T>(shortfall: usize, n: i32, price: usize): void {
  const whole = n & ~3
  for (let j = 0; j < n; j++) store<i32>(price + ((<usize>j) << 2), -i32.MAX_VALUE)
  for (let i = 0; i < n; i++) {
    const row = rowOf<T>(shortfall, i, n)
    for (let j = 0; j < whole; j += 4) {
      const at = price + ((<usize>j) << 2)
      v128.store(at, i32x4.max_s(v128.load(at), i32x4.neg(loadFour<T>(row, j))))
    }
    for (let j = whole; j < n; j++) {
      const at = price + ((<usize>j) << 2)
      store<i32>(at, max(load<i32>(at), -loadOne<T>(row, j)))
    }
  }
  moveToZero(price, n)
}

function moveToZero(price: usize, n: i32): void {
  let lowest = load<i32>(price)
  for (let j = 1; j < n; j++) lowest = min(lowest, load<i32>(price + ((<usize>j) << 2)))
  for (let j = 0; j < n; j++) setPrice(price, j, load<i32>(price + ((<usize>j) << 2)) - lowest)
}

function bidAll<T>(shortfall: usize, n: i32, epsilon: i32, price: usize, columnOfRow: usize, rowOfColumn: usize): void {
  memory.fill(rowOfColumn, 0xff, (<usize>n) << 2)
  for (let first = 0; first < n; first++) {
    let bidder = first
    while (bidder !== FREE) {
      const row = rowOf<T>(shortfall, bidder, n)
      scan<T>(row, n, price)
      const at = (<usize>bestColumn) << 2
      setPrice(price, bestColumn, load<i32>(price + at) + (second - best + epsilon))
      const displaced = load<i32>(rowOfColumn + at)
      store<i32>(rowOfColumn + at, bidder)
      store<i32>(columnOfRow + ((<usize>bidder) << 2), bestColumn)
      bidder = displaced
    }
  }
  moveToZero(price, n)
}

function benefitOf(n: i32, columnOfRow: usize): f64 {
  let sum: f64 = 0
  for (let i = 0; i < n; i++) {
    const column = load<i32>(columnOfRow + ((<usize>i) << 2))
    sum += <f64>(
      (numDims === 0
        ? loadOne<i32>(rowOf<i32>(left, i, n), column)
        : product(left + <usize>i * numDims, right + <usize>column * numDims, numDims))
    )
  }
  return sum
}

function leastShortfall<T>(shortfall: usize, n: i32, price: usize): f64 {
  let sum: f64 = 0
  for (let i = 0; i < n; i++) {
    const row = rowOf<T>(shortfall, i, n)
    sum += <f64>leastTotal<T>(row, n, price) - <f64>load<i32>(price + ((<usize>i) << 2))
  }
  return sum
}
