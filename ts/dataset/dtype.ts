/** Numbers by NumPy's names for them, as `<i8` or `|u1`, and how they are read from bytes. */

export interface Dtype {
  readonly kind: 'u' | 'i' | 'f' | 'bf'
  /** Of one number. */
  readonly bytes: 1 | 2 | 4 | 8
  readonly isLittleEndian: boolean
}

const SIZES: Readonly<Record<Dtype['kind'], readonly number[]>> = { u: [1, 2, 4, 8], i: [1, 2, 4, 8], f: [2, 4, 8], bf: [2] }

/** undefined for everything that is no plain number: objects, text, structures, booleans. */
export function parseDtype(descr: string): Dtype | undefined {
  const [, order, kind, digits] = /^([<>|=]?)([uif])(\d)$/.exec(descr) ?? []
  if (!kind || !SIZES[kind as Dtype['kind']].includes(Number(digits))) return undefined
  return { kind: kind as Dtype['kind'], bytes: Number(digits) as Dtype['bytes'], isLittleEndian: order !== '>' }
}

/** NumPy's name of it. */
export function formatDtype({ kind, bytes, isLittleEndian }: Dtype): string {
  if (kind === 'bf') return 'bfloat16'
  return `${bytes === 1 ? '|' : isLittleEndian ? '<' : '>'}${kind}${bytes}`
}

/** All numbers in `data`, which holds whole ones. 64-bit integers beyond 2^53 lose their last bits. */
export function readNumbers(data: Uint8Array, { kind, bytes, isLittleEndian }: Dtype): Float64Array {
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength)
  const numbers = new Float64Array(data.length / bytes)
  const read = readerOf(view, kind, bytes, isLittleEndian)
  for (let at = 0; at < numbers.length; at++) numbers[at] = read(at * bytes)
  return numbers
}

function readerOf(view: DataView, kind: Dtype['kind'], bytes: Dtype['bytes'], isLittle: boolean): (at: number) => number {
  switch (`${kind}${bytes}`) {
    case 'u1':
      return (at) => view.getUint8(at)
    case 'u2':
      return (at) => view.getUint16(at, isLittle)
    case 'u4':
      return (at) => view.getUint32(at, isLittle)
    case 'u8':
      return (at) => Number(view.getBigUint64(at, isLittle))
    case 'i1':
      return (at) => view.getInt8(at)
    case 'i2':
      return (at) => view.getInt16(at, isLittle)
    case 'i4':
      return (at) => view.getInt32(at, isLittle)
    case 'i8':
      return (at) => Number(view.getBigInt64(at, isLittle))
    case 'f2':
      return (at) => halves()[view.getUint16(at, isLittle)]
    case 'f4':
      return (at) => view.getFloat32(at, isLittle)
    case 'f8':
      return (at) => view.getFloat64(at, isLittle)
    default:
      return (at) => fromBrain(view.getUint16(at, isLittle))
  }
}

let halfTable: Float32Array | undefined

/** All of binary16: a look-up is faster than its arithmetic. */
function halves(): Float32Array {
  halfTable ??= Float32Array.from({ length: 2 ** 16 }, (_, bits) => fromHalf(bits))
  return halfTable
}

/** IEEE 754 binary16, by its bits. */
function fromHalf(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1
  const exponent = (bits >> 10) & 0x1f
  const fraction = bits & 0x3ff
  if (exponent === 0) return sign * fraction * 2 ** -24
  if (exponent === 31) return fraction ? NaN : sign * Infinity
  return sign * (1024 + fraction) * 2 ** (exponent - 25)
}

const brainBits = new Uint32Array(1)
const brainFloat = new Float32Array(brainBits.buffer)

/** bfloat16: the upper half of a float32. */
function fromBrain(bits: number): number {
  brainBits[0] = bits << 16
  return brainFloat[0]
}
