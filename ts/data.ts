/** What `immiscible data` does: the data sets that there are, what is in them, whether they are as they were decoded, and their removal. */
import { statSync, writeFileSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { DATASET_KINDS, type DatasetKind, type DatasetRecord, type TrainConfigInput } from '../protocol/index.ts'
import { cleanCache, datasetsFolder, listCached, openCached, verifyCopy, type CachedCopy } from './dataset/cache/index.ts'
import type { CopyCheck, Removal as DatasetRemoval } from './dataset/cache/index.ts'
import { isOwnDataset, type OwnDataset } from './dataset/custom.ts'
import { drawSheet } from './dataset/image/sheet.ts'
import { countClasses, measureDataset, type ClassCount, type DatasetStatistics } from './dataset/statistics.ts'
import { openDescribed, openOwn, type BuildOptions, type DescribedDataset } from './dataset/table.ts'
import { isInCatalog, verifyDownloads } from './download/verify.ts'
import { ConfigError, ImmiscibleError } from './errors.ts'
import { resolveDataset } from './prepare.ts'

export type { DatasetRemoval }

/** A decoded copy, or the files of a download. */
export interface DatasetCheck extends CopyCheck {
  readonly kind: 'decoded' | 'download'
}

/** A decoded data set in the cache. */
export interface DatasetCopy {
  /** Of its folder: what `verify`, `info` and `clean` take. */
  readonly name: string
  readonly folder: string
  /** What is wrong with its dataset.json; null: nothing, and only then the rest is known. */
  readonly problem: string | null
  readonly contents: Pick<
    DatasetRecord,
    'name' | 'source' | 'licence' | 'numImages' | 'imageShape' | 'dtype' | 'classNames' | 'notes' | 'sha256' | 'createdAt'
  > | null
  /** Of its files, as recorded. */
  readonly bytes: number
}

export interface DatasetList {
  readonly kinds: readonly DatasetKind[]
  /** Where decoded copies lie. */
  readonly folder: string
  readonly copies: readonly DatasetCopy[]
}

/** What can be trained on, and what was decoded before. */
export function listDatasets(): DatasetList {
  return { kinds: DATASET_KINDS, folder: datasetsFolder(), copies: listCached().map(toCopy) }
}

function toCopy({ name, folder, record, problem }: CachedCopy): DatasetCopy {
  if (!record) return { name, folder, problem: problem ?? null, contents: null, bytes: 0 }
  const { format: _format, hasStd: _std, hasMirrored: _mirrored, files, identity: _identity, ...contents } = record
  return { name, folder, problem: null, contents, bytes: Object.values(files).reduce((sum, { bytes }) => sum + bytes, 0) }
}

/**
 * Reads decoded data sets whole and compares each byte with what was written, and downloads with their published checksums; each is answered as soon as it is done.
 * @param names of copies, of data sets (all copies of each) or their folders. Default: all.
 * @throws ConfigError where there is none of that name.
 */
export async function* verifyDatasets(names?: readonly string[], options: BuildOptions = {}): AsyncGenerator<DatasetCheck> {
  const downloads = names?.filter(isInCatalog)
  const isOnlyDownload = (name: string): boolean => isInCatalog(name) && listCached().every(({ record }) => record?.name !== name)
  const copies = names === undefined ? listCached() : chooseCopies(names.filter((name) => !isOnlyDownload(name)))
  for (const copy of copies) yield { kind: 'decoded', ...(await verifyCopy(copy, options)) }
  for await (const check of verifyDownloads(downloads, options.signal)) yield { kind: 'download', numImages: null, ...check }
}

export interface CleanOptions {
  /** Remove nothing, and answer what would be. */
  readonly isDryRun?: boolean
}

/**
 * Removes decoded data sets, which are decoded again when they are asked for, and what killed builders left. Nothing else is touched, and nothing that
 * a process is building; but a run that reads a copy from its file ends with an error.
 * @param names as in verifyDatasets(); `'all'`; or none, for what killed builders left alone.
 * @throws ConfigError where there is none of that name; nothing was removed then.
 */
export function cleanDatasets(names: readonly string[] | 'all', { isDryRun = false }: CleanOptions = {}): DatasetRemoval[] {
  return cleanCache(names === 'all' ? listCached() : chooseCopies(names), isDryRun)
}

function chooseCopies(names: readonly string[]): CachedCopy[] {
  const copies = listCached()
  const chosen = names.map((name) => {
    const found = copies.filter((copy) => copy.name === name || copy.record?.name === name || isSameFolder(copy.folder, name))
    return { name, found }
  })
  const unknown = chosen.filter(({ found }) => found.length === 0)
  if (unknown.length > 0) {
    const damaged = copies.filter(({ record }) => !record).map((copy) => copy.name)
    const message =
      `expected a decoded data set in ${datasetsFolder()}, got nothing of that name: \`immiscible data list\` shows them` +
      (damaged.length > 0 ? `; damaged ones go by the names of their folders: ${damaged.join(', ')}` : '')
    throw new ConfigError(unknown.map(({ name }) => ({ path: name, message })))
  }
  return copies.filter((copy) => chosen.some(({ found }) => found.includes(copy)))
}

function isSameFolder(folder: string, name: string): boolean {
  const [one, other] = [folder, resolve(name)].map((path) => statSync(path, { throwIfNoEntry: false }))
  return one !== undefined && one.ino === other?.ino && one.dev === other.dev
}

export interface DatasetDetails {
  readonly name: string
  readonly source: string
  readonly licence: string
  /** What decoding changed. */
  readonly notes: readonly string[]
  readonly numImages: number
  /** Channels, height, width. */
  readonly imageShape: readonly [number, number, number]
  /** uint8: pixels. float32: latents, as the network sees them. */
  readonly dtype: 'uint8' | 'float32'
  /** In the order of their numbers; empty without labels. */
  readonly classes: readonly ClassCount[]
  /** Over all images. */
  readonly statistics: readonly DatasetStatistics[]
  /** Of shape, images and labels. */
  readonly sha256: string
  /** In the cache; null: it comes with the package. */
  readonly folder: string | null
}

/** The section of a config, its kind alone, or a data set of your own; or a decoded copy, by what verifyDatasets() takes. */
export type InspectInput = TrainConfigInput['dataset'] | OwnDataset | { readonly copy: string }

export interface InspectOptions extends BuildOptions {
  /** As `pipeline.datasetBytes`: larger data sets are read from their file. Default: 2 GiB. */
  readonly memoryBytes?: number
  /** Called while it is measured, after decoding. */
  readonly onMeasure?: BuildOptions['onProgress']
}

/** Counts, labels and statistics of a data set, which is decoded first if it was not. Throws a DATASET error that names the file, or a ConfigError. */
export async function inspectDataset(input: InspectInput, options: InspectOptions = {}): Promise<DatasetDetails> {
  const { dataset, about, folder } = await open(input, options)
  const { name, numImages, imageShape, dtype, sha256 } = dataset
  const { signal, onMeasure } = options
  const statistics = await measureDataset(dataset, { signal, onProgress: onMeasure })
  const { source, licence, notes } = about
  const shape = { numImages, imageShape, dtype }
  return { name, source, licence, notes, ...shape, classes: countClasses(dataset), statistics, sha256, folder: folder ?? null }
}

/**
 * A PNG with images of a data set side by side: the first `numImages` of a fixed shuffle, small ones enlarged without smoothing.
 * Throws a DATASET error where they are no pixels of 1 or 3 channels, or the file cannot be written or does not end in .png.
 */
export async function writeContactSheet(input: InspectInput, file: string, numImages = 64, options: InspectOptions = {}): Promise<void> {
  const refuse = (message: string, cause?: unknown): never => {
    throw new ImmiscibleError('DATASET', `${resolve(file)}: ${message}`, { cause })
  }
  if (!file.toLowerCase().endsWith('.png')) refuse('expected a name that ends in .png for the sheet')
  if (statSync(file, { throwIfNoEntry: false })?.isDirectory()) refuse('expected a file for the sheet, got a folder')
  const folder = dirname(resolve(file))
  if (!statSync(folder, { throwIfNoEntry: false })?.isDirectory())
    refuse(`expected a file for the sheet in a folder, and ${folder} is none`)
  const { dataset } = await open(input, options)
  const sheet = await drawSheet(dataset, numImages)
  try {
    writeFileSync(file, sheet)
  } catch (cause) {
    refuse(`the sheet cannot be written (${(cause as NodeJS.ErrnoException).code})`, cause)
  }
}

const MEMORY_BYTES = 2 ** 31

async function open(input: InspectInput, { memoryBytes = MEMORY_BYTES, ...options }: InspectOptions): Promise<DescribedDataset> {
  if (typeof input === 'object' && 'copy' in input) return openCopy(input.copy, memoryBytes)
  if (isOwnDataset(input)) return openOwn(input, { ...options, memoryBytes })
  return openDescribed(resolveDataset(input), { ...options, memoryBytes })
}

function openCopy(name: string, memoryBytes: number): DescribedDataset {
  const [copy, ...others] = chooseCopies([name])
  if (others.length > 0) {
    const names = [copy, ...others].map((each) => each.name).join(', ')
    throw new ConfigError([{ path: name, message: `expected one decoded data set, got ${names}` }])
  }
  const { folder, record, problem } = copy
  if (!record) throw new ImmiscibleError('DATASET', problem ?? folder)
  return { dataset: openCached(folder, record, memoryBytes), about: record, folder }
}
