/** All files below a folder, links included as long as they stay within it. */
import { lstatSync, readdirSync, realpathSync, statSync, type Stats } from 'node:fs'
import { join, sep } from 'node:path'
import { ImmiscibleError } from '../../errors.ts'
import { isHidden } from './listing.ts'

export interface WalkedFile {
  /** From the folder on, with forward slashes. */
  readonly name: string
  readonly bytes: number
  /** Milliseconds, with the fraction that the system keeps. */
  readonly modifiedAt: number
}

/**
 * In no order. Hidden files and folders are left out. A link is followed where its target is in the folder; one to a folder that it is in itself ends
 * there. Throws a DATASET error that names a link that leads out of the folder or nowhere, what is neither file nor folder, and what cannot be read.
 */
export function walkFolder(root: string): WalkedFile[] {
  const files: WalkedFile[] = []
  const top = realpathSync(root)
  /** @param open real paths of the folders around it. */
  const walk = (folder: string, prefix: string, open: readonly string[]): void => {
    for (const entry of attempt(folder, () => readdirSync(folder, { withFileTypes: true }))) {
      if (isHidden(entry.name)) continue
      const path = join(folder, entry.name)
      const name = prefix + entry.name
      if (entry.isDirectory()) walk(path, `${name}/`, [...open, join(open[open.length - 1], entry.name)])
      else if (entry.isFile())
        files.push(
          describe(
            name,
            attempt(path, () => lstatSync(path)),
          ),
        )
      else if (entry.isSymbolicLink()) {
        const target = attempt(path, () => realpathSync(path))
        if (target !== top && !target.startsWith(top + sep)) refuse(path, `expected a link within ${root}, got one to ${target}`)
        const stats = attempt(path, () => statSync(path))
        if (stats.isFile()) files.push(describe(name, stats))
        else if (!stats.isDirectory()) refuse(path, 'expected a file or folder, got something else')
        else if (!open.includes(target)) walk(path, `${name}/`, [...open, target])
      } else refuse(path, 'expected a file or folder, got something else')
    }
  }
  walk(root, '', [top])
  return files
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
  throw new ImmiscibleError('DATASET', `${path}: ${what}`, { cause })
}
