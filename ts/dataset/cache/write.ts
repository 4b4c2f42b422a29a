/** Decodes a source into a folder of the cache: whole or not at all, and once where several processes ask for it. */
import { createHash, randomUUID } from 'node:crypto'
import { existsSync, mkdirSync, openSync, readdirSync, renameSync, rmSync, closeSync, fsyncSync } from 'node:fs'
import { open, writeFile } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { crc32 } from 'node:zlib'
import type { DatasetRecord } from '../../../protocol/index.ts'
import { ImmiscibleError } from '../../errors.ts'
import { withLock } from '../../lock.ts'
import type { Chunk, DatasetSource, Decoding } from '../source.ts'
import { recordBytes } from '../stored.ts'
import {
  CHECKSUMS_FILE,
  datasetsFolder,
  explain,
  explainWrite,
  IMAGES_FILE,
  LABELS_FILE,
  readRecord,
  RECORD_FILE,
  TEMPORARY,
} from './folder.ts'

export interface DatasetProgress {
  /** Of the source. */
  readonly name: string
  readonly numImages: number
  /** undefined: nobody knows yet. */
  readonly total: number | undefined
  /** Once, at the end. */
  readonly isDone: boolean
}

export interface BuildOptions {
  readonly signal?: AbortSignal | undefined
  readonly onProgress?: ((progress: DatasetProgress) => void) | undefined
  /** Called while another process decodes it. */
  readonly onWait?: ((pid: number) => void) | undefined
}

/** The folder of a source, decoded if it is not there yet. */
export async function cacheSource(source: DatasetSource, options: BuildOptions = {}): Promise<{ folder: string; record: DatasetRecord }> {
  const key = createHash('sha256').update(JSON.stringify(source.identity)).digest('hex').slice(0, 16)
  const folder = join(datasetsFolder(), `${source.name}-${key}`)
  const found = readRecord(folder)
  if (found) return { folder, record: found }
  const { signal, onWait } = options
  const lockOptions = {
    ...(signal && { signal }),
    ...(onWait && { onWait: ({ pid }: { readonly pid: number }) => onWait(pid) }),
  }
  return explained(() =>
    withLock(`${folder}.lock`, lockOptions, async () => {
      sweep(folder)
      const others = readRecord(folder)
      return { folder, record: others ?? (await build(source, () => folder, options)).record }
    }),
  )
}

/** For a source whose identity is what it gives: the folder has the name of its content, and may be there already. */
export async function cacheContent(source: DatasetSource, options: BuildOptions = {}): Promise<{ folder: string; record: DatasetRecord }> {
  return explained(() => build(source, ({ sha256 }) => contentFolder(source.name, sha256), options))
}

/** Where `cacheContent` puts it. */
export function contentFolder(name: string, sha256: string): string {
  return join(datasetsFolder(), `custom-${name.replaceAll(/[^\w.-]/g, '_')}-${sha256.slice(0, 16)}`)
}

async function explained<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    throw explain(error)
  }
}

/** What builders left that were killed: nobody else is there, since the lock is ours. */
function sweep(folder: string): void {
  for (const name of readdirSync(dirname(folder))) {
    if (name.startsWith(basename(folder) + TEMPORARY)) rmSync(join(dirname(folder), name), { recursive: true, force: true })
  }
}

async function build(
  source: DatasetSource,
  folderOf: (record: DatasetRecord) => string,
  { signal, onProgress }: BuildOptions,
): Promise<{ folder: string; record: DatasetRecord }> {
  mkdirSync(datasetsFolder(), { recursive: true })
  const placeholder = folderOf({ sha256: '' } as DatasetRecord)
  const temporary = `${placeholder}${TEMPORARY}${randomUUID()}`
  return withLock(`${temporary}.lock`, {}, () => buildIn(temporary, source, folderOf, { signal, onProgress }))
}

/** Its own lock says that somebody is at it; without one, it was left by a builder that was killed. */
async function buildIn(
  temporary: string,
  source: DatasetSource,
  folderOf: (record: DatasetRecord) => string,
  { signal, onProgress }: BuildOptions,
): Promise<{ folder: string; record: DatasetRecord }> {
  mkdirSync(temporary)
  try {
    const decoding = await source.decode({ signal })
    const record = await writeImages(source, decoding, temporary, { signal, onProgress })
    if (source.identityNow && JSON.stringify(source.identityNow()) !== JSON.stringify(source.identity))
      throw new ImmiscibleError('DATASET', `${source.source}: changed while it was decoded`)
    await writeFile(join(temporary, RECORD_FILE), `${JSON.stringify(record, null, 2)}\n`, { flush: true }).catch(refuseWrite)
    syncFolder(temporary)
    const folder = folderOf(record)
    place(temporary, folder)
    return { folder, record }
  } catch (cause) {
    const reason = explain(cause)
    if (reason instanceof ImmiscibleError || signal?.aborted) throw reason
    throw new ImmiscibleError('DATASET', `${source.source}: cannot be decoded: ${(cause as Error).message}`, { cause })
  } finally {
    rmSync(temporary, { recursive: true, force: true })
  }
}

