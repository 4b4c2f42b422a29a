/**
 * Column prices from which the exact solver starts: the phases of auction.ts on costs of 14 bits, so that a SIMD build scans eight columns at once.
 * Any prices are a valid start, so nothing here needs to be exact, and a budget of bids bounds the work. Good prices leave little to do.
 */
import { bidAll } from './auction.ts'

/** The mean spread of a row (its largest cost less its least) has this many units, or up to twice as many. */
const MEAN_SPREAD = 4096
/** Costs further above their row's least count as this far: no such column is bid for as a rule. */
const MAX_SPREAD = 10_000
const FIRST_EPSILON = 1 / 16
const EPSILON_DIVISOR = 6
/** Real costs take 10 to 25 bids for each row. */
const MAX_BIDS_PER_ROW = 128

/**
 * Fills `price` (n) so that the sum of min_j (cost[i][j] - price[j]) over the rows, plus the sum of prices, is close below the least sum of costs. Memory n^2 uint16.
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
  const shortfall = new Uint16Array(n * n)
  for (let at = 0; at < n * n; at++) shortfall[at] = Math.min(MAX_SPREAD, Math.trunc((cost[at] - least[Math.floor(at / n)]) * scale))
  const paid = new Int32Array(n)
  const [columnOfRow, rowOfColumn] = [new Int32Array(n), new Int32Array(n)]
  let bidsLeft = MAX_BIDS_PER_ROW * n
  for (let epsilon = Math.floor(meanSpread * scale * FIRST_EPSILON); bidsLeft > 0; epsilon = Math.floor(epsilon / EPSILON_DIVISOR)) {
    bidsLeft = bidAll(shortfall, n, Math.max(1, epsilon), paid, columnOfRow, rowOfColumn, bidsLeft)
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
