/** Files of a source: what they are known by, and one clear error for those that are not there. */
import { existsSync, statSync, type Stats } from 'node:fs'
import { basename } from 'node:path'
import { ImmiscibleError } from '../errors.ts'

/** A file as it is known without being read: another size or time counts as another file. */
export interface FileIdentity {
  readonly name: string
  readonly bytes: number
  /** Milliseconds, with the fraction that the system keeps. */
  readonly modifiedAt: number
}

/** @param name as recorded; default: its base name. A folder that is moved as a whole keeps its identity. Throws a DATASET error where it is no file. */
export function fileIdentity(path: string, name: string = basename(path)): FileIdentity {
  const stats = statPath(path)
  if (!stats.isFile()) throw new ImmiscibleError('DATASET', `${path}: expected a file, got something else`)
  return { name, bytes: stats.size, modifiedAt: stats.mtimeMs }
}

/** Throws a DATASET error that names the path where there is nothing, or nothing that may be read. */
export function statPath(path: string): Stats {
  try {
    return statSync(path)
  } catch (cause) {
    const isMissing = (cause as NodeJS.ErrnoException).code === 'ENOENT'
    const what = isMissing ? 'expected a file or folder, got nothing there' : `cannot be read: ${(cause as Error).message}`
    throw new ImmiscibleError('DATASET', `${path}: ${what}`, { cause })
  }
}

/** For `dataset.path: null`. Throws a DATASET error that says what to do where nothing was downloaded. @param what as it is given to `immiscible data fetch`. */
export function fetchedPath(path: string, what: string): string {
  if (existsSync(path)) return path
  throw new ImmiscibleError(
    'DATASET',
    `${path}: expected the data set, got nothing there: run immiscible data fetch ${what}, or set dataset.path`,
  )
}

/** Throws the DATASET error for a file that is not what it should be. */
export function refuseFile(path: string, expected: string, got: string, cause?: unknown): never {
  throw new ImmiscibleError('DATASET', `${path}: expected ${expected}, got ${got}`, { cause })
}