/** One that is there already has the same content. */
function place(temporary: string, folder: string): void {
  if (existsSync(folder)) return
  try {
    renameSync(temporary, folder)
  } catch (error) {
    if (!existsSync(folder)) throw error
  }
  syncFolder(dirname(folder))
}

function syncFolder(folder: string): void {
  const handle = openSync(folder, 'r')
  try {
    fsyncSync(handle)
  } finally {
    closeSync(handle)
  }
}

async function writeImages(source: DatasetSource, decoding: Decoding, folder: string, options: BuildOptions): Promise<DatasetRecord> {
  const { imageShape, classNames, dtype = 'uint8', hasStd = false, hasMirrored = false } = decoding
  const scalingFactor = dtype === 'float32' ? (decoding.scalingFactor ?? 1) : null
  const layout = { name: source.name, imageShape, classNames: [...classNames], dtype, scalingFactor, hasStd, hasMirrored }
  const size = recordBytes({ ...layout, numImages: 0, sha256: '' })
  const pixelsHash = createHash('sha256')
  const checksums: number[] = []
  const labels: number[] = []
  await using file = await open(join(folder, IMAGES_FILE), 'wx')
  for await (const chunk of decoding.chunks) {
    options.signal?.throwIfAborted()
    checkChunk(source, chunk, size, checksums.length, labels.length, classNames.length)
    for (let at = 0; at < chunk.data.length; at += size) checksums.push(crc32(chunk.data.subarray(at, at + size)))
    for (let at = 0; at < (chunk.labels?.length ?? 0); at++) labels.push((chunk.labels as ArrayLike<number>)[at])
    pixelsHash.update(chunk.data)
    await file.writeFile(chunk.data).catch(refuseWrite)
    options.onProgress?.({ name: source.name, numImages: checksums.length, total: decoding.numImages, isDone: false })
  }
  const numImages = checksums.length
  if (numImages === 0) throw new ImmiscibleError('DATASET', `${source.source}: expected images, got none`)
  await file.sync().catch(refuseWrite)
  options.onProgress?.({ name: source.name, numImages, total: numImages, isDone: true })
  const imagesSha256 = pixelsHash.digest('hex')
  const files: Record<string, { bytes: number; sha256: string }> = {
    [IMAGES_FILE]: { bytes: numImages * size, sha256: imagesSha256 },
    [CHECKSUMS_FILE]: await writeNumbers(join(folder, CHECKSUMS_FILE), Uint32Array.from(checksums)),
    ...(labels.length > 0 && { [LABELS_FILE]: await writeNumbers(join(folder, LABELS_FILE), Int32Array.from(labels)) }),
  }
  const content = {
    numImages,
    imageShape: [...imageShape] satisfies DatasetRecord['imageShape'],
    dtype,
    scalingFactor,
    hasStd,
    hasMirrored,
    classNames: labels.length > 0 ? [...classNames] : [],
    files,
  }
  return {
    format: 'immiscible-dataset/1',
    name: source.name,
    source: source.source,
    licence: source.licence,
    ...content,
    notes: [...(decoding.notes?.() ?? [])],
    sha256: hashContent(content),
    identity: source.identity,
    createdAt: new Date().toISOString(),
  }
}

/** Of shape, images and labels, as the record has it. */
export function hashContent(
  record: Omit<DatasetRecord, 'format' | 'name' | 'source' | 'licence' | 'notes' | 'sha256' | 'identity' | 'createdAt'>,
): string {
  const { numImages, imageShape, dtype, hasStd, hasMirrored, classNames, files } = record
  const [images, labels] = [IMAGES_FILE, LABELS_FILE].map((name) => files[name]?.sha256 ?? '')
  const content = [numImages, ...imageShape, dtype, hasStd, hasMirrored, classNames.length, images, labels]
  return createHash('sha256').update(content.join(' ')).digest('hex')
}

/** A full disk says no path. */
function refuseWrite(error: unknown): never {
  throw explainWrite(error)
}

async function writeNumbers(path: string, numbers: Uint32Array | Int32Array): Promise<{ bytes: number; sha256: string }> {
  const bytes = new Uint8Array(numbers.buffer)
  await writeFile(path, bytes, { flush: true, flag: 'wx' }).catch(refuseWrite)
  return { bytes: bytes.length, sha256: createHash('sha256').update(bytes).digest('hex') }
}

function checkChunk(
  source: DatasetSource,
  { data, labels }: Chunk,
  size: number,
  seen: number,
  labelled: number,
  numClasses: number,
): void {
  const refuse = (what: string): never => {
    throw new ImmiscibleError('DATASET', `${source.source}: images from ${seen} on: ${what}`)
  }
  if (data.length % size !== 0) refuse(`expected a multiple of ${size} bytes, got ${data.length}`)
  const numImages = data.length / size
  if (labels ? labelled !== seen : labelled > 0) refuse('expected a label for every image, or for none')
  if (!labels) return
  if (labels.length !== numImages) refuse(`expected ${numImages} labels, got ${labels.length}`)
  for (let at = 0; at < labels.length; at++) {
    const label = labels[at]
    if (!Number.isInteger(label) || label < 0 || label >= numClasses) refuse(`expected labels 0 to ${numClasses - 1}, got ${label}`)
  }
}
