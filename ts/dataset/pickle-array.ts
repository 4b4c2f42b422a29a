/** NumPy's arrays in a pickle: what Python would import and call for them, as plain values. */
import { parseDtype, type Dtype } from './dtype.ts'

/** An array, its numbers still as bytes. */
export interface PickledArray {
  readonly shape: readonly number[]
  readonly dtype: Dtype
  /** Columns first, as in Fortran. */
  readonly isFortran: boolean
  readonly data: Uint8Array
}

/** Python's str is text, its bytes (and the str of Python 2) are bytes. */
export type PickleValue = null | boolean | number | string | Uint8Array | PickleValue[] | Map<string, PickleValue> | Made

/** By NumPy, or on the way to it. `value` is filled in by Python's BUILD. */
interface Made {
  readonly type: 'global' | 'array' | 'dtype'
  readonly name: string
  array?: PickledArray
  dtype?: Dtype
}

const GLOBALS: Readonly<Record<string, string>> = {
  'numpy.core.multiarray _reconstruct': 'reconstruct',
  'numpy._core.multiarray _reconstruct': 'reconstruct',
  'numpy.core.numeric _frombuffer': 'frombuffer',
  'numpy._core.numeric _frombuffer': 'frombuffer',
  'numpy ndarray': 'ndarray',
  'numpy dtype': 'dtype',
  '_codecs encode': 'encode',
}

/** Text of str or bytes; undefined for anything else. */
export function textOf(value: PickleValue | undefined): string | undefined {
  if (value instanceof Uint8Array) return Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString('latin1')
  return typeof value === 'string' ? value : undefined
}

/** The array; undefined for anything else. */
export function arrayOf(value: PickleValue | undefined): PickledArray | undefined {
  return isMade(value) ? value.array : undefined
}

/** Throws for every global but those of an array. */
export function globalOf(module: string, name: string): Made {
  const known = Object.hasOwn(GLOBALS, `${module} ${name}`) ? GLOBALS[`${module} ${name}`] : undefined
  return {
    type: 'global',
    name: known ?? refuse("NumPy's arrays alone", `the global ${JSON.stringify(`${module}.${name}`)}, which is not loaded`),
  }
}

/** What Python would call, as far as it is part of an array. */
export function reduce(name: string, args: readonly PickleValue[]): PickleValue {
  const [first, second, third, fourth] = args
  if (name === 'encode' && typeof first === 'string' && textOf(second) === 'latin1') return encodeLatin1(first)
  if (name === 'reconstruct' && args.length === 3 && isMade(first) && first.name === 'ndarray') return { type: 'array', name: 'array' }
  if (name === 'dtype' && args.length === 3) return { type: 'dtype', name: textOf(first) ?? refuse('the name of a dtype', describe(first)) }
  const order = textOf(fourth)
  if (name === 'frombuffer' && args.length === 4 && (order === 'C' || order === 'F')) {
    return { type: 'array', name: 'array', array: makeArray(third, second, order === 'F', first) }
  }
  return refuse('an array as NumPy writes it', `${name} of ${args.length} values`)
}

/** What Python would hand to __setstate__. */
export function build(target: PickleValue, state: PickleValue): void {
  if (!isMade(target) || !Array.isArray(state)) return refuse('the state of an array', describe(state))
  if (target.type === 'dtype' && !target.dtype && state.length === 8 && state.slice(2, 5).every((part) => part === null)) {
    target.dtype = parseDtype((textOf(state[1]) ?? '') + target.name) ?? refuse('a dtype of numbers', target.name)
  } else if (target.type === 'array' && !target.array && state.length === 5) {
    target.array = makeArray(state[1], state[2], state[3] === true || state[3] === 1, state[4])
  } else {
    refuse('the state of an array', `that of a ${target.type}, of ${state.length} values`)
  }
}

function makeArray(shape: PickleValue, dtype: PickleValue, isFortran: boolean, data: PickleValue): PickledArray {
  const isShape = Array.isArray(shape) && shape.length <= 4 && shape.every((side) => Number.isSafeInteger(side) && (side as number) >= 0)
  if (!isShape || !isMade(dtype) || !dtype.dtype || !(data instanceof Uint8Array))
    return refuse('shape, dtype and bytes of an array', describe(data))
  const sides = shape as number[]
  const expected = sides.reduce((product, side) => product * side, dtype.dtype.bytes)
  if (data.length !== expected) refuse(`${expected} bytes for an array of ${sides.join(' x ')}`, String(data.length))
  return { shape: sides, dtype: dtype.dtype, isFortran, data }
}

function encodeLatin1(text: string): Uint8Array {
  if (/[^\0-\xff]/.test(text)) refuse('text of latin1', 'other characters')
  return Buffer.from(text, 'latin1')
}

export function isMade(value: PickleValue | undefined): value is Made {
  return typeof value === 'object' && value !== null && 'type' in value
}

export function describe(value: PickleValue): string {
  if (value === null) return 'None'
  if (Array.isArray(value)) return 'a list or tuple'
  if (value instanceof Map) return 'a dict'
  if (value instanceof Uint8Array) return 'bytes'
  return isMade(value) ? `a ${value.type}` : `a ${typeof value}`
}

export function refuse(expected: string, got: string): never {
  throw new Error(`expected ${expected}, got ${got}`)
}
