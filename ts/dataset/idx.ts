/** The MNIST family: images and labels in IDX files, plain or gzip. */
import { statSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { gunzip } from 'node:zlib'
import type { DatasetConfig } from '../../protocol/index.ts'
import { downloadsFolder } from '../cache-folder.ts'
import { fetchedPath, fileIdentity, refuseFile } from './files.ts'
import type { Chunk, DatasetSource } from './source.ts'

type IdxConfig = Extract<DatasetConfig, { kind: 'idx' }>

const NUM_CLASSES = 10
const CLASS_NAMES: Readonly<Record<IdxConfig['name'], readonly string[]>> = {
  mnist: Array.from({ length: NUM_CLASSES }, (_, digit) => String(digit)),
  'fashion-mnist': ['T-shirt/top', 'Trouser', 'Pullover', 'Dress', 'Coat', 'Sandal', 'Shirt', 'Sneaker', 'Bag', 'Ankle boot'],
}
const LICENCES: Readonly<Record<IdxConfig['name'], string>> = {
  mnist: 'none stated; LeCun, Cortes and Burges, The MNIST database of handwritten digits',
  'fashion-mnist': 'MIT; Xiao, Rasul and Vollgraf, 2017',
}
const PUBLISHED: Readonly<Record<IdxConfig['split'], number>> = { train: 60_000, test: 10_000, all: 70_000 }
/** Of a file, uncompressed: the largest of the family has 47 MB. */
const MAX_BYTES = 2 ** 28

/** Where its files are not there, or not what they should be: a DATASET error that names the file. */
export function openIdx({ path: configured, name, split }: IdxConfig): DatasetSource {
  const path = configured ?? fetchedPath(downloadsFolder(name), name)
  const prefixes = split === 'all' ? ['train', 't10k'] : [split === 'train' ? 'train' : 't10k']
  const parts = prefixes.map((prefix) => ({ images: find(path, `${prefix}-images`, 3), labels: find(path, `${prefix}-labels`, 1) }))
  return {
    name: split === 'train' ? name : `${name}-${split}`,
    source: path,
    licence: LICENCES[name],
    identity: { version: 1, split, name, files: parts.flatMap(({ images, labels }) => [fileIdentity(images), fileIdentity(labels)]) },
    async decode() {
      const read = await Promise.all(parts.map(readPart))
      const [{ height, width }] = read
      for (const part of read) {
        if (part.height !== height || part.width !== width)
          refuseFile(part.path, `images of ${height} x ${width}`, `${part.height} x ${part.width}`)
      }
      const numImages = read.reduce((sum, { labels }) => sum + labels.length, 0)
      const notes = () => (numImages === PUBLISHED[split] ? [] : [`${numImages} images: as published there are ${PUBLISHED[split]}`])
      return { imageShape: [1, height, width], classNames: CLASS_NAMES[name], numImages, chunks: read, notes }
    },
  }
}

/** With either of the two names that go about, plain before gzip. */
function find(folder: string, stem: string, numDims: number): string {
  const names = ['-', '.'].flatMap((dash) => ['', '.gz'].map((suffix) => `${stem}${dash}idx${numDims}-ubyte${suffix}`))
  const found = names.map((name) => join(folder, name)).find((path) => statSync(path, { throwIfNoEntry: false })?.isFile())
  return found ?? refuseFile(folder, `a folder with ${names[0]} (or ${names.slice(1).join(', ')})`, 'none of them')
}

async function readPart({
  images,
  labels,
}: {
  readonly images: string
  readonly labels: string
}): Promise<Required<Chunk> & { path: string; height: number; width: number }> {
  const { dims, data } = await readIdx(images, 3)
  const [numImages, height, width] = dims
  if (height === 0 || width === 0) refuseFile(images, 'images with pixels', `${height} x ${width}`)
  const { data: numbers } = await readIdx(labels, 1)
  if (numbers.length !== numImages) refuseFile(labels, `${numImages} labels`, String(numbers.length))
  const wrong = numbers.findIndex((label) => label >= NUM_CLASSES)
  if (wrong >= 0) refuseFile(labels, `labels 0 to ${NUM_CLASSES - 1}`, `${numbers[wrong]} of image ${wrong}`)
  return { path: images, data, labels: numbers, height, width }
}

/** Magic number (two zeros, the type, the number of dimensions), big-endian dimensions, bytes. */
async function readIdx(path: string, numDims: number): Promise<{ dims: number[]; data: Uint8Array }> {
  const bytes = await readUnzipped(path)
  const headerBytes = 4 + 4 * numDims
  if (bytes.length < headerBytes) refuseFile(path, `a header of ${headerBytes} bytes`, `${bytes.length} bytes: truncated?`)
  const magic = bytes.readUInt32BE()
  const expected = 0x0800 + numDims
  if (magic !== expected) refuseFile(path, `the magic number ${expected} of uint8 in ${numDims} dimensions`, String(magic))
  const dims = Array.from({ length: numDims }, (_, at) => bytes.readUInt32BE(4 + 4 * at))
  const length = dims.reduce((product, size) => product * size, 1)
  const data = bytes.subarray(headerBytes)
  if (data.length !== length) refuseFile(path, `${length} bytes for ${dims.join(' x ')}`, `${data.length}: truncated?`)
  return { dims, data }
}

async function readUnzipped(path: string): Promise<Buffer> {
  const { bytes } = fileIdentity(path)
  if (bytes > MAX_BYTES) refuseFile(path, `at most ${MAX_BYTES} bytes`, String(bytes))
  const content = await readFile(path)
  if (content.length < 2 || content.readUInt16BE() !== 0x1f8b) return content
  try {
    return await promisify(gunzip)(content, { maxOutputLength: MAX_BYTES })
  } catch (cause) {
    return refuseFile(path, 'a gzip file', `what cannot be inflated: ${(cause as Error).message}`, cause)
  }
}
