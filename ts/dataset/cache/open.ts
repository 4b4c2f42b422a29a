/** Opens a decoded data set of the cache: checked while it is read into shared memory, or image by image where it is larger than that may be. */
import { createHash } from 'node:crypto'
import { closeSync, openSync, readFileSync, readSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { crc32 } from 'node:zlib'
import type { DatasetRecord } from '../../../protocol/index.ts'
import { ImmiscibleError } from '../../errors.ts'
import type { Dataset } from '../dataset.ts'
import { openStored, recordBytes } from '../stored.ts'
import { advice, CHECKSUMS_FILE, IMAGES_FILE, LABELS_FILE } from './folder.ts'

/** Read at a time. */
const CHUNK_BYTES = 2 ** 22

/** @param memoryBytes larger data sets stay in their file. Throws a DATASET error that names the file and image that has changed. */
export function openCached(folder: string, record: DatasetRecord, memoryBytes: number): Dataset {
  const checksums = readShared(folder, record, CHECKSUMS_FILE)
  const labels = record.files[LABELS_FILE] && readShared(folder, record, LABELS_FILE)
  const path = join(folder, IMAGES_FILE)
  const { bytes } = record.files[IMAGES_FILE]
  expectBytes(folder, record, IMAGES_FILE, statSync(path, { throwIfNoEntry: false })?.size)
  const crcs = new Uint32Array(checksums.buffer)
  const images = bytes <= memoryBytes ? readImages(folder, record, crcs) : { path, checksums: crcs }
  return openStored({ record, labels: labels && new Int32Array(labels.buffer), images })
}

/** A small file, whole, in shared memory. */
function readShared(folder: string, record: DatasetRecord, name: string): Uint8Array {
  let bytes: Buffer
  try {
    bytes = readFileSync(join(folder, name))
  } catch (cause) {
    throw new ImmiscibleError('DATASET', `${join(folder, name)}: cannot be read: ${(cause as Error).message}`, { cause })
  }
  expectBytes(folder, record, name, bytes.length)
  const actual = createHash('sha256').update(bytes).digest('hex')
  const expected = record.files[name].sha256
  if (actual !== expected) refuse(folder, name, `expected SHA-256 ${expected}, got ${actual}`)
  const copy = new Uint8Array(new SharedArrayBuffer(bytes.length))
  copy.set(bytes)
  return copy
}

function readImages(folder: string, record: DatasetRecord, checksums: Uint32Array): Uint8Array {
  const size = recordBytes(record)
  const images = new Uint8Array(new SharedArrayBuffer(record.files[IMAGES_FILE].bytes))
  const file = openSync(join(folder, IMAGES_FILE), 'r')
  try {
    for (let at = 0; at < images.length;) {
      const length = readSync(file, images, at, Math.min(CHUNK_BYTES, images.length - at), at)
      if (length === 0) refuse(folder, IMAGES_FILE, `expected ${images.length} bytes, got ${at}`)
      at += length
    }
  } finally {
    closeSync(file)
  }
  for (let index = 0; index < record.numImages; index++) {
    const actual = crc32(images.subarray(index * size, (index + 1) * size))
    if (actual !== checksums[index]) refuse(folder, IMAGES_FILE, `image ${index}: expected CRC-32 ${checksums[index]}, got ${actual}`)
  }
  return images
}

function expectBytes(folder: string, record: DatasetRecord, name: string, actual: number | undefined): void {
  const expected = record.files[name]?.bytes
  if (expected !== actual) refuse(folder, name, `expected ${expected} bytes, got ${actual ?? 'no file'}`)
}

function refuse(folder: string, name: string, what: string): never {
  throw new ImmiscibleError('DATASET', `${join(folder, name)} has changed since it was decoded: ${what}; ${advice(folder)}`)
}
