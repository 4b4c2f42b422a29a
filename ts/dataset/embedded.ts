/** Data sets that come with the package: raw pixels and labels beside a JSON sidecar that holds their shape and SHA-256. */
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { ImmiscibleError } from '../errors.ts'
import type { Dataset } from './dataset.ts'

interface Sidecar {
  readonly name: string
  readonly shape: readonly [number, number, number, number]
  readonly numClasses: number
  readonly sha256: Readonly<Record<string, string>>
}

/** Loads `NAME.json`, `NAME.u8.bin` and `NAME.labels.bin` of `folder`. No byte is used before its file's hash holds. */
export function loadEmbedded(name: string, folder = new URL('embedded/', import.meta.url)): Dataset {
  const sidecar = JSON.parse(readBytes(new URL(`${name}.json`, folder)).toString('utf8')) as Sidecar
  const [numImages, ...imageShape] = sidecar.shape
  const imageBytes = imageShape.reduce((product, size) => product * size, 1)
  const pixels = readVerified(new URL(`${name}.u8.bin`, folder), sidecar, numImages * imageBytes)
  const labels = Int32Array.from(readVerified(new URL(`${name}.labels.bin`, folder), sidecar, numImages))
  return {
    name,
    numImages,
    imageShape,
    labels,
    numClasses: sidecar.numClasses,
    sha256: createHash('sha256').update(sidecar.shape.join('x')).update(pixels).update(labels).digest('hex'),
    read(index, out, offset) {
      out.set(pixels.subarray(index * imageBytes, (index + 1) * imageBytes), offset)
    },
  }
}

function readVerified(file: URL, { sha256 }: Sidecar, byteLength: number): Uint8Array {
  const bytes = readBytes(file)
  const path = fileURLToPath(file)
  const expected = sha256[path.split(/[/\\]/).at(-1) as string]
  const actual = createHash('sha256').update(bytes).digest('hex')
  if (actual !== expected)
    throw new ImmiscibleError('DATASET', `${path}: expected SHA-256 ${expected}, got ${actual}; install the package again`)
  if (bytes.length !== byteLength) throw new ImmiscibleError('DATASET', `${path}: expected ${byteLength} bytes, got ${bytes.length}`)
  return bytes
}

function readBytes(file: URL): Buffer {
  try {
    return readFileSync(file)
  } catch (error) {
    throw new ImmiscibleError('DATASET', `${fileURLToPath(file)}: cannot be read: ${(error as Error).message}`, { cause: error })
  }
}
