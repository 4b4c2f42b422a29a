/** Data sets of the Hugging Face Hub: their parquet files, of one revision, into the Hub's own cache. */
import { ImmiscibleError } from '../errors.ts'
import type { Checksum } from './checksum.ts'
import { downloadFile, type TransferOptions } from './download.ts'
import { openHubCache, type HubCache } from './hub-cache.ts'
import { get, isOffline, parseAddress, publicAddress, type Authorization } from './request.ts'
import { retrying } from './retry.ts'

const ENDPOINT = 'https://huggingface.co'
/** Of one page of a list. */
const MAX_LIST_BYTES = 64 * 2 ** 20
const MAX_PAGES = 1000

export interface HubDataset {
  readonly repo: string
  /** Branch, tag or commit. */
  readonly revision: string
  /** undefined: all of them. */
  readonly split: string | undefined
  /** undefined: HF_ENDPOINT, or the Hub itself. */
  readonly endpoint: string | undefined
}

export interface HubOptions extends Omit<TransferOptions, 'onProgress' | 'authorization' | 'explain'> {
  readonly onFile?: ((file: string, bytes: number, total: number | undefined) => void) | undefined
}

interface HubFile {
  readonly path: string
  readonly bytes: number
  readonly checksum: Checksum
}

/** Downloads what is not there yet. Returns the paths in the snapshot, sorted. */
export async function fetchFromHub(dataset: HubDataset, options: HubOptions): Promise<string[]> {
  const { repo, revision, split } = dataset
  if (!/^[\w.-]+(\/[\w.-]+)*$/.test(revision) || hasDots(revision))
    throw new ImmiscibleError('DATASET', `${repo}: expected a branch, tag or commit, got ${JSON.stringify(revision)}`)
  const cache = openHubCache(repo)
  if (isOffline(options.offline)) return findOffline(dataset, cache)
  const endpoint = parseAddress(dataset.endpoint ?? (process.env['HF_ENDPOINT'] || ENDPOINT), 'HF_ENDPOINT')
  const base = endpoint.href.replace(/\/+$/, '')
  const token = process.env['HF_TOKEN']?.trim()
  const authorization = token ? { origin: endpoint.origin, value: `Bearer ${token}` } : undefined
  const asking = {
    ...options,
    ...(authorization && { authorization }),
    explain: (status: number) => explain(status, base, dataset, authorization),
  }
  const commit = await findCommit(`${base}/api/datasets/${repo}/revision/${encodeURIComponent(revision)}`, asking)
  const all = await listFiles(`${base}/api/datasets/${repo}/tree/${commit}?recursive=true`, asking)
  const files = pickSplit(repo, all, split)
  const paths: string[] = []
  for (const { path, bytes, checksum } of files) {
    const { digest } = checksum
    const onProgress = (done: number, total: number | undefined): void => options.onFile?.(path, done, total)
    if (!cache.hasBlob(digest, bytes)) {
      const url = parseAddress(`${base}/datasets/${repo}/resolve/${commit}/${path.split('/').map(encodeURIComponent).join('/')}`, repo)
      await downloadFile({ url, path: cache.blobOf(digest), checksum, bytes, lock: cache.lockOf(digest) }, { ...asking, onProgress })
    }
    paths.push(cache.place(digest, commit, path))
  }
  cache.writeRef(revision, commit)
  return paths
}

/** What an earlier call left; a file of several that is not there is missed by the numbers in their names. */
function findOffline({ repo, revision, split }: HubDataset, cache: HubCache): string[] {
  const missing = (what: string): never => {
    throw new ImmiscibleError(
      'DATASET',
      `${cache.folder}: expected ${what} of ${repo} at ${revision}, got nothing there; offline, so the Hub was not asked`,
    )
  }
  const commit = cache.readRef(revision) ?? missing('a snapshot')
  const found = cache.list(commit).filter(isParquet).toSorted()
  if (found.length === 0) missing('parquet files')
  const picked = pickSplit(
    repo,
    found.map((path) => ({ path })),
    split,
  ).map(({ path }) => path)
  for (const path of picked) {
    const [, before, count, after] = /^(.*-)\d{5}-of-(\d{5})(.*)$/.exec(path) ?? []
    for (let at = 0; at < Number(count ?? 0); at++) {
      const sibling = `${before}${String(at).padStart(5, '0')}-of-${count}${after}`
      if (!picked.includes(sibling)) missing(sibling)
    }
  }
  return picked.map((path) => cache.pathOf(commit, path))
}

/** `train-00000-of-00002.parquet`, `train.parquet`, `train/0000.parquet`: as the data set is read. A single file is taken whole. */
function pickSplit<T extends { readonly path: string }>(repo: string, files: readonly T[], split: string | undefined): readonly T[] {
  if (split === undefined || files.length === 1) return files
  const picked = files.filter(({ path }) => isOfSplit(path, split))
  if (picked.length > 0) return picked
  const names = files.slice(0, 10).map(({ path }) => path)
  const message = `${repo}: expected parquet files whose name begins with '${split}', got ${names.join(', ')}${files.length > 10 ? ', ...' : ''}`
  throw new ImmiscibleError('DATASET', message)
}

