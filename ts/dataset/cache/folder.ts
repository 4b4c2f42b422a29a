/** Where decoded data sets lie, and what is there. */
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { datasetRecord, type DatasetRecord } from '../../../protocol/index.ts'
import { cacheFolder } from '../../cache-folder.ts'
import { ImmiscibleError } from '../../errors.ts'

export const RECORD_FILE = 'dataset.json'
export const IMAGES_FILE = 'images.bin'
/** int32, little-endian. */
export const LABELS_FILE = 'labels.bin'
/** uint32, little-endian: the CRC-32 of each image. */
export const CHECKSUMS_FILE = 'crc32.bin'

/** A folder that is being written has it in its name. */
export const TEMPORARY = '.tmp-'

/** Of decoded data sets, one in each folder. */
export function datasetsFolder(): string {
  return join(cacheFolder(), 'datasets')
}

/** What a folder holds; undefined where there is none. Throws a DATASET error that names the file where it is not as written. */
export function readRecord(folder: string): DatasetRecord | undefined {
  const file = join(folder, RECORD_FILE)
  let text: string
  try {
    text = readFileSync(file, 'utf8')
  } catch (cause) {
    if (['ENOENT', 'ENOTDIR'].includes((cause as NodeJS.ErrnoException).code ?? '')) return undefined
    throw new ImmiscibleError('DATASET', `${file}: cannot be read: ${(cause as Error).message}`, { cause })
  }
  try {
    return datasetRecord.parse(JSON.parse(text))
  } catch (cause) {
    throw new ImmiscibleError('DATASET', `${file}: expected the record of a decoded data set; ${advice(folder)}`, { cause })
  }
}

/** An error of the file system at a path of the cache, in words and with what helps; any other as it is. */
export function explain(error: unknown): unknown {
  const { code, path } = error as NodeJS.ErrnoException
  if (error instanceof ImmiscibleError || code === undefined || path === undefined) return error
  const folder = datasetsFolder()
  return path.startsWith(folder) || folder.startsWith(path) ? explainCode(code, error) : error
}

/** Of a write that names no path. */
export function explainWrite(error: unknown): unknown {
  const { code } = error as NodeJS.ErrnoException
  return code === undefined ? error : explainCode(code, error)
}

function explainCode(code: string, cause: unknown): ImmiscibleError {
  const folder = datasetsFolder()
  const refuse = (message: string): ImmiscibleError => new ImmiscibleError('DATASET', `${folder}: ${message}`, { cause })
  if (code === 'ENOSPC' || code === 'EDQUOT') {
    return refuse('cannot be written: no space left; make room or set IMMISCIBLE_HOME to a folder on a disk with room')
  }
  const file = [cacheFolder(), folder].find((path) => statSync(path, { throwIfNoEntry: false })?.isDirectory() === false)
  if (file !== undefined) return refuse(`expected a folder, got the file ${file}; set IMMISCIBLE_HOME to a folder that you own`)
  return refuse(`cannot be used (${code}); set IMMISCIBLE_HOME to a folder that you own, on a disk that can be written`)
}

/** What helps where a cached file is not as it was written. */
export function advice(folder: string): string {
  return `remove ${folder}, and it is decoded again`
}

/** A decoded data set of the cache. */
export interface CachedCopy {
  /** Of its folder. */
  readonly name: string
  readonly folder: string
  /** undefined: its dataset.json is damaged. */
  readonly record: DatasetRecord | undefined
  /** What is wrong with its dataset.json. */
  readonly problem: string | undefined
}

/** All folders with a dataset.json, in the order of their names. */
export function listCached(): CachedCopy[] {
  return namesIn(datasetsFolder()).flatMap((name): CachedCopy[] => {
    const folder = join(datasetsFolder(), name)
    if (name.includes(TEMPORARY)) return []
    try {
      const record = readRecord(folder)
      return record ? [{ name, folder, record, problem: undefined }] : []
    } catch (error) {
      return [{ name, folder, record: undefined, problem: (error as Error).message }]
    }
  })
}

/** In order; none where there is no folder. */
export function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder).toSorted()
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
    throw explain(error)
  }
}
