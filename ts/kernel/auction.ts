/**
 * Linear sum assignment by auction: rows bid for columns until each has one. Bertsekas, "The auction algorithm: a distributed relaxation method
 * for the assignment problem", Annals of OR 14 (1988); Gauss-Seidel order, epsilon scaling, integers.
 *
 * Prices are a dual solution, so each phase ends with a proof of how far from the best it can be; epsilon shrinks only until that proof is good enough.
 */
import type { AuctionResult } from './kernel.ts'

const FREE = -1
/** Larger row spreads are shifted right until they fit, so that benefit - price stays in int32: see `bidAll`. */
const MAX_SPREAD = 2 ** 28
const FIRST_EPSILON = 1 / 16
const EPSILON_DIVISOR = 6
/** A gap smaller than this share of the rows' spreads is not worth a phase: nearly identical images end here. */
const FLOOR = 2 ** -20

/**
 * See `Kernel.auction`. Memory O(n^2). Prices start at the column maxima, which already prove identical images optimal; epsilon starts at
 * 1/16 of the mean row spread, is divided by 6 after each phase, and is never below 1: at 0 ties would bid without end. Finer than n units of benefit it cannot see.
 */
export function auction(benefit: Int32Array, n: number, tolerance: number, columnOfRow: Int32Array): AuctionResult {
  const { relative, rowMaxima, shift, meanSpread } = relativeToRowMaxima(benefit, n)
  const floor = FLOOR * meanSpread * n * 2 ** shift
  const price = columnMaxima(relative, n)
  const rowOfColumn = new Int32Array(n)
  const candidate = new Int32Array(n)
  for (let row = 0; row < n; row++) columnOfRow[row] = row
  const identityBenefit = sumOfBenefits(benefit, n, columnOfRow)
  let reached = identityBenefit
  let bound = upperBound(relative, n, rowMaxima, shift, price)
  let epsilon = Math.max(1, Math.floor(meanSpread * FIRST_EPSILON))
  while (bound - reached > Math.max(tolerance * (reached - identityBenefit), floor)) {
    bidAll(relative, n, epsilon, price, candidate, rowOfColumn)
    bound = Math.min(bound, upperBound(relative, n, rowMaxima, shift, price))
    // A finer phase ends closer to the optimum as a rule, not always.
    const sum = sumOfBenefits(benefit, n, candidate)
    if (sum > reached) {
      reached = sum
      columnOfRow.set(candidate)
    }
    if (epsilon === 1) break
    epsilon = Math.max(1, Math.floor(epsilon / EPSILON_DIVISOR))
  }
  return { benefit: reached, bound }
}

/** relative[i][j] = (benefit[i][j] >> shift) - (the row's largest >> shift): from 0 down to -MAX_SPREAD. meanSpread is in the same units. */
function relativeToRowMaxima(benefit: Int32Array, n: number) {
  const rowMaxima = new Int32Array(n)
  let sumOfSpreads = 0
  let largestSpread = 0
  for (let row = 0; row < n; row++) {
    let least = benefit[row * n]
    let most = least
    for (let at = row * n; at < (row + 1) * n; at++) {
      least = Math.min(least, benefit[at])
      most = Math.max(most, benefit[at])
    }
    rowMaxima[row] = most
    sumOfSpreads += most - least
    largestSpread = Math.max(largestSpread, most - least)
  }
  let shift = 0
  while (largestSpread >= MAX_SPREAD * 2 ** shift) shift++
  const relative = new Int32Array(n * n)
  for (let row = 0; row < n; row++) {
    const most = rowMaxima[row] >> shift
    for (let at = row * n; at < (row + 1) * n; at++) relative[at] = (benefit[at] >> shift) - most
  }
  return { relative, rowMaxima, shift, meanSpread: sumOfSpreads / n / 2 ** shift }
}

/** The least prices at which no column is worth more than nothing to any row. */
function columnMaxima(relative: Int32Array, n: number): Int32Array {
  const maxima = relative.slice(0, n)
  for (let row = 1; row < n; row++) {
    for (let column = 0; column < n; column++) maxima[column] = Math.max(maxima[column], relative[row * n + column])
  }
  return maxima
}

/**
 * One phase: all columns are free, all prices stay; each row in turn bids for its best column, the row that it displaces bids next, until nobody is displaced.
 * A bid raises the price by what the best column is better than the second best, plus epsilon; ties go to the lowest column. At the end the least price is moved to 0.
 *
 * Nothing leaves int32: let C < MAX_SPREAD bound the rows' spreads (and epsilon). A price after a bid is at most any other price + C + epsilon, and some column
 * keeps its first price until the phase ends. So prices begin a phase within 2 C of each other, stay under 4 C, and value >= -5 C > -2^31.
 */
function bidAll(
  relative: Int32Array,
  n: number,
  epsilon: number,
  price: Int32Array,
  columnOfRow: Int32Array,
  rowOfColumn: Int32Array,
): void {
  rowOfColumn.fill(FREE)
  for (let first = 0; first < n; first++) {
    let bidder = first
    while (bidder !== FREE) {
      const offset = bidder * n
      let best = -(2 ** 31)
      let second = best
      let bestColumn = 0
      for (let column = 0; column < n; column++) {
        const value = (relative[offset + column] - price[column]) | 0
        if (value <= second) continue
        if (value > best) {
          second = best
          best = value
          bestColumn = column
        } else second = value
      }
      price[bestColumn] += best - second + epsilon
      const displaced = rowOfColumn[bestColumn]
      rowOfColumn[bestColumn] = bidder
      columnOfRow[bidder] = bestColumn
      bidder = displaced
    }
  }
  let least = price[0]
  for (let column = 1; column < n; column++) least = Math.min(least, price[column])
  for (let column = 0; column < n; column++) price[column] -= least
}

function sumOfBenefits(benefit: Int32Array, n: number, columnOfRow: Int32Array): number {
  let sum = 0
  for (let row = 0; row < n; row++) sum += benefit[row * n + columnOfRow[row]]
  return sum
}

/**
 * Weak duality: for any prices, no assignment exceeds the sum over rows of max(benefit - price) plus the sum of prices. What the shift cut off each
 * benefit is under 2^shift. Exact in float64.
 */
function upperBound(relative: Int32Array, n: number, rowMaxima: Int32Array, shift: number, price: Int32Array): number {
  let sum = 0
  for (let row = 0; row < n; row++) {
    let best = -(2 ** 31)
    for (let column = 0; column < n; column++) best = Math.max(best, (relative[row * n + column] - price[column]) | 0)
    sum += best + price[row] + (rowMaxima[row] >> shift)
  }
  return sum * 2 ** shift + n * (2 ** shift - 1)
}
