/** Kernel.linearSum: Jonker & Volgenant as in ts/kernel/linear-sum.ts, two columns at once in float64. `isInt`: costs are int32, else float32. */
import { oneCost, startPrices, twoCosts } from './prices'

const FREE: i32 = -1
const INFINITE: f64 = Infinity

let cost: usize = 0
let n: i32 = 0
let isInt: bool = false
let columnOfRow: usize = 0
let rowOfColumn: usize = 0
/** In ascending order; as many as there are free rows. */
let freeColumns: usize = 0
let price: usize = 0
let asidePrice: usize = 0
let asideDistance: usize = 0

@inline
function costAt(row: i32, column: i32): f64 {
  return oneCost(cost + ((<usize>row * n + column) << 2), isInt)
}

@inline
function getInt(array: usize, index: i32): i32 {
  return load<i32>(array + (<usize>index << 2))
}

@inline
function setInt(array: usize, index: i32, value: i32): void {
  store<i32>(array + (<usize>index << 2), value)
}

@inline
function getFloat(array: usize, index: i32): f64 {
  return load<f64>(array + (<usize>index << 3))
}

@inline
function setFloat(array: usize, index: i32, value: f64): void {
  store<f64>(array + (<usize>index << 3), value)
}

/** `scratch`: 4 n float64 and 5 n int32, whole vectors of each, and that of `startPrices`. Answers 0, or 1 when a cost is not finite. */
export function linearSum(costs: usize, ofInts: bool, size: i32, columns: usize, scratch: usize): i32 {
  cost = costs
  isInt = ofInts
  n = size
  columnOfRow = columns
  const floats = <usize>((n + 1) & ~1) << 3
  const ints = <usize>((n + 3) & ~3) << 2
  price = scratch
  const distance = price + floats
  asidePrice = distance + floats
  asideDistance = asidePrice + floats
  rowOfColumn = asideDistance + floats
  const freeRows = rowOfColumn + ints
  const previousRow = freeRows + ints
  const settled = previousRow + ints
  freeColumns = settled + ints
  if (!startPrices(cost, isInt, n, price, freeColumns + ints)) return 1
  memory.fill(rowOfColumn, 0xff, ints)
  const numFree = reduceRows(freeRows)
  for (let column = 0, at = 0; at < numFree; column++) if (getInt(rowOfColumn, column) === FREE) setInt(freeColumns, at++, column)
  for (let at = 0; at < numFree; at++) augment(getInt(freeRows, at), numFree - at, distance, previousRow, settled)
  return 0
}

function reduceRows(freeRows: usize): i32 {
  const whole = n & ~1
  const two = i64x2.splat(2)
  let numFree = 0
  for (let first = 0; first < n; first++) {
    let row = first
    for (let evictions = 0; row !== FREE; evictions++) {
      const from = cost + ((<usize>row * n) << 2)
      let bests = f64x2.splat(INFINITE)
      let seconds = bests
      let bestColumns = i64x2.splat(0)
      let columns = i64x2(0, 1)
      for (let column = 0; column < whole; column += 2) {
        const reduced = f64x2.sub(twoCosts(from + (<usize>column << 2), isInt), v128.load(price + (<usize>column << 3)))
        const isBetter = f64x2.lt(reduced, bests)
        seconds = f64x2.pmin(seconds, f64x2.pmax(bests, reduced))
        bests = f64x2.pmin(bests, reduced)
        bestColumns = v128.bitselect(columns, bestColumns, isBetter)
        columns = i64x2.add(columns, two)
      }
      let best = f64x2.extract_lane(bests, 0)
      let bestColumn = <i32>i64x2.extract_lane(bestColumns, 0)
      const other = f64x2.extract_lane(bests, 1)
      const otherColumn = <i32>i64x2.extract_lane(bestColumns, 1)
      let second = min(min(f64x2.extract_lane(seconds, 0), f64x2.extract_lane(seconds, 1)), max(best, other))
      if (other < best || (other === best && otherColumn < bestColumn)) {
        best = other
        bestColumn = otherColumn
      }
      if (whole < n) {
        const reduced = costAt(row, whole) - getFloat(price, whole)
        second = min(second, max(best, reduced))
        if (reduced < best) {
          best = reduced
          bestColumn = whole
        }
      }
      const lowered = getFloat(price, bestColumn) - (second - best)
      const isLower = n > 1 && lowered < getFloat(price, bestColumn)
      if (isLower) setFloat(price, bestColumn, lowered)
      else if (getInt(rowOfColumn, bestColumn) !== FREE) bestColumn = secondColumn(row, bestColumn, second)
      const evicted = getInt(rowOfColumn, bestColumn)
      setInt(columnOfRow, row, bestColumn)
      setInt(rowOfColumn, bestColumn, row)
      if (evicted !== FREE && (!isLower || evictions >= n)) {
        setInt(freeRows, numFree++, evicted)
        break
      }
      row = evicted
    }
  }
  return numFree
}

