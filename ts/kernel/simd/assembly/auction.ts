/** Kernel.auction: the specification of ts/kernel/auction.ts. Every sum of float64 is made in its order. */
import { product } from './benefit'
import { most } from './lanes'
import { best, bestColumn, leastTotal, loadFour, loadOne, placeShortPrices, rowOf, scan, second, setPrice } from './scan'

const FREE: i32 = -1
const FIRST_EPSILON: f64 = 1.0 / 16.0
const EPSILON_DIVISOR: i32 = 6
const FLOOR: f64 = 1.0 / 1048576.0

/** As many bids as it takes. */
const UNLIMITED: i64 = i64.MAX_VALUE

/** Answers the benefit; the bound goes to `answer` and the identity's benefit behind it, as f64. `scratch`: 3 n int32 and n uint16. */
export function auction(
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
  const row = (<usize>n) << 2
  const price = scratch
  const candidate = price + row
  const rowOfColumn = candidate + row
  placeShortPrices(rowOfColumn + row)
  const unit = <f64>(1 << shift)
  const spread = meanSpread(shortfall, n)
  const floor = FLOOR * spread * <f64>n * unit
  firstPrices(shortfall, n, price)
  let sumOfMaxima: f64 = 0
  for (let i: usize = 0; i < row; i += 4) {
    store<i32>(columnOfRow + i, <i32>(i >> 2))
    sumOfMaxima += <f64>load<i32>(rowMaxima + i)
  }
  const identity = benefitOf(images, noise, n, dims, columnOfRow)
  let reached = identity
  let bound = sumOfMaxima - leastShortfall(shortfall, n, price) * unit
  let epsilon = max(1, <i32>Math.floor(spread * FIRST_EPSILON))
  while (bound - reached > max(tolerance * (reached - identity), floor)) {
    bidAll(shortfall, n, epsilon, price, candidate, rowOfColumn, UNLIMITED)
    bound = min(bound, sumOfMaxima - leastShortfall(shortfall, n, price) * unit)
    const sum = benefitOf(images, noise, n, dims, candidate)
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

function meanSpread(shortfall: usize, n: i32): f64 {
  const whole = n & ~3
  let sum: f64 = 0
  for (let i = 0; i < n; i++) {
    const row = rowOf(shortfall, i, n)
    let spreads = i32x4.splat(0)
    for (let j = 0; j < whole; j += 4) spreads = i32x4.max_s(spreads, loadFour(row, j))
    let spread = most(spreads)
    for (let j = whole; j < n; j++) spread = max(spread, loadOne(row, j))
    sum += <f64>spread
  }
  return sum / <f64>n
}

function firstPrices(shortfall: usize, n: i32, price: usize): void {
  const whole = n & ~3
  for (let j = 0; j < n; j++) store<i32>(price + ((<usize>j) << 2), -i32.MAX_VALUE)
  for (let i = 0; i < n; i++) {
    const row = rowOf(shortfall, i, n)
    for (let j = 0; j < whole; j += 4) {
      const at = price + ((<usize>j) << 2)
      v128.store(at, i32x4.max_s(v128.load(at), i32x4.neg(loadFour(row, j))))
    }
    for (let j = whole; j < n; j++) {
      const at = price + ((<usize>j) << 2)
      store<i32>(at, max(load<i32>(at), -loadOne(row, j)))
    }
  }
  moveToZero(price, n)
}

function moveToZero(price: usize, n: i32): void {
  let lowest = load<i32>(price)
  for (let j = 1; j < n; j++) lowest = min(lowest, load<i32>(price + ((<usize>j) << 2)))
  for (let j = 0; j < n; j++) setPrice(price, j, load<i32>(price + ((<usize>j) << 2)) - lowest)
}

/** After `placeShortPrices`, with every price set by `setPrice`. Answers how many of the bids are left. */
export function bidAll(
  shortfall: usize,
  n: i32,
  epsilon: i32,
  price: usize,
  columnOfRow: usize,
  rowOfColumn: usize,
  bidsLeft: i64,
): i64 {
  memory.fill(rowOfColumn, 0xff, (<usize>n) << 2)
  for (let first = 0; first < n; first++) {
    let bidder = first
    while (bidder !== FREE) {
      if (bidsLeft === 0) return 0
      bidsLeft--
      const row = rowOf(shortfall, bidder, n)
      scan(row, n, price)
      const at = (<usize>bestColumn) << 2
      setPrice(price, bestColumn, load<i32>(price + at) + (second - best + epsilon))
      const displaced = load<i32>(rowOfColumn + at)
      store<i32>(rowOfColumn + at, bidder)
      store<i32>(columnOfRow + ((<usize>bidder) << 2), bestColumn)
      bidder = displaced
    }
  }
  moveToZero(price, n)
  return bidsLeft
}

function benefitOf(images: usize, noise: usize, n: i32, dims: i32, columnOfRow: usize): f64 {
  let sum: f64 = 0
  for (let i = 0; i < n; i++) {
    const column = load<i32>(columnOfRow + ((<usize>i) << 2))
    sum += <f64>product(images + <usize>i * dims, noise + <usize>column * dims, dims)
  }
  return sum
}

function leastShortfall(shortfall: usize, n: i32, price: usize): f64 {
  let sum: f64 = 0
  for (let i = 0; i < n; i++) {
    const row = rowOf(shortfall, i, n)
    sum += <f64>leastTotal(row, n, price) - <f64>load<i32>(price + ((<usize>i) << 2))
  }
  return sum
}
