/** Data sets by name: what is downloaded for each, from where, and on what terms. */
import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { didYouMean } from '../../protocol/index.ts'
import { downloadsFolder } from '../cache-folder.ts'
import { ImmiscibleError } from '../errors.ts'
import { CATALOG, type CatalogEntry } from './catalog.ts'
import { computeDigest, type Checksum } from './checksum.ts'
import { downloadFile } from './download.ts'
import { fetchFromHub } from './hub.ts'
import { parseAddress } from './request.ts'

export interface FetchProgress {
  /** Its name, or its path in a data set of the Hub. */
  readonly file: string
  /** Those that were there before count. */
  readonly bytes: number
  /** undefined: the server does not say. */
  readonly total: number | undefined
}

export interface FetchOptions {
  /** A mirror: address of the folder that has the files; for the Hub its endpoint. Checksums are the same. */
  readonly url?: string | undefined
  /** Never opens a socket: answers what is there, or throws. So do IMMISCIBLE_OFFLINE=1 and HF_HUB_OFFLINE=1. */
  readonly offline?: boolean | undefined
  /** That you read the terms of a data set that has some, and accept them. */
  readonly acceptTerms?: boolean | undefined
  /** Of the Hub: branch, tag or commit. Default: main. */
  readonly revision?: string | undefined
  /** Of the Hub: only files whose name begins with it. Default: all. */
  readonly split?: string | undefined
  readonly signal?: AbortSignal | undefined
  readonly onProgress?: ((progress: FetchProgress) => void) | undefined
  /** One line about what a person should know: an attempt that failed, another process that is waited for. */
  readonly onNotice?: ((message: string) => void) | undefined
}

export interface Fetched {
  /** Paths, each with its checksum verified when it was downloaded. */
  readonly files: string[]
  /** Of the data; null: see its page on the Hub. */
  readonly licence: string | null
}

/**
 * Downloads the files of a data set: cifar10, cifar100, mnist, fashion-mnist, celeba, or OWNER/NAME on the Hugging Face Hub (parquet files).
 *
 * Goes on where an earlier call was cut off. What is there already is not downloaded again.
 *
 * @throws ImmiscibleError DATASET: one line that names the file, what was expected and from where; ABORTED by `signal`.
 */
export async function fetchDataset(name: string, options: FetchOptions = {}): Promise<Fetched> {
  try {
    const entry = Object.hasOwn(CATALOG, name) ? CATALOG[name] : undefined
    if (entry) return await fetchEntry(name, entry, options)
    if (/^\w[\w.-]*\/\w[\w.-]*$/.test(name)) return await fetchRepo(name, options)
  } catch (cause) {
    if (options.signal?.aborted) throw new ImmiscibleError('ABORTED', `${name}: aborted`, { cause: options.signal.reason })
    if (cause instanceof ImmiscibleError) throw cause
    throw new ImmiscibleError('DATASET', `${name}: ${(cause as Error).message}`, { cause })
  }
  const known = Object.keys(CATALOG)
  throw new ImmiscibleError('DATASET', `expected ${known.join(', ')} or OWNER/NAME on the Hub, got '${name}'${didYouMean(name, known)}`)
}

async function fetchRepo(repo: string, { url, revision = 'main', split, onProgress, ...options }: FetchOptions): Promise<Fetched> {
  const onFile = (file: string, bytes: number, total: number | undefined): void => onProgress?.({ file, bytes, total })
  const files = await fetchFromHub({ repo, revision, split, endpoint: url }, { ...options, onFile })
  return { files, licence: null }
}

/** Of one with files of its own. */
export async function fetchEntry(name: string, entry: CatalogEntry, options: FetchOptions): Promise<Fetched> {
  const { signal, onProgress, onNotice } = options
  for (const option of ['revision', 'split'] as const) {
    if (options[option] !== undefined)
      throw new ImmiscibleError('DATASET', `${name}: expected no ${option}, which only data sets of the Hub have, got '${options[option]}'`)
  }
  const folder = downloadsFolder(name)
  const paths = entry.files.map((file) => join(folder, file.name))
  const fetched = { files: paths, licence: entry.licence }
  const base = options.url ?? entry.base
  if (base === null || (entry.terms !== undefined && options.acceptTerms !== true)) {
    // They may have been put there by hand.
    for (const [at, { checksum }] of entry.files.entries()) await checkByHand(name, entry, paths[at], checksum, signal)
    return fetched
  }
  const from = parseAddress(base.endsWith('/') ? base : `${base}/`, name)
  for (const [at, { name: file, checksum }] of entry.files.entries()) {
    await downloadFile(
      { url: parseAddress(file, name, from), path: paths[at], checksum },
      { offline: options.offline, signal, onNotice, onProgress: (bytes, total) => onProgress?.({ file, bytes, total }) },
    )
  }
  return fetched
}

async function checkByHand(
  name: string,
  entry: CatalogEntry,
  path: string,
  { algorithm, digest }: Checksum,
  signal?: AbortSignal,
): Promise<void> {
  if (!existsSync(path)) throw new ImmiscibleError('DATASET', explainTerms(name, entry, dirname(path)))
  const got = await computeDigest(path, algorithm, signal)
  if (got !== digest) throw new ImmiscibleError('DATASET', `${path}: expected ${algorithm} ${digest}, got ${got}`)
}

function explainTerms(name: string, { files, page, terms }: CatalogEntry, folder: string): string {
  return `${name}: expected its terms to be accepted first, and the address of a mirror

${terms}

Either accept them (--accept-terms) and name the folder of a mirror that has the files (--url),
or download ${files.map((file) => file.name).join(', ')} from ${page} and put them into ${folder}`
}
