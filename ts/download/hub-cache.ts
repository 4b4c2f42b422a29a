/** The cache folder of the Hugging Face Hub, as Python's huggingface_hub lays it out: blobs by checksum, snapshots of links to them, refs by name. */
import {
  copyFileSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { hubCacheFolder } from '../cache-folder.ts'

const COMMIT = /^[0-9a-f]{40}$/

export interface HubCache {
  /** Of the data set: for people. */
  readonly folder: string
  readonly lockOf: (digest: string) => string
  readonly blobOf: (digest: string) => string
  readonly hasBlob: (digest: string, bytes: number) => boolean
  /** What a branch or tag was when it was last asked for; a commit is itself. */
  readonly readRef: (revision: string) => string | undefined
  readonly writeRef: (revision: string, commit: string) => void
  /** Paths of the files of a snapshot, as they are in the repository. */
  readonly list: (commit: string) => string[]
  readonly pathOf: (commit: string, path: string) => string
  /** Shows a blob in a snapshot, where it may be shown already. Returns its path there. */
  readonly place: (digest: string, commit: string, path: string) => string
}

/** @param repo OWNER/NAME of a data set. @param link for a file system without symbolic links the blob is copied. */
export function openHubCache(repo: string, link: typeof symlinkSync = symlinkSync): HubCache {
  const name = `datasets--${repo.replace('/', '--')}`
  const folder = join(hubCacheFolder(), name)
  const blobOf = (digest: string): string => join(folder, 'blobs', digest)
  const pathOf = (commit: string, path: string): string => join(folder, 'snapshots', commit, ...path.split('/'))
  return {
    folder,
    blobOf,
    pathOf,
    // Beside Python's own lock of a blob, DIGEST.lock, which is a file.
    lockOf: (digest) => join(hubCacheFolder(), '.locks', name, `${digest}.immiscible`),
    hasBlob: (digest, bytes) => statSync(blobOf(digest), { throwIfNoEntry: false })?.size === bytes,
    readRef(revision) {
      if (COMMIT.test(revision)) return revision
      try {
        const commit = readFileSync(join(folder, 'refs', revision), 'utf8').trim()
        return COMMIT.test(commit) ? commit : undefined
      } catch {
        return undefined
      }
    },
    writeRef(revision, commit) {
      if (revision === commit) return
      const file = join(folder, 'refs', revision)
      mkdirSync(dirname(file), { recursive: true })
      replace(file, (temporary) => writeFileSync(temporary, commit))
    },
    list(commit) {
      const snapshot = join(folder, 'snapshots', commit)
      try {
        const entries = readdirSync(snapshot, { recursive: true, encoding: 'utf8' })
        return entries.filter((entry) => statSync(join(snapshot, entry), { throwIfNoEntry: false })?.isFile()).map(withSlashes)
      } catch {
        return []
      }
    },
    place(digest, commit, path) {
      const [blob, file] = [blobOf(digest), pathOf(commit, path)]
      const target = relative(dirname(file), blob)
      if (isPlaced(file, target, blob)) return file
      mkdirSync(dirname(file), { recursive: true })
      replace(file, (temporary) => {
        try {
          link(target, temporary)
        } catch {
          copyFileSync(blob, temporary)
        }
      })
      return file
    },
  }
}

/** A link to the blob; or, where links are not possible, a copy. */
function isPlaced(file: string, target: string, blob: string): boolean {
  const stats = lstatSync(file, { throwIfNoEntry: false })
  if (!stats) return false
  return stats.isSymbolicLink() ? readlinkSync(file) === target : stats.size === statSync(blob).size
}

/** Others see the old file or the new one. */
function replace(file: string, write: (temporary: string) => void): void {
  const temporary = `${file}.tmp-${process.pid}`
  rmSync(temporary, { force: true })
  try {
    write(temporary)
    renameSync(temporary, file)
  } finally {
    rmSync(temporary, { force: true })
  }
}

function withSlashes(path: string): string {
  return path.replaceAll('\\', '/')
}
