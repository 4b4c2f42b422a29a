/**
 * Linear sum assignment by auction: rows bid for columns until each has one. Bertsekas, "The auction algorithm: a distributed relaxation method
 * for the assignment problem", Annals of OR 14 (1988); Gauss-Seidel order, epsilon scaling, integers.
 *
 * A row sees its pairs as shortfalls: how much less than its best pair each is worth, in units of 2^shift, and never more than that truly is. So prices, a dual solution,
 * prove at the end of each phase how far from the best it can be, however coarse the units; epsilon shrinks only until that proof is good enough.
 */
import { productOf } from './benefit.ts'
import type { AuctionResult, Shortfalls } from './kernel.ts'

const FREE = -1
const MOST = 2 ** 31 - 1
const FIRST_EPSILON = 1 / 16
const EPSILON_DIVISOR = 6
/** A gap smaller than this share of the rows' spreads is not worth a phase: nearly identical images end here. */
const FLOOR = 2 ** -20

/**
 * See `Kernel.auction`. Prices start where they already prove identical images optimal; epsilon starts at 1/16 of the mean row spread, is divided by 6 after each phase, and is
 * never below 1: at 0 ties would bid without end. Finer than n units it cannot see.
 */
export function auction(
  { shortfall, rowMaxima, shift }: Shortfalls,
  images: Int8Array,
  noise: Uint8Array,
  n: number,
  dims: number,
  tolerance: number,
  columnOfRow: Int32Array,
): AuctionResult {
  const benefitOf = (columns: Int32Array): number => {
    let sum = 0
    for (let row = 0; row < n; row++) sum += productOf(images, noise, row, columns[row], dims)
    return sum
  }
  const unit = 2 ** shift
  const spread = meanSpread(shortfall, n)
  const floor = FLOOR * spread * n * unit
  const price = firstPrices(shortfall, n)
  const rowOfColumn = new Int32Array(n)
  const candidate = new Int32Array(n)
  for (let row = 0; row < n; row++) columnOfRow[row] = row
  let sumOfMaxima = 0
  for (let row = 0; row < n; row++) sumOfMaxima += rowMaxima[row]
  const identity = benefitOf(columnOfRow)
  let reached = identity
  let bound = sumOfMaxima - leastShortfall(shortfall, n, price) * unit
  let epsilon = Math.max(1, Math.floor(spread * FIRST_EPSILON))
  while (bound - reached > Math.max(tolerance * (reached - identity), floor)) {
    bidAll(shortfall, n, epsilon, price, candidate, rowOfColumn)
    bound = Math.min(bound, sumOfMaxima - leastShortfall(shortfall, n, price) * unit)
    // A finer phase ends closer to the optimum as a rule, not always.
    const sum = benefitOf(candidate)
    if (sum > reached) {
      reached = sum
      columnOfRow.set(candidate)
    }
    if (epsilon === 1) break
    epsilon = Math.max(1, Math.floor(epsilon / EPSILON_DIVISOR))
  }
  return { benefit: reached, bound, identity }
}

/** The mean over rows of the largest shortfall. */
function meanSpread(shortfall: Uint16Array, n: number): number {
  let sum = 0
  for (let row = 0; row < n; row++) {
    let most = 0
    for (let at = row * n; at < (row + 1) * n; at++) most = Math.max(most, shortfall[at])
    sum += most
  }
  return sum / n
}

/** The least prices at which no column is worth more to any row than to the others; all moved alike. */
function firstPrices(shortfall: Uint16Array, n: number): Int32Array {
  const prices = new Int32Array(n).fill(-MOST)
  for (let row = 0; row < n; row++) {
    for (let column = 0; column < n; column++) prices[column] = Math.max(prices[column], -shortfall[row * n + column])
  }
  moveToZero(prices)
  return prices
}

/** Prices mean the same whatever is added to all of them: here, so that the least is 0. */
function moveToZero(price: Int32Array): void {
  const least = price.reduce((low, value) => Math.min(low, value))
  for (let column = 0; column < price.length; column++) price[column] -= least
}

/**
 * One phase: all columns are free, all prices stay; each row in turn bids for its best column, the row that it displaces bids next, until nobody is displaced or no bid is left;
 * answers how many are left. A bid raises the price by what the best column is better than the second best, plus epsilon; ties go to the lowest column.
 *
 * Nothing leaves int32: a shortfall is at most C = 65,535, and epsilon less. A price after a bid is at most any other price + C + epsilon, and some column
 * keeps its first price until the phase ends. So prices begin a phase within 2 C of each other, stay under 4 C, and shortfall + price <= 5 C.
 */
export function bidAll(
  shortfall: Uint16Array,
  n: number,
  epsilon: number,
  price: Int32Array,
  columnOfRow: Int32Array,
  rowOfColumn: Int32Array,
  bidsLeft = Infinity,
): number {
  rowOfColumn.fill(FREE)
  for (let first = 0; first < n; first++) {
    let bidder = first
    while (bidder !== FREE) {
      if (bidsLeft === 0) return 0
      bidsLeft--
      const offset = bidder * n
      let best = MOST
      let second = MOST
      let bestColumn = 0
      for (let column = 0; column < n; column++) {
        const total = shortfall[offset + column] + price[column]
        if (total >= second) continue
        if (total < best) {
          second = best
          best = total
          bestColumn = column
        } else second = total
      }
      price[bestColumn] += second - best + epsilon
      const displaced = rowOfColumn[bestColumn]
      rowOfColumn[bestColumn] = bidder
      columnOfRow[bidder] = bestColumn
      bidder = displaced
    }
  }
  moveToZero(price)
  return bidsLeft
}

/**
 * Weak duality: for any prices, no assignment has less shortfall in all than the sum over rows of min(shortfall + price) minus the sum of prices. In units of 2^shift, of shortfalls
 * that are rounded down: a bound on the true ones as well. Exact in float64.
 */
function leastShortfall(shortfall: Uint16Array, n: number, price: Int32Array): number {
  let sum = 0
  for (let row = 0; row < n; row++) {
    let least = MOST
    for (let column = 0; column < n; column++) least = Math.min(least, shortfall[row * n + column] + price[column])
    sum += least - price[row]
  }
  return sum
}
