/** Kernel.jpegScan. See ts/kernel/jpeg-scan.ts. The data is copied without its stuffed zeros and restart markers first: then bits come four bytes at a time. */
import { buildTable, isWithin, setBits, TABLE_BYTES, wasRead } from './jpeg-bits'
import { firstAc, firstDc, refinedAc, refinedDc } from './jpeg-blocks'

/** int32: MCUs across and down, restart interval, first and last coefficient, high and low bit; the components follow. */
const SCAN_BYTES: usize = 28
/** int32: where its coefficients begin, blocks across, blocks of an MCU across and down, numbers of its DC and AC table. */
const COMPONENT_BYTES: usize = 24
/** What may be read behind the data: an MCU of 10 blocks, each of 64 codes of 16 bits with numbers of 15, and what is read ahead. */
const BEHIND_BYTES: usize = 10 * 8 * (16 + 15) + 32

/** How many bytes a scan needs of so many components, tables, runs between restarts, and bytes to the file's end. */
export function jpegScanBytes(numComponents: i32, numTables: i32, numRuns: i32, numBytes: i32): usize {
  return TABLE_BYTES * numTables + (<usize>(numComponents + numRuns) << 2) + <usize>numBytes + BEHIND_BYTES
}

/**
 * Answers where the next marker is; 0: damaged.
 * @param tables addresses, int32, of tables as they are in the file.
 * @param orders zigzag, and its inverse.
 * @param scratch jpegScanBytes.
 */
export function jpegScan(
  start: usize,
  end: usize,
  coefficients: usize,
  scan: usize,
  numComponents: i32,
  tables: usize,
  numTables: i32,
  orders: usize,
  scratch: usize,
): usize {
  const mcusAcross = load<i32>(scan)
  const numMcus = mcusAcross * load<i32>(scan, 4)
  const interval = load<i32>(scan, 8) > 0 ? load<i32>(scan, 8) : numMcus
  const numRuns = (numMcus + interval - 1) / interval
  const previous = scratch + TABLE_BYTES * numTables
  const ends = previous + (<usize>numComponents << 2)
  const data = ends + (<usize>numRuns << 2)
  const marker = unstuff(start, end, numRuns, ends, data)
  if (marker === 0) return 0
  const hasNumbers = load<i32>(scan, 20) === 0
  for (let index = 0; index < numTables; index++) {
    buildTable(load<u32>(tables + (<usize>index << 2)), hasNumbers, scratch + TABLE_BYTES * index)
  }

  let mcu = 0
  let from = data
  for (let run = 0; run < numRuns; run++) {
    const to = <usize>load<u32>(ends + (<usize>run << 2))
    setBits(from, 0, 0)
    memory.fill(previous, 0, <usize>numComponents << 2)
    let numEnded = 0
    for (const stop = min(mcu + interval, numMcus); mcu < stop; mcu++) {
      // What is damaged goes on no further than behind the data.
      if (!isWithin(to)) return 0
      for (let index = 0; index < numComponents; index++) {
        const component = scan + SCAN_BYTES + COMPONENT_BYTES * index
        const width = load<i32>(component, 8)
        const height = load<i32>(component, 12)
        const blocksAcross = load<i32>(component, 4)
        const row = (mcu / mcusAcross) * height
        const column = (mcu % mcusAcross) * width
        const first = coefficients + (<usize>load<u32>(component) << 1)
        const dc = scratch + TABLE_BYTES * load<u32>(component, 16)
        const ac = scratch + TABLE_BYTES * load<u32>(component, 20)
        for (let y = 0; y < height; y++) {
          for (let x = 0; x < width; x++) {
            const block = first + (<usize>((row + y) * blocksAcross + column + x) << 7)
            numEnded = decodeBlock(scan, block, dc, ac, previous + (<usize>index << 2), orders, numEnded)
            if (numEnded < 0) return 0
          }
        }
      }
    }
    if (!wasRead(to)) return 0
    from = to
  }
  return marker
}

/** Answers how many blocks more have ended; -1: damaged. */
@inline
function decodeBlock(scan: usize, block: usize, dc: usize, ac: usize, previous: usize, orders: usize, numEnded: i32): i32 {
  const first = load<i32>(scan, 12)
  const last = load<i32>(scan, 16)
  const isFirst = load<i32>(scan, 20) === 0
  const low = load<i32>(scan, 24)
  if (first === 0) {
    if (!isFirst) refinedDc(block, low)
    else if (!firstDc(block, dc, previous, low)) return -1
    if (last === 0) return 0
    // Sequential: each block ends by itself.
    return firstAc(block, ac, 1, last, low, orders) === 0 ? 0 : -1
  }
  if (!isFirst) return refinedAc(block, ac, first, last, low, numEnded, orders)
  return numEnded > 0 ? numEnded - 1 : firstAc(block, ac, first, last, low, orders)
}

/**
 * Copies the data of a scan up to the marker at its end, and notes where each run between restarts ends in it. Writes up to 15 bytes behind it.
 * Answers where the marker is; 0: there is none, or not as many runs.
 */
function unstuff(start: usize, end: usize, numRuns: i32, ends: usize, data: usize): usize {
  let to = data
  let run = 0
  for (let from = start; from < end;) {
    if (from + 16 <= end) {
      const bytes = v128.load(from)
      v128.store(to, bytes)
      const mask = i8x16.bitmask(i8x16.eq(bytes, i8x16.splat(-1)))
      const numPlain = mask === 0 ? 16 : ctz(mask)
      from += numPlain
      to += numPlain
      if (mask === 0) continue
    } else if (load<u8>(from) !== 0xff) {
      store<u8>(to++, load<u8>(from++))
      continue
    }
    if (from + 1 === end) return 0
    const code = <i32>load<u8>(from, 1)
    if (code === 0) {
      store<u8>(to++, 0xff)
    } else {
      store<u32>(ends + (<usize>run << 2), <u32>to)
      if (run === numRuns - 1) return from
      if (code !== 0xd0 + (run & 7)) return 0
      run++
    }
    from += 2
  }
  return 0
}
