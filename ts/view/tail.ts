/** Reads a file that grows, by whole lines: from any byte on, over a torn last line, and from the start again where another file took its place. */
import { closeSync, fstatSync, openSync, readSync } from 'node:fs'

const CHUNK_BYTES = 1 << 20

export interface Lines {
  readonly lines: readonly string[]
  /** Where the next line begins. */
  readonly offset: number
  /** Of the file that was read; another one has another. */
  readonly identity: string
  /** More whole lines may be there already. */
  readonly isBehind: boolean
  /** Bytes that the file had. */
  readonly size: number
}

/**
 * The next whole lines from byte `offset`, at most about a megabyte of them; undefined where there is no file.
 * A file that is not `identity`, or is shorter than `offset`, is read from its start.
 */
export function readLines(file: string, offset: number, identity: string | undefined): Lines | undefined {
  let descriptor: number
  try {
    descriptor = openSync(file, 'r')
  } catch {
    return undefined
  }
  try {
    const { size, ino } = fstatSync(descriptor)
    const found = String(ino)
    const from = (identity !== undefined && identity !== found) || offset > size ? 0 : offset
    if (from === size) return { lines: [], offset: from, identity: found, isBehind: false, size }
    const chunk = Buffer.allocUnsafe(Math.min(CHUNK_BYTES, size - from))
    const bytes = chunk.subarray(0, readSync(descriptor, chunk, 0, chunk.length, from))
    const end = bytes.lastIndexOf(0x0a) + 1
    // No event is a megabyte long: what has no end in there is no line of ours.
    const taken = end === 0 && bytes.length === CHUNK_BYTES ? CHUNK_BYTES : end
    const lines = bytes.subarray(0, end).toString('utf8').split('\n').slice(0, -1)
    return { lines, offset: from + taken, identity: found, isBehind: bytes.length === CHUNK_BYTES && from + taken < size, size }
  } finally {
    closeSync(descriptor)
  }
}
