/** CIFAR-10 and CIFAR-100 (Krizhevsky, 2009): binary or Python version, as tar.gz or as folder. */
import { existsSync, statSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import type { DatasetConfig } from '../../protocol/index.ts'
import { MAX_MEMBER_BYTES } from './archive/member.ts'
import { readTar } from './archive/tar.ts'
import { readNumbers } from './dtype.ts'
import { downloadsFolder } from '../cache-folder.ts'
import { fetchedPath, fileIdentity, refuseFile } from './files.ts'
import { arrayOf, readPickle, textOf, type PickledArray } from './pickle.ts'
import type { Chunk, DatasetSource } from './source.ts'

type CifarConfig = Extract<DatasetConfig, { kind: 'cifar10' | 'cifar100' }>
type Split = CifarConfig['split']

/** One version of one of the two: its files, and what is in them. */
interface Version {
  readonly folder: string
  readonly meta: string
  readonly suffix: string
  readonly batches: Readonly<Record<Exclude<Split, 'all'>, readonly string[]>>
  readNames(meta: Uint8Array, path: string): string[]
  readBatch(batch: Uint8Array, path: string): Required<Chunk>
}

interface Batch {
  /** For errors: the file, or archive and member. */
  readonly path: string
  readonly name: string
  readonly bytes: Uint8Array
}

const SHAPE = [3, 32, 32] as const
const IMAGE_BYTES = 3072
const PUBLISHED: Readonly<Record<Split, number>> = { train: 50_000, test: 10_000, all: 60_000 }

const BATCHES: Readonly<Record<CifarConfig['kind'], Version['batches']>> = {
  cifar10: { train: [1, 2, 3, 4, 5].map((number) => `data_batch_${number}`), test: ['test_batch'] },
  cifar100: { train: ['train'], test: ['test'] },
}

/** Where its files are not there, or not what they should be: a DATASET error that names the file (and the member of an archive). */
export function openCifar(config: CifarConfig): DatasetSource {
  const { kind, split } = config
  const labels = config.kind === 'cifar100' ? config.labels : 'fine'
  const numClasses = kind === 'cifar10' ? 10 : labels === 'fine' ? 100 : 20
  const versions = [binaryVersion(kind, labels, numClasses), pythonVersion(kind, labels)]
  const path = config.path ?? fetchedPath(join(downloadsFolder(kind), `${kind.replace('cifar', 'cifar-')}-binary.tar.gz`), kind)
  const folder = statSync(path, { throwIfNoEntry: false })?.isDirectory() ? findFolder(path, versions) : undefined
  const identity = folder
    ? [folder.version.meta, ...filesOf(folder.version, split)].map((name) => fileIdentity(join(folder.path, name)))
    : [fileIdentity(path)]
  return {
    name: [kind, split !== 'train' && split, labels === 'coarse' && labels].filter(Boolean).join('-'),
    source: path,
    licence: 'none stated; cite Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009',
    identity: { version: 1, kind, split, labels, files: identity },
    async decode({ signal }) {
      const { version, meta } = folder ? await readMeta(folder) : await findMeta(path, versions, signal)
      const classNames = version.readNames(meta.bytes, meta.path)
      if (classNames.length !== numClasses) refuseFile(meta.path, `${numClasses} class names`, String(classNames.length))
      const files = filesOf(version, split)
      const batches = folder ? readFiles(folder.path, files) : readMembers(path, dirname(meta.member), files, signal)
      let numImages = 0
      async function* chunks(): AsyncGenerator<Chunk> {
        const counts = new Map<boolean, number>()
        for await (const batch of batches) {
          const chunk = version.readBatch(batch.bytes, batch.path)
          const count = checkBatch(batch.path, chunk, numClasses)
          const isTest = batch.name.startsWith('test')
          if (count !== (counts.get(isTest) ?? count))
            refuseFile(batch.path, `as many images as in the other batches, ${counts.get(isTest)}`, String(count))
          counts.set(isTest, count)
          numImages += count
          yield chunk
        }
      }
      const notes = () => (numImages === PUBLISHED[split] ? [] : [`${numImages} images: as published there are ${PUBLISHED[split]}`])
      return { imageShape: SHAPE, classNames, numImages: undefined, chunks: chunks(), notes }
    },
  }
}

function binaryVersion(kind: CifarConfig['kind'], labels: string, numClasses: number): Version {
  const isTen = kind === 'cifar10'
  const labelBytes = isTen ? 1 : 2
  const recordBytes = labelBytes + IMAGE_BYTES
  return {
    folder: isTen ? 'cifar-10-batches-bin' : 'cifar-100-binary',
    meta: isTen ? 'batches.meta.txt' : `${labels}_label_names.txt`,
    suffix: '.bin',
    batches: BATCHES[kind],
    readNames: (meta) =>
      Buffer.from(meta)
        .toString('utf8')
        .split(/\s*\n\s*/)
        .filter(Boolean)
        .slice(0, numClasses + 1),
    readBatch(batch, path) {
      const count = batch.length / recordBytes
      if (!Number.isInteger(count)) refuseFile(path, `whole records of ${recordBytes} bytes`, `${batch.length} bytes: truncated?`)
      const data = new Uint8Array(count * IMAGE_BYTES)
      // Of CIFAR-100 the coarse label comes first.
      const labelAt = labels === 'fine' ? labelBytes - 1 : 0
      for (let at = 0; at < count; at++) {
        data.set(batch.subarray(at * recordBytes + labelBytes, (at + 1) * recordBytes), at * IMAGE_BYTES)
      }
      return { data, labels: Array.from({ length: count }, (_, at) => batch[at * recordBytes + labelAt]) }
    },
  }
}

function pythonVersion(kind: CifarConfig['kind'], labels: string): Version {
  const isTen = kind === 'cifar10'
  return {
    folder: isTen ? 'cifar-10-batches-py' : 'cifar-100-python',
    meta: isTen ? 'batches.meta' : 'meta',
    suffix: '',
    batches: BATCHES[kind],
    readNames(meta, path) {
      const key = isTen ? 'label_names' : `${labels}_label_names`
      const names = readPickle(meta, path).get(key)
      if (!Array.isArray(names)) return refuseFile(path, `a list '${key}'`, 'none')
      return names.map((name) => textOf(name) ?? refuseFile(path, `names in '${key}'`, 'something else'))
    },
    readBatch(batch, path) {
      const pickle = readPickle(batch, path)
      const pixels = arrayOf(pickle.get('data'))
      if (pixels?.shape.length !== 2 || pixels.shape[1] !== IMAGE_BYTES || pixels.dtype.kind !== 'u' || pixels.dtype.bytes !== 1) {
        return refuseFile(path, `'data', an array of uint8, N x ${IMAGE_BYTES}`, pixels ? pixels.shape.join(' x ') : 'none')
      }
      const key = isTen ? 'labels' : `${labels}_labels`
      const value = pickle.get(key)
      const array = arrayOf(value)
      const numbers = array?.shape.length === 1 && array.dtype.kind !== 'f' ? [...readNumbers(array.data, array.dtype)] : value
      if (!Array.isArray(numbers)) return refuseFile(path, `a list '${key}'`, 'none')
      return { data: rowsOf(pixels), labels: numbers as number[] }
    },
  }
}

/** Row after row, whatever the order in memory was. */
function rowsOf({ data, shape: [rows, columns], isFortran }: PickledArray): Uint8Array {
  if (!isFortran) return data
  const ordered = new Uint8Array(data.length)
  for (let column = 0; column < columns; column++) {
    for (let row = 0; row < rows; row++) ordered[row * columns + column] = data[column * rows + row]
  }
  return ordered
}

/** @returns the number of images. */
function checkBatch(path: string, { data, labels }: Required<Chunk>, numClasses: number): number {
  const count = data.length / IMAGE_BYTES
  if (labels.length !== count) refuseFile(path, `${count} labels`, String(labels.length))
  for (let at = 0; at < count; at++) {
    const label = labels[at]
    if (!Number.isInteger(label) || label < 0 || label >= numClasses)
      refuseFile(path, `labels 0 to ${numClasses - 1}`, `${String(label)} of image ${at}`)
  }
  return count
}

function filesOf({ batches, suffix }: Version, split: Split): string[] {
  const names = split === 'all' ? [...batches.train, ...batches.test] : batches[split]
  return names.map((name) => name + suffix)
}

/** The folder itself, or one below it with the name that it has in the archive. */
function findFolder(path: string, versions: readonly Version[]): { path: string; version: Version } {
  for (const version of versions) {
    const found = [path, join(path, version.folder)].find((folder) => existsSync(join(folder, version.meta)))
    if (found) return { path: found, version }
  }
  return refuseFile(path, versions.map(({ meta, folder }) => `${meta} (or ${join(folder, meta)})`).join(' or '), 'neither')
}

async function readMeta({ path, version }: { path: string; version: Version }) {
  return { version, meta: { ...(await readWhole(join(path, version.meta))), member: '' } }
}

/** The first that comes tells the version. */
async function findMeta(path: string, versions: readonly Version[], signal: AbortSignal | undefined) {
  const versionOf = (name: string) => versions.find(({ meta }) => meta === basename(name))
  for await (const { name, data } of readTar(path, { wants: (member) => versionOf(member) !== undefined, signal })) {
    return { version: versionOf(name) as Version, meta: { path: `${path}: ${name}`, bytes: data, member: name } }
  }
  return refuseFile(path, `a member ${versions.map(({ meta }) => meta).join(' or ')}`, 'none')
}

async function* readFiles(folder: string, names: readonly string[]): AsyncGenerator<Batch> {
  for (const name of names) yield readWhole(join(folder, name))
}

async function readWhole(path: string): Promise<Batch> {
  const { bytes } = fileIdentity(path)
  if (bytes > MAX_MEMBER_BYTES) refuseFile(path, `at most ${MAX_MEMBER_BYTES} bytes`, String(bytes))
  return { path, name: basename(path), bytes: await readFile(path) }
}

/** In the order of `names`: those that come early wait in memory. The archive is read to its end, which tells whether it is whole. */
async function* readMembers(
  path: string,
  folder: string,
  names: readonly string[],
  signal: AbortSignal | undefined,
): AsyncGenerator<Batch> {
  const wanted = names.map((name) => (folder === '.' ? name : `${folder}/${name}`))
  const waiting = new Map<string, Uint8Array>()
  let next = 0
  for await (const { name, data } of readTar(path, { wants: (member) => wanted.includes(member), signal })) {
    waiting.set(name, data)
    for (let bytes = waiting.get(wanted[next]); bytes; bytes = waiting.get(wanted[next])) {
      waiting.delete(wanted[next])
      yield { path: `${path}: ${wanted[next]}`, name: names[next++], bytes }
    }
  }
  if (next < wanted.length) refuseFile(path, `a member ${wanted[next]}`, 'none')
}
