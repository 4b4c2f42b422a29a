/** The markers of a JPEG, as far as the kernel decodes it: tables, frame and scan headers (ITU T.81, annex B). All else is undefined: not ours. */
import { ZIGZAG } from '../../kernel/jpeg-scan.ts'
import type { HuffmanTable } from '../../kernel/kernel.ts'
import { latin } from './header.ts'

/** A component of the frame. */
export interface Component {
  readonly id: number
  /** Sampling factors. */
  readonly across: number
  readonly down: number
  /** Number of its quantization table. */
  readonly table: number
}

export interface Frame {
  readonly width: number
  readonly height: number
  readonly isProgressive: boolean
  readonly components: readonly Component[]
}

export interface ScanHeader {
  /** Its components: their places in the frame, in that order, and their tables. */
  readonly components: readonly { readonly index: number; readonly dc: HuffmanTable; readonly ac: HuffmanTable }[]
  readonly first: number
  readonly last: number
  readonly high: number
  readonly low: number
  /** Where its data begins. */
  readonly start: number
}

/** What was said so far. */
export interface Said {
  frame?: Frame
  /** By number, in rows. */
  readonly quantization: (Int16Array | undefined)[]
  readonly dc: HuffmanTable[]
  readonly ac: HuffmanTable[]
  restartInterval: number
  isJfif: boolean
  /** What Adobe's marker says of the colours: 0 RGB, 1 YCbCr. */
  adobe?: number
}

/** No code is in it. */
const EMPTY: HuffmanTable = new Uint8Array(16)

export function createSaid(): Said {
  const tables = (): HuffmanTable[] => Array.from({ length: 4 }, () => EMPTY)
  return { quantization: [], dc: tables(), ac: tables(), restartInterval: 0, isJfif: false }
}

/**
 * Adds to `said` what the segments from `start` on say, up to a scan, or the end of the image. undefined: something that the kernel does not decode, or
 * that libjpeg would warn of.
 */
export function readSegments(bytes: Uint8Array, start: number, said: Said): ScanHeader | 'end' | undefined {
  for (let at = start; at + 4 <= bytes.length || isEnd(bytes, at);) {
    if (isEnd(bytes, at)) return 'end'
    const end = at + 2 + bytes[at + 2] * 256 + bytes[at + 3]
    if (bytes[at] !== 0xff || end > bytes.length) return undefined
    const data = bytes.subarray(at + 4, end)
    const marker = bytes[at + 1]
    if (marker === 0xda) return readScan(data, end, said)
    if (!readSegment(marker, data, said)) return undefined
    at = end
  }
  return undefined
}

function isEnd(bytes: Uint8Array, at: number): boolean {
  return bytes[at] === 0xff && bytes[at + 1] === 0xd9
}

function readSegment(marker: number, data: Uint8Array, said: Said): boolean {
  if (marker === 0xdb) return readQuantization(data, said)
  if (marker === 0xc4) return readHuffman(data, said)
  if (marker >= 0xc0 && marker <= 0xc2) return readFrame(data, marker === 0xc2, said)
  if (marker === 0xdd) {
    said.restartInterval = data[0] * 256 + data[1]
    return data.length === 2
  }
  // As libjpeg takes them: JFIF of a major version that it knows, Adobe with a transform that it knows.
  if (marker === 0xe0 && data.length >= 14 && latin(data, 0, 5) === 'JFIF\0') {
    said.isJfif = true
    return data[5] === 1
  }
  if (marker === 0xee && data.length >= 12 && latin(data, 0, 5) === 'Adobe') {
    said.adobe = data[11]
    return data[11] <= 1
  }
  const isIgnored = (marker >= 0xe0 && marker <= 0xef) || marker === 0xfe
  return isIgnored
}

/** Of 8 bits each: those of 16 are for images of 12 bits. */
function readQuantization(data: Uint8Array, { quantization }: Said): boolean {
  for (let at = 0; at < data.length; at += 65) {
    if (data[at] > 3 || at + 65 > data.length) return false
    const table = new Int16Array(64)
    for (let k = 0; k < 64; k++) table[ZIGZAG[k]] = data[at + 1 + k]
    quantization[data[at]] = table
  }
  return true
}

function readHuffman(data: Uint8Array, { dc, ac }: Said): boolean {
  for (let at = 0; at < data.length;) {
    const [kind, number] = [data[at] >> 4, data[at] & 15]
    const numSymbols = data.subarray(at + 1, at + 17).reduce((sum, count) => sum + count, 0)
    const table = data.subarray(at + 1, at + 17 + numSymbols)
    if (kind > 1 || number > 3 || numSymbols > 256 || table.length !== 16 + numSymbols) return false
    // No more codes than there are of any length, and differences of DC coefficients of 15 bits at most.
    let numLeft = 1
    for (let length = 0; length < 16; length++) {
      numLeft = numLeft * 2 - table[length]
      if (numLeft < 0) return false
    }
    if (kind === 0 && table.subarray(16).some((symbol) => symbol > 15)) return false
    const tables = kind === 0 ? dc : ac
    tables[number] = table
    at += 17 + numSymbols
  }
  return true
}

function readFrame(data: Uint8Array, isProgressive: boolean, said: Said): boolean {
  const count = data[5]
  if (said.frame || data[0] !== 8 || data.length !== 6 + 3 * count) return false
  const components = Array.from({ length: count }, (_, at) => {
    const [id, sampling, table] = data.subarray(6 + 3 * at)
    return { id, across: sampling >> 4, down: sampling & 15, table }
  })
  said.frame = { height: data[1] * 256 + data[2], width: data[3] * 256 + data[4], isProgressive, components }
  return new Set(components.map(({ id }) => id)).size === count
}

function readScan(data: Uint8Array, start: number, { frame, dc, ac }: Said): ScanHeader | undefined {
  const count = data[0]
  if (!frame || count < 1 || data.length !== 4 + 2 * count) return undefined
  const components = Array.from({ length: count }, (_, at) => {
    const [id, tables] = data.subarray(1 + 2 * at)
    return { index: frame.components.findIndex((component) => component.id === id), dc: dc[tables >> 4], ac: ac[tables & 15] }
  })
  const isInOrder = components.every(({ index }, at) => index > (at === 0 ? -1 : components[at - 1].index))
  const isTabled = components.every((component) => component.dc && component.ac)
  const [first, last, approximation] = data.subarray(-3)
  if (!isInOrder || !isTabled) return undefined
  return { components, first, last, high: approximation >> 4, low: approximation & 15, start }
}
