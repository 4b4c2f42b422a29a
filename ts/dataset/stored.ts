/** A data set from what is stored of it: in memory that all threads share, or in a file that is read by position. */
import { createHash } from 'node:crypto'
import { closeSync, openSync, readSync } from 'node:fs'
import { crc32 } from 'node:zlib'
import { ImmiscibleError } from '../errors.ts'
import type { Dataset, StoredDataset, StoredRecord } from './dataset.ts'

/** Bytes of one image as it is stored. */
export function recordBytes({ imageShape, dtype, hasStd, hasMirrored }: StoredRecord): number {
  const [channels, height, width] = imageShape
  return channels * height * width * (dtype === 'float32' ? 4 : 1) * (hasStd ? 2 : 1) * (hasMirrored ? 2 : 1)
}

/** Opens it on this thread. */
export function openStored(stored: StoredDataset): Dataset {
  const { record, labels, images } = stored
  const { name, numImages, imageShape, dtype, classNames, sha256 } = record
  const bytes = recordBytes(record)
  const read: Dataset['read'] =
    images instanceof Uint8Array
      ? (index, out, offset) => out.set(images.subarray(index * bytes, (index + 1) * bytes), offset)
      : (index, out, offset) => readChecked(images, index, out.subarray(offset, offset + bytes))
  const numClasses = labels ? classNames.length : 0
  return { name, numImages, imageShape, dtype, numClasses, sha256, stored, read, ...(labels && { labels }) }
}

/** A data set of pixels in memory, with labels or without. `pixels`: uint8, image, channel, height, width; `classes`: how many, or their names. Throws a DATASET error where the sizes do not fit. */
export function datasetOf(
  name: string,
  shape: readonly [number, number, number, number],
  pixels: Uint8Array,
  labels?: Int32Array,
  classes: number | readonly string[] = 0,
): Dataset {
  const [numImages, ...imageShape] = shape
  const imageBytes = imageShape.reduce((product, size) => product * size, 1)
  for (const [what, length, expected] of [
    ['pixels', pixels.length, numImages * imageBytes],
    ['labels', labels?.length ?? numImages, numImages],
  ] as const) {
    if (length !== expected) throw new ImmiscibleError('DATASET', `${name}: expected ${expected} ${what}, got ${length}`)
  }
  const record: StoredRecord = {
    name,
    numImages,
    imageShape,
    dtype: 'uint8',
    scalingFactor: null,
    hasStd: false,
    hasMirrored: false,
    classNames: typeof classes === 'number' ? Array.from({ length: classes }, (_, label) => String(label)) : [...classes],
    sha256: createHash('sha256')
      .update(shape.join('x'))
      .update(pixels)
      .update(labels ?? new Int32Array(0))
      .digest('hex'),
  }
  return openStored({ record, labels: labels && new Int32Array(shared(labels).buffer), images: shared(pixels) })
}

/** A copy in memory that other threads can read. */
function shared(bytes: Uint8Array | Int32Array): Uint8Array {
  const copy = new Uint8Array(new SharedArrayBuffer(bytes.byteLength))
  copy.set(new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength))
  return copy
}

/** Opened for each image: the system caches what counts, and nothing has to be closed by anybody. */
function readChecked({ path, checksums }: Exclude<StoredDataset['images'], Uint8Array>, index: number, out: Uint8Array): void {
  let file: number | undefined
  try {
    file = openSync(path, 'r')
    const length = readSync(file, out, 0, out.length, index * out.length)
    if (length < out.length) throw new Error(`image ${index} ends after ${length} of ${out.length} bytes`)
  } catch (cause) {
    throw new ImmiscibleError('DATASET', `${path}: cannot be read: ${(cause as Error).message}`, { cause })
  } finally {
    if (file !== undefined) closeSync(file)
  }
  const actual = crc32(out)
  if (actual !== checksums[index]) {
    throw new ImmiscibleError('DATASET', `${path}: image ${index} has changed: expected CRC-32 ${checksums[index]}, got ${actual}`)
  }
}
