/** A data set of the user's own: an object that reads by number, or images one after the other. Stored once, known by its content. */
import { inspect } from 'node:util'
import { customDataset, didYouMean, type DatasetConfig } from '../../protocol/index.ts'
import { ConfigError, ImmiscibleError } from '../errors.ts'
import { contentFolder, readRecord } from './cache/index.ts'
import type { Dataset } from './dataset.ts'
import type { Chunk, DatasetSource } from './source.ts'

export interface OwnImage {
  /** uint8, channel, height, width. */
  readonly pixels: Uint8Array
  readonly label?: number
}

/** What any data set takes besides its images; see protocol/dataset.ts. */
type Augmentation = Partial<Omit<Extract<DatasetConfig, { kind: 'custom' }>, 'kind' | 'name' | 'sha256'>>

interface OwnShape {
  readonly name: string
  /** Channels, height, width. */
  readonly imageShape: readonly [number, number, number]
  /** Of labelled images; default 0. */
  readonly numClasses?: number
}

/** Images that are read by number, each once. */
export type OwnReadable = OwnShape & Pick<Dataset, 'numImages' | 'labels' | 'read'>
/** Images that come one after the other. */
export type OwnIterable = OwnShape & { readonly images: AsyncIterable<OwnImage> | Iterable<OwnImage> }
/** A data set of the caller's, with the options that any data set has. Read once, before training, into the cache. */
export type OwnDataset = (OwnReadable | OwnIterable) & Augmentation

export function isOwnDataset(dataset: unknown): dataset is OwnDataset {
  return typeof dataset === 'object' && dataset !== null && ('read' in dataset || 'images' in dataset) && !('kind' in dataset)
}

const OPTIONS = Object.keys(customDataset.shape).filter((key) => !['kind', 'name', 'sha256'].includes(key))

/** What is recorded of such an object. */
export function sectionOfOwn(own: OwnDataset): Augmentation & { kind: 'custom'; name: string } {
  const options = Object.entries(own).filter(([key, value]) => OPTIONS.includes(key) && value !== undefined)
  return { kind: 'custom', name: own.name, ...Object.fromEntries(options) }
}

/** What is wrong with the object, field by field, before any image is read. */
function checkOwn(own: OwnDataset): { readonly path: string; readonly message: string }[] {
  const given = own as unknown as Readonly<Record<string, unknown>>
  const { imageShape, numClasses = 0, numImages, labels, read, images } = given
  const isReadable = 'read' in own
  const expected: [field: string, holds: boolean, what: string, got: unknown][] = [
    ['imageShape', isShape(imageShape), 'three integers of at least 1 (channels, height, width)', imageShape],
    ['numClasses', isCount(numClasses, 0), 'an integer of at least 0', numClasses],
  ]
  if (isReadable) {
    expected.push(['numImages', isCount(numImages, 1), 'an integer of at least 1', numImages])
    expected.push(['read', typeof read === 'function', 'a function (index, out, offset)', read])
    const length = (labels as ArrayLike<number> | undefined)?.length
    const wanted =
      Number(numClasses) > 0 ? `${String(numImages)} labels, since numClasses is ${String(numClasses)}` : 'labels only with numClasses'
    expected.push(['labels', Number(numClasses) > 0 ? length === numImages : labels === undefined, wanted, length ?? 'none'])
  } else {
    const isIterable = typeof images === 'object' && images !== null && (Symbol.iterator in images || Symbol.asyncIterator in images)
    const got = typeof images === 'function' ? 'a function: call it' : images
    expected.push(['images', isIterable, 'an iterable or async iterable', got])
  }
  const known = ['name', 'imageShape', 'numClasses', ...(isReadable ? ['numImages', 'labels', 'read'] : ['images']), ...OPTIONS]
  // An object of a class may have what it likes beside them.
  const isPlain = Object.getPrototypeOf(own) === Object.prototype
  const unknown = isPlain ? Object.keys(given).filter((key) => !known.includes(key)) : []
  return [
    ...expected
      .filter(([, holds]) => !holds)
      .map(([field, , what, got]) => ({ path: `dataset.${field}`, message: `expected ${what}, got ${show(got)}` })),
    ...unknown.map((key) => ({ path: `dataset.${key}`, message: `unknown key${didYouMean(key, known)}` })),
  ]
}

