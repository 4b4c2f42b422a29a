/** The bits of a JPEG's scan, and the Huffman codes in them: ITU T.81, F.2.2. */
import type { HuffmanTable } from './kernel.ts'

/** Longest code, in bits. */
const MAX_CODE_BITS = 16

/** Bit after bit of a scan; zeros where a marker is reached, after which `end` and `restart` refuse. */
export interface BitReader {
  bits(count: number): number
  /** What the next code stands for; -1: there is no such code. */
  symbol(table: HuffmanTable): number
  /** A number of `size` bits, as T.81 F.2.2.1 extends it: those with a leading zero are negative. */
  number(size: number): number
  /** Goes past the restart marker of that number, 0 to 7. false: all up to it was not read, or more than that. */
  restart(number: number): boolean
  /** Where the next marker is; -1: all up to it was not read, or more than that, or there is none. */
  end(): number
}

export function createBitReader(file: Uint8Array, start: number): BitReader {
  let at = start
  let byte = 0
  let numBits = 0
  let isBeyond = false

  function bit(): number {
    if (numBits === 0) {
      isBeyond ||= at >= file.length || isMarker()
      if (isBeyond) return 0
      byte = file[at]
      numBits = 8
      // A zero is stuffed after each 0xff.
      at += byte === 0xff ? 2 : 1
    }
    return (byte >> --numBits) & 1
  }

  const isMarker = (): boolean => file[at] === 0xff && file[at + 1] !== 0

  function bits(count: number): number {
    let value = 0
    for (let read = 0; read < count; read++) value = value * 2 + bit()
    return value
  }

  function end(): number {
    numBits = 0
    return !isBeyond && at + 1 < file.length && isMarker() ? at : -1
  }

  return {
    bits,
    symbol(table) {
      let code = 0
      let first = 0
      let before = MAX_CODE_BITS
      for (let length = 1; length <= MAX_CODE_BITS; length++) {
        code = code * 2 + bit()
        const count = table[length - 1]
        if (code - first < count) return table[before + code - first]
        before += count
        first = (first + count) * 2
      }
      return -1
    },
    number(size) {
      const value = bits(size)
      return size > 0 && value < 2 ** (size - 1) ? value + 1 - 2 ** size : value
    },
    restart(number) {
      const marker = end()
      if (marker < 0 || file[marker + 1] !== 0xd0 + number) return false
      at += 2
      return true
    },
    end,
  }
}
