/** A file that is not whole yet: FILE.partial, and beside it FILE.partial.json that says which version of what it is the beginning of. */
import { closeSync, fsyncSync, openSync, readFileSync, renameSync, rmSync, statSync } from 'node:fs'
import { open, statfs, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { ImmiscibleError } from '../errors.ts'

/** What a server said of the version that it sends. */
export interface Version {
  readonly url: string
  readonly etag: string | null
  readonly lastModified: string | null
  /** Bytes of the whole. */
  readonly total: number | null
}

export interface Partial {
  readonly file: string
  readonly size: number
  /** Of the bytes that are there; undefined: there are none. */
  readonly version: Version | undefined
  /** Empties it: what comes is the beginning of `version`. */
  restart(version: Version): Promise<void>
  append(bytes: Uint8Array): Promise<void>
  /** Throws a DATASET error where the disk has no room for so many bytes more. */
  checkRoom(bytes: number): Promise<void>
  /** Puts it in its place, durably. */
  finish(): Promise<void>
  /** Empties it; it is gone when it is closed. */
  clear(): Promise<void>
  [Symbol.asyncDispose](): Promise<void>
}

/** Of a file at `path`. What is there already is kept if it came from `url`. The caller holds the file's lock. */
export async function openPartial(path: string, url: string): Promise<Partial> {
  const file = `${path}.partial`
  const versionFile = `${file}.json`
  let version = readVersion(versionFile)
  if (version?.url !== url) {
    remove()
    version = undefined
  }
  const handle = await open(file, 'a')
  let { size } = await handle.stat()

  function remove(): void {
    rmSync(file, { force: true })
    rmSync(versionFile, { force: true })
  }

  async function writing<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work()
    } catch (cause) {
      if (!['ENOSPC', 'EDQUOT'].includes((cause as NodeJS.ErrnoException).code ?? '')) throw cause
      size = statSync(file).size
      throw new ImmiscibleError('DATASET', `${path}: the disk is full after ${size} bytes, which are kept: make room and start again`, {
        cause,
      })
    }
  }

  return {
    file,
    get size() {
      return size
    },
    get version() {
      return size > 0 ? version : undefined
    },
    restart(next) {
      return writing(async () => {
        // In this order, so that no byte is ever taken for one of another version.
        if (size > 0) await handle.truncate(0)
        size = 0
        version = next
        await writeFile(versionFile, JSON.stringify(next))
      })
    },
    append(bytes) {
      return writing(async () => {
        await handle.writeFile(bytes)
        size += bytes.length
      })
    },
    async checkRoom(bytes) {
      const { bavail, bsize, blocks } = await statfs(dirname(file))
      // Some network file systems say that they have no blocks at all.
      if (bytes <= bavail * bsize || blocks === 0) return
      throw new ImmiscibleError('DATASET', `${path}: expected room for ${bytes} bytes more on its disk, got ${bavail * bsize}`)
    },
    async finish() {
      await handle.sync()
      await handle.close()
      renameSync(file, path)
      rmSync(versionFile, { force: true })
      syncFolder(dirname(path))
    },
    async clear() {
      await handle.truncate(0)
      size = 0
    },
    async [Symbol.asyncDispose]() {
      await handle.close()
      if (size === 0) remove()
    },
  }
}

/** Unreadable: it was being written when the process was killed. */
function readVersion(file: string): Version | undefined {
  try {
    const { url, etag, lastModified, total } = JSON.parse(readFileSync(file, 'utf8')) as Record<keyof Version, unknown>
    if (typeof url !== 'string') return undefined
    return {
      url,
      etag: typeof etag === 'string' ? etag : null,
      lastModified: typeof lastModified === 'string' ? lastModified : null,
      total: typeof total === 'number' ? total : null,
    }
  } catch {
    return undefined
  }
}

/** Windows has no such call for folders. */
function syncFolder(folder: string): void {
  if (process.platform === 'win32') return
  const handle = openSync(folder, 'r')
  try {
    fsyncSync(handle)
  } finally {
    closeSync(handle)
  }
}
