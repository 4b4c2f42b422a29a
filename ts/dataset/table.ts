/** Data sets by name: add a file and a row. */
import type { DatasetConfig, DatasetRecord } from '../../protocol/index.ts'
import { openArrays } from './arrays.ts'
import { cacheContent, cacheSource, listCached, openCached, type BuildOptions } from './cache/index.ts'
import { openCeleba } from './celeba.ts'
import { openCifar } from './cifar.ts'
import { findOwn, ownSource, type OwnDataset } from './custom.ts'
import type { Dataset } from './dataset.ts'
import { loadDigits } from './digits.ts'
import { readSidecar } from './embedded.ts'
import { loadEmoji } from './emoji.ts'
import { openIdx } from './idx.ts'
import { openImageFolder } from './image-folder.ts'
import { openParquet } from './parquet.ts'
import type { DatasetSource } from './source.ts'

type Of<K extends DatasetConfig['kind']> = Extract<DatasetConfig, { kind: K }>
type Embedded = 'digits' | 'emoji'

const EMBEDDED: { readonly [K in Embedded]: (config: Of<K>) => Dataset } = {
  digits: () => loadDigits(),
  emoji: ({ resolution }) => loadEmoji(resolution),
}

/** Those that are decoded, once, into the cache. */
const SOURCES: { readonly [K in Exclude<DatasetConfig['kind'], Embedded | 'custom'>]: (config: Of<K>) => DatasetSource } = {
  cifar10: openCifar,
  cifar100: openCifar,
  celeba: openCeleba,
  'image-folder': openImageFolder,
  arrays: openArrays,
  parquet: openParquet,
  idx: openIdx,
}

export interface OpenOptions extends BuildOptions {
  /** A larger data set stays in its file. Default: no limit. */
  readonly memoryBytes?: number
}

export type { BuildOptions, DatasetProgress } from './cache/index.ts'

/** What is opened and decoded for a section; undefined for what comes with the package, or with the caller. Throws a DATASET error where its files are not there. */
export function sourceOf(config: DatasetConfig): DatasetSource | undefined {
  if (isEmbedded(config) || config.kind === 'custom') return undefined
  const open = SOURCES[config.kind] as (config: DatasetConfig) => DatasetSource
  return { ...open(config), identityNow: () => open(config).identity }
}

/** A data set with what is known of it beside its images. */
export interface DescribedDataset {
  readonly dataset: Dataset
  readonly about: Pick<DatasetRecord, 'source' | 'licence' | 'notes'>
  /** Of the cache; undefined: it comes with the package. */
  readonly folder: string | undefined
}

/** The data set of a section, decoded if it is not in the cache yet. Throws a DATASET error that names the file. */
export async function openDataset(config: DatasetConfig, options: OpenOptions = {}): Promise<Dataset> {
  return (await openDescribed(config, options)).dataset
}

/** As openDataset(). */
export async function openDescribed(config: DatasetConfig, options: OpenOptions = {}): Promise<DescribedDataset> {
  if (isEmbedded(config)) {
    const { source, licence } = readSidecar(config.kind)
    const dataset = (EMBEDDED[config.kind] as (config: DatasetConfig) => Dataset)(config)
    return { dataset, about: { source, licence, notes: [] }, folder: undefined }
  }
  const source = sourceOf(config)
  const { folder, record } = source ? await cacheSource(source, options) : findOwn(config as Of<'custom'>)
  return { dataset: openCached(folder, record, options.memoryBytes ?? Infinity), about: record, folder }
}

/** A data set of the caller's, in the cache from now on. Throws a ConfigError for an object that is none. */
export async function openOwn(own: OwnDataset, options: OpenOptions = {}): Promise<DescribedDataset & { readonly folder: string }> {
  const { folder, record } = await cacheContent(ownSource(own), options)
  return { dataset: openCached(folder, record, options.memoryBytes ?? Infinity), about: record, folder }
}

/** The decoded copy of a data set whose files may be gone; undefined where there is none. */
export function openCopy(sha256: string, options: OpenOptions = {}): (DescribedDataset & { readonly folder: string }) | undefined {
  const copy = listCached().find(({ record }) => record?.sha256 === sha256)
  if (!copy?.record) return undefined
  const { folder, record } = copy
  return { dataset: openCached(folder, record, options.memoryBytes ?? Infinity), about: record, folder }
}

function isEmbedded(config: DatasetConfig): config is Of<Embedded> {
  return Object.hasOwn(EMBEDDED, config.kind)
}
