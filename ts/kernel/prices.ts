/**
 * Column prices from which the exact solver starts: a coarse auction (Bertsekas 1988) on costs of 14 bits, so that a SIMD build scans eight columns at once.
 * Any prices are a valid start, so nothing here needs to be exact, and a budget of bids bounds the work. Good prices leave little to do.
 */

const FREE = -1
/** The mean spread of a row (its largest cost less its least) has this many units, or up to twice as many. */
const MEAN_SPREAD = 4096
/** Costs further above their row's least count as this far: no such column is bid for as a rule. */
const MAX_SPREAD = 10_000
const FIRST_EPSILON = 1 / 16
const EPSILON_DIVISOR = 6
/** Real costs take 10 to 25 bids for each row. */
const MAX_BIDS_PER_ROW = 128

/**
 * Fills `price` (n) so that the sum of min_j (cost[i][j] - price[j]) over the rows, plus the sum of prices, is close below the least sum of costs. Memory n^2 int16.
 * Answers false, and no prices, when a cost is not finite.
 *
 * Prices are multiples of a power of two, of 1 or more for integers: float64 duals that start from them stay exact.
 */
export function startPrices(cost: Float32Array | Int32Array, n: number, price: Float64Array): boolean {
  const least = new Float64Array(n)
  const meanSpread = measureRows(cost, n, least)
  if (Number.isNaN(meanSpread)) return false
  price.fill(0)
  if (n === 1 || meanSpread === 0) return true
  let scale = 1
  while (meanSpread * scale >= 2 * MEAN_SPREAD) scale /= 2
  if (cost instanceof Float32Array) while (meanSpread * scale < MEAN_SPREAD) scale *= 2
  const worth = new Int16Array(n * n)
  for (let at = 0; at < n * n; at++) worth[at] = Math.max(-MAX_SPREAD, Math.trunc((least[Math.floor(at / n)] - cost[at]) * scale))
  const paid = new Int16Array(n)
  const rowOfColumn = new Int32Array(n)
  let bidsLeft = MAX_BIDS_PER_ROW * n
  for (let epsilon = Math.floor(meanSpread * scale * FIRST_EPSILON); bidsLeft > 0; epsilon = Math.floor(epsilon / EPSILON_DIVISOR)) {
    bidsLeft = bidAll(worth, n, Math.max(1, epsilon), paid, rowOfColumn, bidsLeft)
    if (epsilon <= 1) break
  }
  for (let column = 0; column < n; column++) price[column] = -paid[column] / scale
  return true
}

/** Each row's least cost; answers the mean spread, NaN when a cost is not finite. */
function measureRows(cost: Float32Array | Int32Array, n: number, least: Float64Array): number {
  let sum = 0
  let check = 0
  for (let row = 0; row < n; row++) {
    let low = Infinity
    let high = -Infinity
    for (let at = row * n; at < (row + 1) * n; at++) {
      check += cost[at] - cost[at] // NaN as soon as one cost is not finite
      low = Math.min(low, cost[at])
      high = Math.max(high, cost[at])
    }
    least[row] = low
    sum += high - low
  }
  return sum / n + check
}

/**
 * One phase as in ts/kernel/auction.ts, until nobody is displaced or no bid is left; answers how many are left.
 *
 * Nothing leaves int16: let C = MAX_SPREAD, and epsilon be 512 at most. A bid makes a price at most C + epsilon more than any other, so prices begin a phase
 * within C + epsilon of 0. Some column keeps its first price until the last bid: the others stay under 2 (C + epsilon), and value > -3 C - 2 epsilon. The last is under 3 (C + epsilon).
 */
function bidAll(worth: Int16Array, n: number, epsilon: number, price: Int16Array, rowOfColumn: Int32Array, bidsLeft: number): number {
  rowOfColumn.fill(FREE)
  for (let first = 0; first < n; first++) {
    let bidder = first
    while (bidder !== FREE) {
      if (bidsLeft === 0) return 0
      bidsLeft--
      const offset = bidder * n
      let best = -Infinity
      let second = -Infinity
      let bestColumn = 0
      for (let column = 0; column < n; column++) {
        const value = worth[offset + column] - price[column]
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
      bidder = displaced
    }
  }
  let least = price[0]
  for (let column = 1; column < n; column++) least = Math.min(least, price[column])
  for (let column = 0; column < n; column++) price[column] -= least
  return bidsLeft
}