function isCount(value: unknown, least: number): boolean {
  return typeof value === 'number' && Number.isInteger(value) && value >= least
}

function isShape(value: unknown): boolean {
  return Array.isArray(value) && value.length === 3 && value.every((side) => isCount(side, 1))
}

function show(value: unknown): string {
  if (value === undefined || value === null) return 'nothing'
  return typeof value === 'string' ? value : inspect(value, { depth: 0, breakLength: Infinity })
}

/** As any other source is decoded. Throws a ConfigError for what `checkOwn` finds. */
export function ownSource(own: OwnDataset): DatasetSource {
  const problems = checkOwn(own)
  if (problems.length > 0) throw new ConfigError(problems)
  const { name, imageShape, numClasses = 0 } = own
  const classNames = Array.from({ length: numClasses }, (_, label) => String(label))
  return {
    name,
    source: `the data set '${name}' of the caller`,
    licence: "the caller's own",
    identity: null,
    decode: async () =>
      'read' in own
        ? { imageShape, classNames, numImages: own.numImages, chunks: readOwn(own) }
        : { imageShape, classNames, numImages: undefined, chunks: chunksOf(own) },
  }
}

function* readOwn(own: OwnReadable): Generator<Chunk> {
  const { name, imageShape, numImages, labels } = own
  const bytes = imageShape.reduce((product, side) => product * side, 1)
  for (let index = 0; index < numImages; index++) {
    const data = new Uint8Array(bytes)
    const result = naming(name, index, () => own.read(index, data, 0)) as unknown
    if (result instanceof Promise) {
      result.catch(() => undefined)
      refuse(name, 'read: expected a function that is done when it returns, got a promise: an async iterator can wait')
    }
    yield labels ? { data, labels: [labels[index]] } : { data }
  }
}

async function* chunksOf({ name, imageShape, images, numClasses = 0 }: OwnIterable): AsyncGenerator<Chunk> {
  const bytes = imageShape.reduce((product, side) => product * side, 1)
  let index = 0
  let numLabels = 0
  for await (const image of numbered(name, images)) {
    const { pixels, label } = (image ?? {}) as Partial<OwnImage>
    if (!(pixels instanceof Uint8Array) || pixels.length !== bytes) {
      const got = pixels instanceof Uint8Array ? `${pixels.length} bytes` : ((pixels as object | undefined)?.constructor.name ?? 'nothing')
      refuse(name, `image ${index}: expected pixels, a Uint8Array of ${bytes} (${imageShape.join(' x ')}), got ${got}`)
    }
    if (label !== undefined && numClasses === 0) refuse(name, `image ${index}: expected no label without numClasses, got ${label}`)
    if (label !== undefined) numLabels++
    yield label === undefined ? { data: pixels } : { data: pixels, labels: [label] }
    index++
  }
  if (numClasses > 0 && numLabels === 0) refuse(name, `expected a label for every image, since numClasses is ${numClasses}, got none`)
}

/** What the caller's code throws is told with the image that it was asked for. */
async function* numbered(name: string, images: OwnIterable['images']): AsyncGenerator<OwnImage> {
  let index = 0
  try {
    for await (const image of images) {
      yield image
      index++
    }
  } catch (cause) {
    refuse(name, `image ${index}: ${messageOf(cause)}`, cause)
  }
}

function naming<T>(name: string, index: number, work: () => T): T {
  try {
    return work()
  } catch (cause) {
    return refuse(name, `image ${index}: ${messageOf(cause)}`, cause)
  }
}

function messageOf(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause)
}

function refuse(name: string, what: string, cause?: unknown): never {
  throw new ImmiscibleError('DATASET', `${name}: ${what}`, { cause })
}

/** Where a data set of a caller lies that was stored before. Throws a DATASET error where it does not. */
export function findOwn({ name, sha256 }: Extract<DatasetConfig, { kind: 'custom' }>) {
  const folder = sha256 === null ? undefined : contentFolder(name, sha256)
  const record = folder === undefined ? undefined : readRecord(folder)
  if (!folder || !record || record.sha256 !== sha256) {
    throw new ImmiscibleError(
      'DATASET',
      `the data set '${name}' is not in the cache (${folder ?? 'no sha256'}): expected the object itself, as 'dataset'`,
    )
  }
  return { folder, record }
}
