/** safetensors: a JSON header with the place of each tensor, then their bytes. */
import { arrayAt, bytesOf, readAt, type ArrayFile, type FileArray } from './array-file.ts'
import { parseDtype, type Dtype } from './dtype.ts'
import { describeBytes, fileIdentity, refuseFile } from './files.ts'

/** The format's own limit. */
const MAX_HEADER_BYTES = 100_000_000

interface Tensor {
  readonly dtype: string
  readonly shape: readonly number[]
  readonly data_offsets: readonly [number, number]
}

/** Throws a DATASET error for a header that does not fit the file: tensors that overlap, leave gaps or are cut off. `open`: for another dtype than integers and floats. */
export async function openSafetensors(path: string): Promise<ArrayFile> {
  const { bytes } = fileIdentity(path)
  if (bytes < 8) refuseFile(path, 'a safetensors file', `${bytes} bytes`)
  const headerBytes = Number(Buffer.from(await readAt(path, 0, 8)).readBigUInt64LE())
  if (headerBytes > Math.min(MAX_HEADER_BYTES, bytes - 8)) refuseFile(path, `a header within its ${bytes} bytes`, `${headerBytes} bytes`)
  const { metadata, tensors } = parseHeader(path, Buffer.from(await readAt(path, 8, headerBytes)).toString('utf8'))
  const dataStart = 8 + headerBytes
  let end = dataStart
  for (const [name, { data_offsets: offsets }] of [...tensors].toSorted(
    ([, a], [, b]) => a.data_offsets[0] - b.data_offsets[0] || a.data_offsets[1] - b.data_offsets[1],
  )) {
    if (dataStart + offsets[0] !== end || offsets[1] < offsets[0])
      refuseFile(`${path}: ${name}`, `bytes from ${end - dataStart} on`, offsets.join(' to '))
    end = dataStart + offsets[1]
  }
  if (end !== bytes) refuseFile(path, `${end} bytes, by its header`, describeBytes(bytes, end))
  return { names: [...tensors.keys()], metadata, open: async (name) => openTensor(path, name, tensors.get(name), dataStart) }
}

function parseHeader(path: string, text: string): { metadata: Record<string, string>; tensors: Map<string, Tensor> } {
  let header: unknown
  try {
    header = JSON.parse(text)
  } catch (cause) {
    return refuseFile(path, 'a header of JSON', (cause as Error).message, cause)
  }
  if (typeof header !== 'object' || header === null || Array.isArray(header)) return refuseFile(path, 'a header with tensors', 'other JSON')
  const { __metadata__: metadata = {}, ...tensors } = header as Record<string, unknown>
  const isText = typeof metadata === 'object' && metadata !== null && Object.values(metadata).every((value) => typeof value === 'string')
  if (!isText) refuseFile(path, '__metadata__ of texts', JSON.stringify(metadata).slice(0, 200))
  for (const [name, tensor] of Object.entries(tensors)) {
    if (!isTensor(tensor)) refuseFile(`${path}: ${name}`, 'dtype, shape and data_offsets', JSON.stringify(tensor).slice(0, 200))
  }
  return { metadata: metadata as Record<string, string>, tensors: new Map(Object.entries(tensors as Record<string, Tensor>)) }
}

function isTensor(value: unknown): value is Tensor {
  if (typeof value !== 'object' || value === null) return false
  const { dtype, shape, data_offsets: offsets } = value as Partial<Tensor>
  const areSizes = (numbers: unknown) => Array.isArray(numbers) && numbers.every((number) => Number.isSafeInteger(number) && number >= 0)
  return typeof dtype === 'string' && areSizes(shape) && areSizes(offsets) && offsets?.length === 2
}

function openTensor(file: string, name: string, tensor: Tensor | undefined, dataStart: number): FileArray {
  const path = `${file}: ${name}`
  if (!tensor) return refuseFile(path, 'a tensor of this name', 'none')
  const dtype = dtypeOf(tensor.dtype) ?? refuseFile(path, 'integers or floats', `the dtype ${tensor.dtype}`)
  const layout = { path, dtype, shape: tensor.shape }
  const [start, end] = tensor.data_offsets
  const expected = bytesOf(layout)
  if (end - start !== expected) refuseFile(path, `${expected} bytes for the shape [${tensor.shape.join(', ')}]`, String(end - start))
  return arrayAt(file, dataStart + start, layout)
}

/** U8 is u1 for NumPy, F32 is f4. */
function dtypeOf(name: string): Dtype | undefined {
  if (name === 'BF16') return { kind: 'bf', bytes: 2, isLittleEndian: true }
  const [, kind, bits] = /^([UIF])(8|16|32|64)$/.exec(name) ?? []
  return kind ? parseDtype(`<${kind.toLowerCase()}${Number(bits) / 8}`) : undefined
}
