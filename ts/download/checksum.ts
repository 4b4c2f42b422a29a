/** Checksums of files, by which a downloaded file is known to be the one that was asked for. */
import { createHash } from 'node:crypto'
import { createReadStream, statSync } from 'node:fs'

export interface Checksum {
  /** git: the SHA-1 of git's blob, which is its length and its bytes. */
  readonly algorithm: 'md5' | 'sha256' | 'git'
  /** In lower-case hex. */
  readonly digest: string
}

/** Of a file's bytes, in hex. */
export async function computeDigest(path: string, algorithm: Checksum['algorithm'], signal?: AbortSignal): Promise<string> {
  const hash = createHash(algorithm === 'git' ? 'sha1' : algorithm)
  if (algorithm === 'git') hash.update(`blob ${statSync(path).size}\0`)
  for await (const chunk of createReadStream(path, { highWaterMark: 2 ** 20, ...(signal && { signal }) })) hash.update(chunk as Uint8Array)
  return hash.digest('hex')
}
