/** Values between TypeScript and Python as JSON text, with what JSON lacks written out: py/immiscible_worker/values.py has the table. */

const TYPES = {
  int8: Int8Array,
  uint8: Uint8Array,
  int16: Int16Array,
  uint16: Uint16Array,
  int32: Int32Array,
  uint32: Uint32Array,
  int64: BigInt64Array,
  uint64: BigUint64Array,
  float32: Float32Array,
  float64: Float64Array,
} as const

export type ArrayData =
  | Int8Array
  | Uint8Array
  | Int16Array
  | Uint16Array
  | Int32Array
  | Uint32Array
  | BigInt64Array
  | BigUint64Array
  | Float32Array
  | Float64Array

/** An array of NumPy or a tensor: row-major. */
export interface PythonArray<T extends ArrayData = ArrayData> {
  readonly data: T
  readonly shape: readonly number[]
}

const SAFE_INTEGERS = [BigInt(Number.MIN_SAFE_INTEGER), BigInt(Number.MAX_SAFE_INTEGER)] as const

/**
 * Typed arrays and buffers become NumPy arrays, `{ data, shape }` one of that shape; ArrayBuffer becomes bytes.
 * @throws TypeError for what neither JSON nor the table has: functions, symbols, a circle.
 */
export function toJson(value: unknown): string {
  return JSON.stringify({ value }, function (this: Record<string, unknown>, key, afterToJson: unknown) {
    // Before toJSON(), which a Buffer has too.
    return describe(this[key], afterToJson, key)
  })
}

function describe(raw: unknown, value: unknown, key: string): unknown {
  if (typeof raw === 'number') return describeNumber(raw)
  if (typeof raw === 'bigint') return raw >= SAFE_INTEGERS[0] && raw <= SAFE_INTEGERS[1] ? Number(raw) : { $integer: String(raw) }
  if (typeof raw === 'function' || typeof raw === 'symbol') throw new TypeError(`${key}: expected what JSON has, got a ${typeof raw}`)
  if (typeof raw !== 'object' || raw === null) return value
  if (raw instanceof ArrayBuffer) return { $bytes: Buffer.from(raw).toString('base64') }
  if (ArrayBuffer.isView(raw)) return describeArray(raw as ArrayData, [(raw as ArrayData).length], key)
  if (isArray(raw)) return describeArray(raw.data, raw.shape, key)
  if (Array.isArray(value) || typeof value !== 'object' || value === null) return value
  return Object.keys(value).some((name) => name.startsWith('$')) ? { $object: Object.entries(value) } : value
}

function isArray(value: object): value is PythonArray {
  const { data, shape, ...others } = value as Partial<PythonArray>
  return ArrayBuffer.isView(data) && Array.isArray(shape) && Object.keys(others).length === 0
}

function describeNumber(value: number): unknown {
  if (Object.is(value, -0)) return { $number: '-0' }
  // A whole number would be an int in Python, and come back as a bigint where it is large.
  const isPlain = Number.isInteger(value) ? Number.isSafeInteger(value) : Number.isFinite(value)
  return isPlain ? value : { $number: String(value) }
}

function describeArray(data: ArrayData, shape: readonly number[], key: string): unknown {
  const name = data instanceof Uint8ClampedArray ? 'Uint8' : (data.constructor.name.replace(/^Buffer$/, 'Uint8Array') ?? '')
  const dtype = name.replace(/^Big/, '').replace('Array', '').toLowerCase()
  if (!(dtype in TYPES)) throw new TypeError(`${key}: expected one of ${Object.keys(TYPES).join(', ')} as an array, got ${name}`)
  const length = shape.reduce((product, size) => product * size, 1)
  if (length !== data.length) throw new TypeError(`${key}: expected ${data.length} numbers, got shape [${shape.join(', ')}]`)
  return { $array: Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString('base64'), dtype, shape }
}

/** Arrays come as `{ data, shape }`, bytes as Uint8Array, whole numbers beyond 2^53 as bigint. */
export function fromJson(text: string): unknown {
  return JSON.parse(text, (_key, value: unknown) => revive(value))
}

interface Written {
  readonly $array?: string
  readonly dtype: keyof typeof TYPES
  readonly shape: readonly number[]
  readonly $number?: string
  readonly $integer?: string
  readonly $bytes?: string
  readonly $object?: readonly [string, unknown][]
}

function revive(value: unknown): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value
  const { $array, dtype, shape, $number, $integer, $bytes, $object } = value as Written
  if ($array !== undefined) {
    // A copy of its own, aligned: the base64 decoder may answer a slice of a pool.
    const { buffer } = Uint8Array.from(Buffer.from($array, 'base64'))
    return { data: new TYPES[dtype](buffer), shape }
  }
  if ($number !== undefined) return Number($number)
  if ($integer !== undefined) return BigInt($integer)
  if ($bytes !== undefined) return Uint8Array.from(Buffer.from($bytes, 'base64'))
  return $object === undefined ? value : Object.fromEntries($object)
}