function isOfSplit(path: string, split: string): boolean {
  const [file = '', folder] = path.split('/').toReversed()
  return folder === split || (file.startsWith(split) && !/^\w/.test(file.slice(split.length)))
}

async function findCommit(address: string, options: TransferOptions): Promise<string> {
  const { body } = await getJson(address, options)
  const { sha } = (body ?? {}) as { readonly sha?: unknown }
  if (typeof sha === 'string' && /^[0-9a-f]{40}$/.test(sha)) return sha
  throw new ImmiscibleError('DATASET', `${address}: expected a commit, got ${JSON.stringify(sha)}`)
}

/** The parquet files, sorted by path. */
async function listFiles(address: string, options: TransferOptions): Promise<HubFile[]> {
  const files: HubFile[] = []
  let next: string | undefined = address
  for (let pages = 0; next !== undefined; pages++) {
    if (pages === MAX_PAGES) throw new ImmiscibleError('DATASET', `${address}: expected at most ${MAX_PAGES} pages, got more`)
    const { body, link }: { body: unknown; link: string | undefined } = await getJson(next, options)
    if (!Array.isArray(body)) throw new ImmiscibleError('DATASET', `${address}: expected a list of files, got ${typeof body}`)
    files.push(...body.filter(isParquetEntry).map((entry) => fileOf(entry, address)))
    const [, following] = /<([^>]+)>\s*;\s*rel="?next"?/.exec(link ?? '') ?? []
    next = following === undefined ? undefined : parseAddress(following, address, new URL(next)).href
  }
  if (files.length === 0)
    throw new ImmiscibleError(
      'DATASET',
      `${address}: expected parquet files, got none; refs/convert/parquet may be a revision that has them`,
    )
  return files.toSorted((a, b) => (a.path < b.path ? -1 : 1))
}

function isParquet(path: string): boolean {
  return path.endsWith('.parquet')
}

function isParquetEntry(entry: unknown): entry is { readonly path: string } {
  const { type, path } = (entry ?? {}) as { readonly type?: unknown; readonly path?: unknown }
  return type === 'file' && typeof path === 'string' && isParquet(path)
}

/** Of an entry of a list: what goes into names of files here is what it may be, or nothing. */
function fileOf(
  entry: { readonly path: string; readonly oid?: unknown; readonly size?: unknown; readonly lfs?: unknown },
  address: string,
): HubFile {
  const { path } = entry
  const lfs = entry.lfs as { readonly oid?: unknown; readonly size?: unknown } | undefined
  const { oid, size } = lfs ?? entry
  const refuse = (what: string): never => {
    throw new ImmiscibleError('DATASET', `${address}: ${JSON.stringify(path)}: ${what}`)
  }
  if (hasDots(path) || /[\\:\0]/.test(path)) refuse('expected a path within the data set')
  if (typeof size !== 'number' || !Number.isSafeInteger(size) || size < 0) refuse(`expected a size, got ${JSON.stringify(size)}`)
  const pattern = lfs ? /^[0-9a-f]{64}$/ : /^[0-9a-f]{40}$/
  if (typeof oid !== 'string' || !pattern.test(oid)) refuse(`expected a checksum, got ${JSON.stringify(oid)}`)
  return { path, bytes: size as number, checksum: { algorithm: lfs ? 'sha256' : 'git', digest: oid as string } }
}

/** An empty part is one of an absolute path. */
function hasDots(path: string): boolean {
  return path.split('/').some((part) => ['', '.', '..'].includes(part))
}

async function getJson(address: string, options: TransferOptions): Promise<{ body: unknown; link: string | undefined }> {
  const url = new URL(address)
  const where = publicAddress(url)
  return retrying(where, options, async () => {
    using answer = await get(url, [200], { ...options, headers: { accept: 'application/json' } })
    const chunks: Uint8Array[] = []
    let size = 0
    for await (const chunk of answer.body) {
      chunks.push(chunk)
      size += chunk.length
      if (size > MAX_LIST_BYTES) throw new ImmiscibleError('DATASET', `${where}: expected at most ${MAX_LIST_BYTES} bytes, got more`)
    }
    try {
      return { body: JSON.parse(Buffer.concat(chunks).toString('utf8')) as unknown, link: answer.headers.link as string | undefined }
    } catch (cause) {
      throw new ImmiscibleError('DATASET', `${where}: expected JSON, got something else`, { cause })
    }
  })
}

function explain(status: number, base: string, { repo, revision }: HubDataset, authorization: Authorization | undefined): string {
  if (status === 404) return `: expected the data set ${repo} with a revision ${revision}`
  if (status !== 401 && status !== 403) return ''
  const token = authorization
    ? 'HF_TOKEN may not read it'
    : 'it is not there, or not for everybody: set HF_TOKEN to a token that may read it'
  return `: ${token}; where it has terms, accept them at ${base}/datasets/${repo}`
}
