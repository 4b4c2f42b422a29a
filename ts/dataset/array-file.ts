/** Arrays in files: what is known of them, and how their rows are read piece by piece. */
import { open } from 'node:fs/promises'
import type { DatasetConfig } from '../../protocol/index.ts'
import { formatDtype, type Dtype } from './dtype.ts'
import { refuseFile } from './files.ts'
import type { Decoding } from './source.ts'

/** One array; its rows are along the first axis. */
export interface FileArray {
  /** For errors: the file, and the name of the array in it. */
  readonly path: string
  readonly shape: readonly number[]
  readonly dtype: Dtype
  /** The bytes of whole rows. Throws a DATASET error where the file has become shorter. */
  readRows(first: number, count: number): Promise<Uint8Array>
}

export interface ArrayFile {
  /** Of its arrays; one without a name in an npy file. */
  readonly names: readonly string[]
  /** Text that the file has about itself. */
  readonly metadata: Readonly<Record<string, string>>
  open(name: string): Promise<FileArray>
}

export type ArraysConfig = Extract<DatasetConfig, { kind: 'arrays' }>
/** Pixels or latents of an array, yet without their labels. */
export type ArrayImages = Omit<Decoding, 'classNames' | 'chunks'> & Pick<FileArray, 'readRows'> & { readonly array: FileArray }

type Layout = Omit<FileArray, 'readRows'>

/** An array whose bytes are somewhere in a file. */
export function arrayAt(file: string, offset: number, layout: Layout): FileArray {
  const rowBytes = bytesOf(layout) / layout.shape[0]
  return { ...layout, readRows: (first, count) => readAt(file, offset + first * rowBytes, count * rowBytes) }
}

/** An array that is in memory already. */
export function arrayOfBytes(data: Uint8Array, layout: Layout): FileArray {
  const rowBytes = bytesOf(layout) / layout.shape[0]
  return { ...layout, readRows: async (first, count) => data.subarray(first * rowBytes, (first + count) * rowBytes) }
}

/** Of all its numbers. Throws a DATASET error for a shape that holds none, or more than can be counted. */
export function bytesOf({ path, shape, dtype }: Layout): number {
  const bytes = shape.reduce((product, side) => product * side, dtype.bytes)
  const isSound = shape.length > 0 && shape.every((side) => Number.isSafeInteger(side) && side >= 1) && Number.isSafeInteger(bytes)
  if (!isSound) refuseFile(path, 'an array with numbers in it', `the shape [${shape.join(', ')}]`)
  return bytes
}

/** As in a message. */
export function describeArray({ shape, dtype }: FileArray): string {
  return `${formatDtype(dtype)} [${shape.join(', ')}]`
}

/** Opened for each piece: nothing has to be closed by anybody. */
export async function readAt(path: string, start: number, length: number): Promise<Uint8Array> {
  await using file = await open(path)
  const data = Buffer.alloc(length)
  const { bytesRead } = await file.read(data, 0, length, start)
  if (bytesRead < length) refuseFile(path, `${length} bytes from ${start} on`, `${bytesRead}: truncated?`)
  return data
}
