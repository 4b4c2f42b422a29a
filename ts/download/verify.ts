/** Files that were downloaded, compared with the checksums of the catalog. */
import { statSync } from 'node:fs'
import { join } from 'node:path'
import { downloadsFolder } from '../cache-folder.ts'
import { CATALOG } from './catalog.ts'
import { computeDigest } from './checksum.ts'

export interface DownloadCheck {
  /** As `immiscible data fetch` takes it. */
  readonly name: string
  readonly folder: string
  /** Read and compared. */
  readonly bytes: number
  readonly problems: readonly { readonly file: string; readonly message: string }[]
}

/** Reads all that is there of each; a file that is not there is no problem. Changes nothing. */
export async function* verifyDownloads(
  names: readonly string[] = Object.keys(CATALOG),
  signal?: AbortSignal,
): AsyncGenerator<DownloadCheck> {
  for (const name of names) {
    const folder = downloadsFolder(name)
    const sizes = CATALOG[name].files.map((file) => ({
      ...file,
      bytes: statSync(join(folder, file.name), { throwIfNoEntry: false })?.size,
    }))
    const there = sizes.filter(({ bytes }) => bytes !== undefined)
    if (there.length === 0) continue
    const problems: { file: string; message: string }[] = []
    for (const { name: member, checksum } of there) {
      const file = join(folder, member)
      const got = await computeDigest(file, checksum.algorithm, signal)
      if (got !== checksum.digest) problems.push({ file, message: `expected ${checksum.algorithm} ${checksum.digest}, got ${got}` })
    }
    yield { name, folder, bytes: there.reduce((sum, { bytes = 0 }) => sum + bytes, 0), problems }
  }
}

/** Whether `immiscible data fetch` knows it as a name of its own. */
export function isInCatalog(name: string): boolean {
  return Object.hasOwn(CATALOG, name)
}
