/**
 * Exact linear sum assignment: Jonker & Volgenant, "A shortest augmenting path algorithm for dense and sparse linear assignment problems", Computing 38 (1987),
 * with float64 duals. Integer costs are solved exactly; float32 costs up to the rounding of float64 sums. Ties go to the lowest index.
 *
 * Instead of by column reduction it starts from the prices of a coarse auction (prices.ts), which leave few rows to the shortest paths.
 */
import { startPrices } from './prices.ts'

const FREE = -1

/** See `Kernel.linearSum`. O(n^3). Throws a RangeError when a cost is not finite. */
export function linearSum(cost: Float32Array | Int32Array, n: number, columnOfRow: Int32Array): void {
  const columnPrice = new Float64Array(n)
  if (!startPrices(cost, n, columnPrice)) {
    throw new RangeError(`expected finite costs, got ${cost.find((value) => !Number.isFinite(value))}`)
  }
  linearSumFrom(columnPrice, cost, n, columnOfRow)
}

/** The same from any finite prices, which end as the optimal ones: row prices min_j (cost[i][j] - columnPrice[j]) make any start feasible for the dual, and it stays so. */
export function linearSumFrom(columnPrice: Float64Array, cost: Float32Array | Int32Array, n: number, columnOfRow: Int32Array): void {
  const rowOfColumn = new Int32Array(n).fill(FREE)
  const freeRows = reduceRows(cost, n, columnOfRow, rowOfColumn, columnPrice)
  augment(cost, n, freeRows, columnOfRow, rowOfColumn, columnPrice)
}

/** Augmenting row reduction: a free row takes its best column and lowers that column's price to its second best; who had the column goes on. Answers the rows that stay free. */
function reduceRows(
  cost: Float32Array | Int32Array,
  n: number,
  columnOfRow: Int32Array,
  rowOfColumn: Int32Array,
  columnPrice: Float64Array,
): Int32Array {
  const freeRows = new Int32Array(n)
  let numFree = 0
  for (let first = 0; first < n; first++) {
    let row = first
    // Prices of floats may sink by rounding errors for very long: past n evictions the rest is left to the augmenting paths.
    for (let evictions = 0; row !== FREE; evictions++) {
      let best = Infinity
      let second = Infinity
      let bestColumn = 0
      let secondColumn = 0
      for (let column = 0; column < n; column++) {
        const reduced = cost[row * n + column] - columnPrice[column]
        if (reduced >= second) continue
        if (reduced < best) {
          second = best
          secondColumn = bestColumn
          best = reduced
          bestColumn = column
        } else {
          second = reduced
          secondColumn = column
        }
      }
      const price = columnPrice[bestColumn] - (second - best)
      const isLower = n > 1 && price < columnPrice[bestColumn]
      if (isLower) columnPrice[bestColumn] = price
      else if (rowOfColumn[bestColumn] !== FREE) bestColumn = secondColumn
      const evicted = rowOfColumn[bestColumn]
      columnOfRow[row] = bestColumn
      rowOfColumn[bestColumn] = row
      if (evicted !== FREE && (!isLower || evictions >= n)) {
        freeRows[numFree++] = evicted
        break
      }
      row = evicted
    }
  }
  return freeRows.subarray(0, numFree)
}

/**
 * One shortest augmenting path (Dijkstra on reduced costs) for each row that is still free: a pass over all columns settles the nearest open one
 * (of equals a free one, then the lowest), the next relaxes the others through its row, until a free column is settled.
 */
function augment(
  cost: Float32Array | Int32Array,
  n: number,
  freeRows: Int32Array,
  columnOfRow: Int32Array,
  rowOfColumn: Int32Array,
  columnPrice: Float64Array,
): void {
  const distance = new Float64Array(n)
  const previousRow = new Int32Array(n)
  const isSettled = new Uint8Array(n)
  const settled = new Int32Array(n)
  for (const freeRow of freeRows) {
    distance.fill(Infinity)
    isSettled.fill(0)
    let numSettled = 0
    let row = freeRow
    let base = 0
    let least = 0
    let end = FREE
    while (end === FREE) {
      least = Infinity
      let nearest = 0
      for (let column = 0; column < n; column++) {
        if (isSettled[column]) continue
        const length = cost[row * n + column] - columnPrice[column] - base
        if (length < distance[column]) {
          distance[column] = length
          previousRow[column] = row
        }
        const isEnd = rowOfColumn[column] === FREE && rowOfColumn[nearest] !== FREE
        if (distance[column] < least || (isEnd && distance[column] === least)) {
          least = distance[column]
          nearest = column
        }
      }
      isSettled[nearest] = 1
      settled[numSettled++] = nearest
      if (rowOfColumn[nearest] === FREE) end = nearest
      else {
        row = rowOfColumn[nearest]
        base = cost[row * n + nearest] - columnPrice[nearest] - least
      }
    }
    // The last settled column keeps its price: the path ends there.
    for (let at = 0; at < numSettled; at++) columnPrice[settled[at]] += distance[settled[at]] - least
    for (let column = end; ;) {
      const through = previousRow[column]
      const next = columnOfRow[through]
      rowOfColumn[column] = through
      columnOfRow[through] = column
      if (through === freeRow) break
      column = next
    }
  }
}
