/** NumPy's npy (versions 1 to 3) and npz. */
import { openZip } from './archive/zip.ts'
import { arrayAt, arrayOfBytes, bytesOf, readAt, type ArrayFile, type FileArray } from './array-file.ts'
import { parseDtype, type Dtype } from './dtype.ts'
import { describeBytes, fileIdentity, refuseFile } from './files.ts'

/** A member of an npz is read whole, up to this; an npy file has no limit. */
const MAX_NPZ_BYTES = 2 ** 31 - 2 ** 20
const MAX_HEADER_BYTES = 2 ** 16
const MAGIC = '\x93NUMPY'
/** One entry of the header, as NumPy prints it: a dict of three. */
const ENTRY = /\s*'(descr|fortran_order|shape)'\s*:\s*('[^'\\]*'|True|False|\((?:\d+L?\s*,\s*)*(?:\d+L?\s*)?\))\s*(?:,|(?=\}))/y

/** Throws a DATASET error for what is no npy file, or not of plain numbers in C order. */
export async function openNpy(path: string): Promise<ArrayFile> {
  const { bytes } = fileIdentity(path)
  const head = await readAt(path, 0, Math.min(bytes, MAX_HEADER_BYTES))
  const header = parseHeader(path, head, bytes)
  const array = arrayAt(path, header.dataStart, header)
  return { names: [''], metadata: {}, open: async () => array }
}

/** Its arrays, without `.npy`. Throws a DATASET error for what is no zip archive; `open` for a member that is no npy file. */
export async function openNpz(path: string): Promise<ArrayFile> {
  await using zip = await openZip(path)
  // Labels under another name would be none.
  await zip.checkNames()
  const names = zip.members.flatMap(({ name }) => (name.endsWith('.npy') ? [name.slice(0, -4)] : []))
  return { names, metadata: {}, open: (name) => openMember(path, `${name}.npy`) }
}

async function openMember(path: string, member: string): Promise<FileArray> {
  await using zip = await openZip(path, { maxMemberBytes: MAX_NPZ_BYTES })
  const content = await zip.read(member)
  const header = parseHeader(`${path}: ${member}`, content, content.length)
  return arrayOfBytes(content.subarray(header.dataStart), header)
}

interface Header {
  readonly path: string
  readonly dtype: Dtype
  readonly shape: readonly number[]
  readonly dataStart: number
}

/** @param head of the file, with all of its header; `fileBytes` in all. */
function parseHeader(path: string, head: Uint8Array, fileBytes: number): Header {
  const view = Buffer.from(head.buffer, head.byteOffset, head.byteLength)
  if (view.length < 12 || view.toString('latin1', 0, 6) !== MAGIC) refuseFile(path, 'an npy file', 'other bytes at its start')
  const version = view[6]
  if (![1, 2, 3].includes(version)) refuseFile(path, 'npy version 1, 2 or 3', String(version))
  const textStart = version === 1 ? 10 : 12
  const dataStart = textStart + (version === 1 ? view.readUInt16LE(8) : view.readUInt32LE(8))
  if (dataStart > MAX_HEADER_BYTES || dataStart > view.length) {
    refuseFile(path, `a header of at most ${Math.min(MAX_HEADER_BYTES, view.length)} bytes`, `${dataStart}: truncated?`)
  }
  const { descr, fortran, shape } = parseDict(path, view.toString(version === 3 ? 'utf8' : 'latin1', textStart, dataStart))
  const dtype = parseDtype(descr) ?? refuseFile(path, 'plain integers or floats', `the dtype ${JSON.stringify(descr)}`)
  if (fortran && shape.length > 1) refuseFile(path, 'C order (numpy.ascontiguousarray)', 'Fortran order')
  const header = { path, dtype, shape, dataStart }
  const expected = dataStart + bytesOf(header)
  if (fileBytes !== expected) refuseFile(path, `${expected} bytes for the shape [${shape.join(', ')}]`, describeBytes(fileBytes, expected))
  return header
}

/** Python's syntax of exactly one dict: nothing is evaluated. */
function parseDict(path: string, text: string): { descr: string; fortran: boolean; shape: number[] } {
  const entries = new Map<string, string>()
  ENTRY.lastIndex = text.startsWith('{') ? 1 : text.length
  let end = ENTRY.lastIndex
  for (let match = ENTRY.exec(text); match; match = ENTRY.exec(text)) {
    if (entries.has(match[1])) break
    entries.set(match[1], match[2])
    end = ENTRY.lastIndex
  }
  const [descr = '', fortran = '', shape = ''] = ['descr', 'fortran_order', 'shape'].map((key) => entries.get(key))
  const isDict = /^\s*\}\s*$/.test(text.slice(end)) && descr.startsWith("'") && /^[TF]/.test(fortran) && shape.startsWith('(')
  if (!isDict)
    refuseFile(path, "a header of 'descr' (plain numbers), 'fortran_order' and 'shape'", JSON.stringify(text.trim().slice(0, 200)))
  return { descr: descr.slice(1, -1), fortran: fortran === 'True', shape: [...shape.matchAll(/\d+/g)].map(Number) }
}
