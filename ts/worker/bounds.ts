/** What a msgpack frame would cost to decode, told from its bytes alone: msgpackr allocates what a length field declares. */

const MAX_DEPTH = 8
const MAX_VALUES = 10_000

/** What is wrong with a frame, or undefined for one plain value that ends where the frame does. Reads each byte at most once and allocates nothing. */
export function findExcess(bytes: Uint8Array): string | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const end = bytes.byteLength
  /** Values that are still to come on each level. */
  const due = [1]
  let at = 0
  let numValues = 0
  while (due.length > 0) {
    const level = due.length - 1
    if (due[level] === 0) {
      due.pop()
      continue
    }
    due[level]--
    if (at >= end) return `a value beyond its end`
    if (++numValues > MAX_VALUES) return `more than ${MAX_VALUES} values`
    const type = bytes[at]
    const kind = KINDS[type]
    if (kind === undefined) return `a value of type 0x${type.toString(16)}, which no message has`
    if (at + 1 + kind.lengthBytes > end) return `a length beyond its end`
    const length = kind.lengthBytes === 0 ? kind.length : readLength(view, at + 1, kind.lengthBytes)
    at += 1 + kind.lengthBytes
    if (!kind.isNested) {
      if (length > end - at) return `a value of ${length} bytes with ${end - at} left`
      at += length
    } else if (length > 0) {
      // Each value takes a byte at least.
      if (length * kind.valuesEach > end - at) return `${length} entries with ${end - at} bytes left`
      if (due.length > MAX_DEPTH) return `more than ${MAX_DEPTH} levels`
      due.push(length * kind.valuesEach)
    }
  }
  return at === end ? undefined : `${end - at} bytes after its end`
}

interface Kind {
  /** Bytes after the type that say how long the value is; 0: the type itself says `length`. */
  readonly lengthBytes: 0 | 1 | 2 | 4
  readonly length: number
  readonly isNested: boolean
  readonly valuesEach: number
}

function readLength(view: DataView, at: number, lengthBytes: 0 | 1 | 2 | 4): number {
  return lengthBytes === 1 ? view.getUint8(at) : lengthBytes === 2 ? view.getUint16(at) : view.getUint32(at)
}

/** By type byte: numbers, nil, booleans, strings, arrays and maps. No bytes and no extensions: no message has any, and msgpackr makes objects of them. */
const KINDS: readonly (Kind | undefined)[] = Array.from({ length: 256 }, (_, type): Kind | undefined => {
  const plain = (length: number): Kind => ({ lengthBytes: 0, length, isNested: false, valuesEach: 0 })
  const nested = (lengthBytes: 0 | 2 | 4, length: number, valuesEach: number): Kind => ({ lengthBytes, length, isNested: true, valuesEach })
  if (type <= 0x7f || type >= 0xe0) return plain(0)
  if (type <= 0x8f) return nested(0, type & 0x0f, 2)
  if (type <= 0x9f) return nested(0, type & 0x0f, 1)
  if (type <= 0xbf) return plain(type & 0x1f)
  switch (type) {
    case 0xc0:
    case 0xc2:
    case 0xc3:
      return plain(0)
    case 0xca:
    case 0xce:
    case 0xd2:
      return plain(4)
    case 0xcb:
    case 0xcf:
    case 0xd3:
      return plain(8)
    case 0xcc:
    case 0xd0:
      return plain(1)
    case 0xcd:
    case 0xd1:
      return plain(2)
    case 0xd9:
      return { ...plain(0), lengthBytes: 1 }
    case 0xda:
      return { ...plain(0), lengthBytes: 2 }
    case 0xdb:
      return { ...plain(0), lengthBytes: 4 }
    case 0xdc:
      return nested(2, 0, 1)
    case 0xdd:
      return nested(4, 0, 1)
    case 0xde:
      return nested(2, 0, 2)
    case 0xdf:
      return nested(4, 0, 2)
    default:
      return undefined
  }
})
