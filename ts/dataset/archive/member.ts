/** Members of archives: which names and sizes are taken, and how the others are refused. Nothing of an archive is ever written to disk. */
import { ImmiscibleError } from '../../errors.ts'
import { escapeControls } from '../files.ts'

export interface Member {
  /** As in the archive, without `./`; with forward slashes. */
  readonly name: string
  /** Uncompressed. */
  readonly bytes: number
}

export interface ArchiveOptions {
  /** Of one member that is read, uncompressed. Default: 256 MiB. */
  readonly maxMemberBytes?: number
}

export const MAX_MEMBER_BYTES = 2 ** 28

/** Names the archive and its member. */
export function refuseMember(path: string, name: string, what: string, cause?: unknown): never {
  throw new ImmiscibleError('DATASET', `${path}: ${escapeControls(name)}: ${what}`, { cause })
}

/** The name, normalized; '' for the folder that holds everything. Throws a DATASET error for one that leads out of the archive. */
export function memberName(path: string, name: string): string {
  const segments = name.split('/')
  const isUnsafe = name === '' || /[\\\p{Cc}]/u.test(name) || name.startsWith('/') || /^[A-Za-z]:/.test(name) || segments.includes('..')
  if (isUnsafe) refuseMember(path, name, "expected a relative name, without '..', backslash or control characters")
  return segments.filter((segment) => segment !== '' && segment !== '.').join('/')
}

/** Throws a DATASET error for a member that is too large to be read at once. */
export function checkMemberBytes(path: string, { name, bytes }: Member, { maxMemberBytes = MAX_MEMBER_BYTES }: ArchiveOptions): void {
  if (bytes > maxMemberBytes) refuseMember(path, name, `expected at most ${maxMemberBytes} bytes, got ${bytes}`)
}
