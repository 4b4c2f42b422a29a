/** Data sets that come with the package: raw pixels and labels beside a JSON sidecar that holds their shape and SHA-256. */
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { basename } from 'node:path'
import { fileURLToPath } from 'node:url'
import { ImmiscibleError } from '../errors.ts'

export interface Sidecar {
  readonly name: string
  readonly shape: readonly [number, number, number, number]
  readonly numClasses: number
  /** Names of the classes, where they have some. */
  readonly classes?: readonly string[]
  readonly source: string
  readonly licence: string
  readonly sha256: Readonly<Record<string, string>>
}

/** A data set as its files hold it: pixels encoded in the source's own way, one uint8 label per image. */
export interface Embedded {
  readonly sidecar: Sidecar
  readonly pixels: Uint8Array
  readonly labels: Int32Array
}

export function readSidecar(name: string, folder = new URL('embedded/', import.meta.url)): Sidecar {
  return JSON.parse(readBytes(new URL(`${name}.json`, folder)).toString('utf8')) as Sidecar
}

/** Reads `NAME.json`, the file of pixels and `NAME.labels.bin` of `folder`. No byte is used before its file's hash holds. */
export function readEmbedded(name: string, pixelFile: string, folder = new URL('embedded/', import.meta.url)): Embedded {
  const sidecar = readSidecar(name, folder)
  return {
    sidecar,
    pixels: readVerified(new URL(pixelFile, folder), sidecar),
    labels: Int32Array.from(readVerified(new URL(`${name}.labels.bin`, folder), sidecar)),
  }
}

function readVerified(file: URL, { sha256 }: Sidecar): Uint8Array {
  const bytes = readBytes(file)
  const path = fileURLToPath(file)
  const expected = sha256[basename(path)]
  const actual = createHash('sha256').update(bytes).digest('hex')
  if (actual !== expected)
    throw new ImmiscibleError('DATASET', `${path}: expected SHA-256 ${expected}, got ${actual}; install the package again`)
  return bytes
}

function readBytes(file: URL): Buffer {
  try {
    return readFileSync(file)
  } catch (error) {
    throw new ImmiscibleError('DATASET', `${fileURLToPath(file)}: cannot be read: ${(error as Error).message}`, { cause: error })
  }
}