/** The first column but `bestColumn` whose reduced cost is `second`; 0 where there is none, as in the specification. */
function secondColumn(row: i32, bestColumn: i32, second: f64): i32 {
  for (let column = 0; column < n; column++) {
    if (column !== bestColumn && costAt(row, column) - getFloat(price, column) === second) return column
  }
  return 0
}

function augment(freeRow: i32, numFree: i32, distance: usize, previousRow: usize, settled: usize): void {
  const whole = n & ~1
  const two = i64x2.splat(2)
  for (let column = 0; column < n; column++) setFloat(distance, column, INFINITE)
  // A settled column's price is moved aside as NaN, so that no length through it compares less; its distance becomes infinite, so that it is never nearest.
  let numSettled = 0
  let row = freeRow
  let base: f64 = 0
  let least: f64 = 0
  let end = FREE
  while (end === FREE) {
    const from = cost + ((<usize>row * n) << 2)
    const bases = f64x2.splat(base)
    const rows = i64x2.splat(<i64>row)
    let leasts = f64x2.splat(INFINITE)
    let nearests = i64x2.splat(0)
    let columns = i64x2(0, 1)
    for (let column = 0; column < whole; column += 2) {
      const at = distance + (<usize>column << 3)
      const known = v128.load(at)
      const length = f64x2.sub(f64x2.sub(twoCosts(from + (<usize>column << 2), isInt), v128.load(price + (<usize>column << 3))), bases)
      const isLess = f64x2.lt(length, known)
      const shorter = v128.bitselect(length, known, isLess)
      v128.store(at, shorter)
      const to = previousRow + (<usize>column << 2)
      const before = v128.load64_zero(to)
      const mask = v128.shuffle<i32>(isLess, isLess, 0, 2, 0, 2)
      v128.store64_lane(to, v128.bitselect(v128.shuffle<i32>(rows, rows, 0, 2, 0, 2), before, mask), 0)
      const isNearer = f64x2.lt(shorter, leasts)
      leasts = v128.bitselect(shorter, leasts, isNearer)
      nearests = v128.bitselect(columns, nearests, isNearer)
      columns = i64x2.add(columns, two)
    }
    least = f64x2.extract_lane(leasts, 0)
    let nearest = <i32>i64x2.extract_lane(nearests, 0)
    const other = f64x2.extract_lane(leasts, 1)
    const otherColumn = <i32>i64x2.extract_lane(nearests, 1)
    if (other < least || (other === least && otherColumn < nearest)) {
      least = other
      nearest = otherColumn
    }
    if (whole < n) {
      const length = costAt(row, whole) - getFloat(price, whole) - base
      if (length < getFloat(distance, whole)) {
        setFloat(distance, whole, length)
        setInt(previousRow, whole, row)
      }
      if (getFloat(distance, whole) < least) {
        least = getFloat(distance, whole)
        nearest = whole
      }
    }
    for (let at = 0; at < numFree && end === FREE; at++) {
      const column = getInt(freeColumns, at)
      if (getFloat(distance, column) === least) {
        end = nearest = column
        memory.copy(freeColumns + (<usize>at << 2), freeColumns + (<usize>(at + 1) << 2), <usize>(numFree - at - 1) << 2)
      }
    }
    setInt(settled, numSettled, nearest)
    if (end === FREE) {
      row = getInt(rowOfColumn, nearest)
      base = costAt(row, nearest) - getFloat(price, nearest) - least
    }
    setFloat(asidePrice, numSettled, getFloat(price, nearest))
    setFloat(asideDistance, numSettled, least)
    setFloat(price, nearest, NaN)
    setFloat(distance, nearest, INFINITE)
    numSettled++
  }
  for (let at = 0; at < numSettled; at++) {
    const column = getInt(settled, at)
    setFloat(price, column, getFloat(asidePrice, at) + (getFloat(asideDistance, at) - least))
  }
  let column = end
  while (true) {
    const through = getInt(previousRow, column)
    const next = getInt(columnOfRow, through)
    setInt(rowOfColumn, column, through)
    setInt(columnOfRow, through, column)
    if (through === freeRow) break
    column = next
  }
}
