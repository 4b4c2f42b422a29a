/** One scan of a JPEG to coefficients, sequential or progressive: ITU T.81, F.2 and G.2. */
import { createBitReader, type BitReader } from './jpeg-bits.ts'
import type { JpegScan, ScanComponent } from './kernel.ts'

/** Of the coefficients in the order of a scan: where each is in a block of rows (T.81, figure A.6). */
export const ZIGZAG = Uint8Array.from(
  [
    [0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6, 7, 14, 21, 28],
    [35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62, 63],
  ].flat(),
)

/** What is carried from block to block until a restart. */
interface Carried {
  /** The last DC coefficient of each component. */
  readonly previous: Int32Array
  /** Blocks that have ended already, this one included (T.81, G.1.2.2). */
  numEnded: number
}

/** Decodes one block, which begins at `block`. false: the scan is damaged. */
type DecodeBlock = (component: ScanComponent, block: number, index: number, carried: Carried) => boolean

/** See `Kernel.jpegScan`. */
export function jpegScan(file: Uint8Array, start: number, scan: JpegScan, coefficients: Int16Array): number {
  const { components, mcusAcross, mcusDown, restartInterval } = scan
  const bits = createBitReader(file, start)
  const decodeBlock = createDecodeBlock(scan, bits, coefficients)
  const carried: Carried = { previous: new Int32Array(components.length), numEnded: 0 }
  for (let mcu = 0; mcu < mcusAcross * mcusDown; mcu++) {
    if (restartInterval > 0 && mcu > 0 && mcu % restartInterval === 0) {
      if (!bits.restart((mcu / restartInterval - 1) % 8)) return -1
      carried.previous.fill(0)
      carried.numEnded = 0
    }
    const [row, column] = [Math.floor(mcu / mcusAcross), mcu % mcusAcross]
    for (const [index, component] of components.entries()) {
      const { mcuWidth, mcuHeight, blocksAcross, start: first } = component
      for (let y = 0; y < mcuHeight; y++) {
        for (let x = 0; x < mcuWidth; x++) {
          const block = first + ((row * mcuHeight + y) * blocksAcross + column * mcuWidth + x) * 64
          if (!decodeBlock(component, block, index, carried)) return -1
        }
      }
    }
  }
  return bits.end()
}

function createDecodeBlock(scan: JpegScan, bits: BitReader, coefficients: Int16Array): DecodeBlock {
  const { first, last, high } = scan
  const ac = createAc(scan, bits, coefficients)
  if (first > 0) return ac
  const dc = high === 0 ? firstDc(bits, coefficients, scan) : refinedDc(bits, coefficients, scan)
  if (last === 0) return dc
  // Sequential: each block ends by itself.
  return (...block) => dc(...block) && ac(...block) && block[3].numEnded === 0
}

function createAc(scan: JpegScan, bits: BitReader, coefficients: Int16Array): DecodeBlock {
  const band = { ...scan, first: Math.max(scan.first, 1) }
  return scan.high === 0 ? firstAc(bits, coefficients, band) : refinedAc(bits, coefficients, band)
}

/** Adds the difference to the last one. It must stay in 16 bits, as all coefficients do. */
function firstDc(bits: BitReader, coefficients: Int16Array, { low }: JpegScan): DecodeBlock {
  return ({ dc }, block, index, { previous }) => {
    const size = bits.symbol(dc)
    if (size < 0) return false
    previous[index] += bits.number(size)
    coefficients[block] = previous[index] << low
    return Math.abs(previous[index]) < 2 ** 15
  }
}

function refinedDc(bits: BitReader, coefficients: Int16Array, { low }: JpegScan): DecodeBlock {
  return (_component, block) => {
    coefficients[block] |= bits.bits(1) << low
    return true
  }
}

function firstAc(bits: BitReader, coefficients: Int16Array, { first, last, low }: JpegScan): DecodeBlock {
  return ({ ac }, block, _index, carried) => {
    if (carried.numEnded > 0) {
      carried.numEnded--
      return true
    }
    for (let k = first; k <= last; k++) {
      const symbol = bits.symbol(ac)
      const [run, size] = [symbol >> 4, symbol & 15]
      if (symbol < 0) return false
      if (size === 0 && run < 15) {
        carried.numEnded = 2 ** run + bits.bits(run) - 1
        return true
      }
      k += run
      // After a run of 16 zeros there is another one.
      if (k > (size === 0 ? last - 1 : last)) return false
      if (size > 0) coefficients[block + ZIGZAG[k]] = bits.number(size) << low
    }
    return true
  }
}

function refinedAc(bits: BitReader, coefficients: Int16Array, { first, last, low }: JpegScan): DecodeBlock {
  /** Goes past `numZeros` coefficients that are still zero, giving one bit more to those that are not. Answers where it stands. */
  function refine(block: number, from: number, numZeros: number): number {
    let left = numZeros
    for (let k = from; k <= last; k++) {
      const at = block + ZIGZAG[k]
      const value = coefficients[at]
      if (value === 0) {
        if (left === 0) return k
        left--
      } else if (bits.bits(1) === 1 && (value & (1 << low)) === 0) {
        coefficients[at] += Math.sign(value) << low
      }
    }
    return last + 1
  }

  return ({ ac }, block, _index, carried) => {
    let k = first
    while (carried.numEnded === 0 && k <= last) {
      const symbol = bits.symbol(ac)
      const [run, size] = [symbol >> 4, symbol & 15]
      if (symbol < 0 || size > 1) return false
      if (size === 0 && run < 15) {
        carried.numEnded = 2 ** run + bits.bits(run)
      } else {
        const value = size === 0 ? 0 : bits.number(1)
        k = refine(block, k, run)
        if (k > last) return false
        if (value !== 0) coefficients[block + ZIGZAG[k]] = value << low
        k++
      }
    }
    if (carried.numEnded > 0) {
      refine(block, k, Infinity)
      carried.numEnded--
    }
    return true
  }
}
