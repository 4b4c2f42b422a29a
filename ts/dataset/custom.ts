/** A data set of the user's own: an object that reads by number, or images one after the other. Stored once, known by its content. */
import type { DatasetConfig } from '../../protocol/index.ts'
import { ImmiscibleError } from '../errors.ts'
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

/** What is recorded of such an object. */
export function sectionOfOwn(own: OwnDataset): Augmentation & { kind: 'custom'; name: string } {
  const { name, horizontalFlip, imageScale, randomCropPadding, paddingMode, randomResizedCrop, resizeFilter } = own
  const options = { horizontalFlip, imageScale, randomCropPadding, paddingMode, randomResizedCrop, resizeFilter }
  return { kind: 'custom', name, ...Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) }
}

/** As any other source is decoded. */
export function ownSource(own: OwnDataset): DatasetSource {
  const { name, imageShape, numClasses = 0 } = own
  if (imageShape.length !== 3 || !imageShape.every((side) => Number.isInteger(side) && side > 0)) {
    throw new ImmiscibleError(
      'DATASET',
      `${name}: imageShape: expected three integers of at least 1 (channels, height, width), got ${imageShape.join(',')}`,
    )
  }
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

function* readOwn({ imageShape, numImages, labels, read }: OwnReadable): Generator<Chunk> {
  const bytes = imageShape.reduce((product, side) => product * side, 1)
  for (let index = 0; index < numImages; index++) {
    const data = new Uint8Array(bytes)
    read(index, data, 0)
    yield labels ? { data, labels: [labels[index]] } : { data }
  }
}

async function* chunksOf({ name, imageShape, images }: OwnIterable): AsyncGenerator<Chunk> {
  const bytes = imageShape.reduce((product, side) => product * side, 1)
  let index = 0
  for await (const { pixels, label } of images) {
    if (!(pixels instanceof Uint8Array) || pixels.length !== bytes) {
      const got = pixels instanceof Uint8Array ? `${pixels.length} bytes` : ((pixels as object | undefined)?.constructor.name ?? 'nothing')
      throw new ImmiscibleError(
        'DATASET',
        `${name}: image ${index}: expected a Uint8Array of ${bytes} (${imageShape.join(' x ')}), got ${got}`,
      )
    }
    yield label === undefined ? { data: pixels } : { data: pixels, labels: [label] }
    index++
  }
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
