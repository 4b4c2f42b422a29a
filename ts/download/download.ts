/** One file over HTTP, whole or not at all: goes on where it was cut off, and is in its place only when its checksum is right. */
import { existsSync, mkdirSync } from 'node:fs'
import { dirname } from 'node:path'
import { ImmiscibleError } from '../errors.ts'
import { withLock } from '../lock.ts'
import { computeDigest, type Checksum } from './checksum.ts'
import { openPartial, type Partial, type Version } from './partial.ts'
import { get, isOffline, publicAddress, type Answer, type RequestOptions } from './request.ts'
import { PassingError, retrying, type RetryOptions } from './retry.ts'

export interface Download {
  readonly url: URL
  /** Where it goes; its folder is made. */
  readonly path: string
  readonly checksum: Checksum
  /** Its length, where it is known before a server says so. */
  readonly bytes?: number
  /** A folder that one process at a time has. Default: PATH.lock. */
  readonly lock?: string
}

export interface TransferOptions extends Omit<RequestOptions, 'headers'>, RetryOptions {
  /** @param total undefined: the server does not say. Bytes that were there before count. */
  readonly onProgress?: ((bytes: number, total: number | undefined) => void) | undefined
}

/**
 * Brings a file to its place. One that is there with the right checksum is left alone, without a request; one with another is replaced.
 *
 * @throws ImmiscibleError DATASET, one line that names the file and where it was asked for; the signal's reason where it is aborted.
 */
export async function downloadFile(download: Download, options: TransferOptions = {}): Promise<void> {
  const { path, url, lock = `${path}.lock` } = download
  const { signal, onNotice } = options
  signal?.throwIfAborted()
  if (await isThere(download, { signal })) return
  if (isOffline(options.offline)) {
    const found = existsSync(path) ? 'a file with another checksum' : 'nothing there'
    throw new ImmiscibleError('DATASET', `${path}: expected the file, got ${found}; offline, so ${publicAddress(url)} was not asked`)
  }
  mkdirSync(dirname(path), { recursive: true })
  let isSaid = false
  const onWait = ({ pid }: { readonly pid: number }): void => {
    if (!isSaid) onNotice?.(`${path}: waiting for process ${pid}, which downloads it`)
    isSaid = true
  }
  await withLock(lock, { ...(signal && { signal }), onWait }, async () => {
    // Another process may have been faster.
    if (await isThere(download, options)) return
    await using partial = await openPartial(path, publicAddress(url))
    await retrying(
      path,
      options,
      () => transfer(download, partial, options),
      () => partial.size,
    )
    await check(download, partial, signal)
    await partial.finish()
  })
}

async function isThere({ path, checksum }: Download, { signal, onNotice }: Pick<TransferOptions, 'signal' | 'onNotice'>): Promise<boolean> {
  if (!existsSync(path)) return false
  const digest = await computeDigest(path, checksum.algorithm, signal)
  if (digest === checksum.digest) return true
  onNotice?.(`${path}: expected ${checksum.algorithm} ${checksum.digest}, got ${digest}: it is replaced`)
  return false
}

async function check({ url, path, checksum: { algorithm, digest } }: Download, partial: Partial, signal?: AbortSignal): Promise<void> {
  const got = await computeDigest(partial.file, algorithm, signal)
  if (got === digest) return
  const { size } = partial
  await partial.clear()
  const what = `expected ${algorithm} ${digest}, got ${got} (${size} bytes)`
  throw new ImmiscibleError('DATASET', `${path}: ${what} from ${publicAddress(url)}; nothing was kept`)
}

/** One attempt: what is missing, or all of it. */
async function transfer({ url, path, bytes }: Download, partial: Partial, options: TransferOptions): Promise<void> {
  const known = partial.version
  const whole = bytes ?? known?.total ?? undefined
  if (partial.size > 0 && partial.size === whole) return
  const validator = known && validatorOf(known)
  const headers = known && { range: `bytes=${partial.size}-`, ...(validator && { 'if-range': validator }) }
  using answer = await get(url, known ? [200, 206, 416] : [200], { ...options, ...(headers && { headers }) })
  if (answer.status === 416) return await outOfRange(answer, partial, whole)
  const total = answer.status === 206 ? await continued(answer, partial) : declaredLength(answer)
  if (bytes !== undefined && total !== undefined && total !== bytes) {
    await partial.clear()
    throw new ImmiscibleError('DATASET', `${path}: expected ${bytes} bytes, got ${total} from ${publicAddress(url)}`)
  }
  if (answer.status === 200) {
    const { etag = null, 'last-modified': lastModified = null } = answer.headers
    await partial.restart({ url: publicAddress(url), etag, lastModified, total: total ?? null })
  }
  const expected = bytes ?? total
  if (expected !== undefined) await partial.checkRoom(expected - partial.size)
  options.onProgress?.(partial.size, expected)
  for await (const chunk of answer.body) {
    if (expected !== undefined && partial.size + chunk.length > expected) {
      await partial.clear()
      throw new ImmiscibleError('DATASET', `${path}: expected ${expected} bytes, got more from ${publicAddress(url)}`)
    }
    await partial.append(chunk)
    options.onProgress?.(partial.size, expected)
  }
  if (expected !== undefined && partial.size < expected) throw new PassingError(`expected ${expected} bytes, got ${partial.size}`)
}

/** Only what stands for the same bytes: a weak ETag does not. */
function validatorOf({ etag, lastModified }: Version): string | undefined {
  return etag !== null && !etag.startsWith('W/') ? etag : (lastModified ?? undefined)
}

function declaredLength({ headers: { 'content-length': length } }: Answer): number | undefined {
  return length === undefined ? undefined : Number(length)
}

/** The length of the whole, of an answer that begins where the partial file ends, in the same version. */
async function continued({ headers }: Answer, partial: Partial): Promise<number | undefined> {
  const [, start, total] = /^bytes (\d+)-\d+\/(\d+|\*)$/.exec(headers['content-range'] ?? '') ?? []
  const { etag, total: knownTotal } = partial.version as Version
  const isSame = (headers.etag ?? etag) === etag && (total === '*' || knownTotal === null || Number(total) === knownTotal)
  if (Number(start) === partial.size && isSame) return total === '*' ? (knownTotal ?? undefined) : Number(total)
  const message = `expected the bytes from ${partial.size} on of what was begun, got others`
  await partial.clear()
  throw new PassingError(message)
}

/** Nothing is left: the file is whole, or what was begun is not what the server has now. */
async function outOfRange({ headers }: Answer, partial: Partial, whole: number | undefined): Promise<void> {
  const [, total] = /^bytes \*\/(\d+)$/.exec(headers['content-range'] ?? '') ?? []
  if (partial.size === (whole ?? Number(total))) return
  const message = `expected bytes from ${partial.size} on, got the answer that there are none`
  await partial.clear()
  throw new PassingError(message)
}
