/** Checks a decoded data set of the cache, byte by byte: each file against its SHA-256, and the images against their table, which says which have changed. */
import { createHash } from 'node:crypto'
import { createReadStream, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { crc32 } from 'node:zlib'
import type { DatasetRecord } from '../../../protocol/index.ts'
import { recordBytes } from '../stored.ts'
import { CHECKSUMS_FILE, IMAGES_FILE, LABELS_FILE, RECORD_FILE, type CachedCopy } from './folder.ts'
import { hashContent, type BuildOptions } from './write.ts'

export interface CopyProblem {
  readonly file: string
  /** What was expected and what came. */
  readonly message: string
}

export interface CopyCheck {
  readonly name: string
  readonly folder: string
  /** null where its dataset.json is damaged. */
  readonly numImages: number | null
  /** Read and compared. */
  readonly bytes: number
  readonly problems: readonly CopyProblem[]
}

const CHUNK_BYTES = 2 ** 22
/** Named of those that have changed. */
const MAX_NAMED = 5

/** Reads everything. Changes nothing. */
export async function verifyCopy({ name, folder, record, problem }: CachedCopy, options: BuildOptions = {}): Promise<CopyCheck> {
  if (!record) {
    const file = join(folder, RECORD_FILE)
    return { name, folder, numImages: null, bytes: 0, problems: [{ file, message: (problem ?? '').replace(`${file}: `, '') }] }
  }
  const problems: CopyProblem[] = []
  const report = (file: string, message: string): void => void problems.push({ file: join(folder, file), message })
  checkRecord(record, (message) => report(RECORD_FILE, message))
  let bytes = 0
  let table: Buffer | undefined
  for (const file of [CHECKSUMS_FILE, LABELS_FILE, IMAGES_FILE].filter((known) => record.files[known])) {
    try {
      const path = join(folder, file)
      const content = file === IMAGES_FILE ? await readImages(path, record, table, options) : readWhole(path)
      bytes += content?.bytes ?? 0
      const isSame = checkFile(record, file, content, report)
      if (file === CHECKSUMS_FILE && isSame) table = content?.content
      if (file === LABELS_FILE && content?.content) checkLabels(record, content.content, report)
      if (content?.changed?.length) report(IMAGES_FILE, describeChanged(content.changed))
    } catch (error) {
      if (options.signal?.aborted) throw error
      report(file, `cannot be read: ${(error as Error).message}`)
    }
  }
  return { name, folder, numImages: record.numImages, bytes, problems }
}

interface Content {
  readonly bytes: number
  readonly sha256: string
  /** Of a small file. */
  readonly content?: Buffer
  /** Of the images, those whose CRC-32 is another. */
  readonly changed?: readonly number[]
}

/** What dataset.json says of the others must fit. */
function checkRecord(record: DatasetRecord, report: (message: string) => void): void {
  const { numImages, files, classNames, sha256 } = record
  const expected: readonly (readonly [file: string, bytes: number])[] = [
    [IMAGES_FILE, numImages * recordBytes({ ...record })],
    [CHECKSUMS_FILE, 4 * numImages],
    ...(classNames.length > 0 ? [[LABELS_FILE, 4 * numImages] as const] : []),
  ]
  for (const [file, bytes] of expected) {
    if (files[file]?.bytes !== bytes)
      report(`${file}: expected ${bytes} bytes for ${numImages} images, got ${files[file]?.bytes ?? 'no entry'}`)
  }
  const actual = hashContent(record)
  if (actual !== sha256) report(`expected SHA-256 ${sha256} of shape, images and labels, got ${actual}`)
}

function readWhole(path: string): Content | undefined {
  if (!statSync(path, { throwIfNoEntry: false })) return undefined
  const content = readFileSync(path)
  return { bytes: content.length, sha256: createHash('sha256').update(content).digest('hex'), content }
}

function checkFile(
  { files }: DatasetRecord,
  name: string,
  actual: Content | undefined,
  report: (file: string, message: string) => void,
): boolean {
  const { bytes, sha256 } = files[name]
  if (actual?.bytes !== bytes) report(name, `expected ${bytes} bytes, got ${actual?.bytes ?? 'no file'}`)
  else if (actual.sha256 !== sha256) report(name, `expected SHA-256 ${sha256}, got ${actual.sha256}`)
  return actual?.bytes === bytes && actual.sha256 === sha256
}

function checkLabels({ classNames }: DatasetRecord, content: Buffer, report: (file: string, message: string) => void): void {
  for (let at = 0; at + 4 <= content.length; at += 4) {
    const label = content.readInt32LE(at)
    if (label >= 0 && label < classNames.length) continue
    report(LABELS_FILE, `image ${at / 4}: expected a label of ${classNames.length} classes, got ${label}`)
    return
  }
}

async function readImages(
  path: string,
  record: DatasetRecord,
  table: Buffer | undefined,
  { signal, onProgress }: BuildOptions,
): Promise<Content | undefined> {
  if (!statSync(path, { throwIfNoEntry: false })) return undefined
  const { name, numImages } = record
  const size = recordBytes(record)
  const hash = createHash('sha256')
  const changed: number[] = []
  let [bytes, crc] = [0, 0]
  for await (const chunk of createReadStream(path, { highWaterMark: CHUNK_BYTES, ...(signal && { signal }) }) as AsyncIterable<Buffer>) {
    hash.update(chunk)
    for (let at = 0; at < chunk.length;) {
      const part = chunk.subarray(at, at + size - (bytes % size))
      crc = crc32(part, crc)
      at += part.length
      bytes += part.length
      if (bytes % size > 0) continue
      const index = bytes / size - 1
      if (table && index < numImages && table.readUInt32LE(4 * index) !== crc) changed.push(index)
      crc = 0
    }
    onProgress?.({ name, numImages: Math.floor(bytes / size), total: numImages, isDone: false })
  }
  onProgress?.({ name, numImages: Math.floor(bytes / size), total: numImages, isDone: true })
  return { bytes, sha256: hash.digest('hex'), changed }
}

function describeChanged(changed: readonly number[]): string {
  const named = changed.slice(0, MAX_NAMED).join(', ')
  const more = changed.length > MAX_NAMED ? ` and ${changed.length - MAX_NAMED} more` : ''
  return `${changed.length === 1 ? 'image' : 'images'} ${named}${more}: expected the CRC-32 of ${CHECKSUMS_FILE}, got another`
}
