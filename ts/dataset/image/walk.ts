/** All files below a folder, each once: a link is followed only to what is hidden there. */
import { lstatSync, readdirSync, realpathSync, type Stats } from 'node:fs'
import { join, relative, sep } from 'node:path'
import { ImmiscibleError } from '../../errors.ts'
import { escapeControls } from '../files.ts'
import { isHidden } from './listing.ts'

export interface WalkedFile {
  /** From the folder on, with forward slashes. */
  readonly name: string
  readonly bytes: number
  /** Milliseconds, with the fraction that the system keeps. */
  readonly modifiedAt: number
}

export interface Walked {
  /** In no order. */
  readonly files: readonly WalkedFile[]
  /** Names of those at the top, empty ones too. */
  readonly folders: readonly string[]
}

/**
 * Hidden files and folders are left out, unless a link in the folder leads to them (as those of git-annex do). Throws a DATASET error that names a
 * link to what is read anyway, out of the folder or to nothing, what is neither file nor folder, what cannot be read, and a name that cannot be
 * printed.
 */
export function walkFolder(root: string): Walked {
  const files: WalkedFile[] = []
  const folders: string[] = []
  const top = realpathSync(root)
  const seen = new Set<string>()
  /** @param real the path of the folder, without links. */
  const walk = (folder: string, prefix: string, real: string): void => {
    for (const entry of attempt(folder, () => readdirSync(folder, { withFileTypes: true }))) {
      if (isHidden(entry.name)) continue
      const path = join(folder, entry.name)
      checkName(path, entry.name)
      const target = entry.isSymbolicLink() ? followLink(root, top, path) : join(real, entry.name)
      const stats = attempt(path, () => lstatSync(target))
      if (!stats.isFile() && !stats.isDirectory()) refuse(path, 'expected a file or folder, got something else')
      if (seen.has(target)) refuse(path, `expected a file or folder of its own, got ${pathIn(root, top, target)} once more`)
      seen.add(target)
      const name = prefix + entry.name
      if (stats.isFile()) files.push(describe(name, stats))
      else {
        if (prefix === '') folders.push(entry.name)
        walk(path, `${name}/`, target)
      }
    }
  }
  walk(root, '', top)
  return { files, folders }
}

/** The real path of its target, which is in the folder and not walked by itself. */
function followLink(root: string, top: string, path: string): string {
  let target: string
  try {
    target = realpathSync(path)
  } catch (cause) {
    const isMissing = (cause as NodeJS.ErrnoException).code === 'ENOENT'
    return refuse(
      path,
      isMissing ? 'expected a file or folder, got a link to nothing' : `cannot be read: ${(cause as Error).message}`,
      cause,
    )
  }
  if (target !== top && !target.startsWith(top + sep)) refuse(path, `expected a link within ${root}, got one to ${target}`)
  if (!relative(top, target).split(sep).some(isHidden)) {
    refuse(path, `expected a file or folder of its own, got a link to ${pathIn(root, top, target)}, which is read anyway`)
  }
  return target
}

function pathIn(root: string, top: string, target: string): string {
  return join(root, relative(top, target))
}

function checkName(path: string, name: string): void {
  if (/\p{Cc}/u.test(name)) refuse(path, 'expected a name without control characters')
  if (name.includes('\uFFFD')) refuse(path, 'its name is not UTF-8')
}

function describe(name: string, { size, mtimeMs }: Stats): WalkedFile {
  return { name, bytes: size, modifiedAt: mtimeMs }
}

function attempt<T>(path: string, run: () => T): T {
  try {
    return run()
  } catch (cause) {
    return refuse(path, `cannot be read: ${(cause as Error).message}`, cause)
  }
}

function refuse(path: string, what: string, cause?: unknown): never {
  throw new ImmiscibleError('DATASET', escapeControls(`${path}: ${what}`), { cause })
}
