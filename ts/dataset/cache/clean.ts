/** Removes decoded data sets, and what killed builders left; nothing else, and nothing that somebody is at. */
import { randomUUID } from 'node:crypto'
import { existsSync, lstatSync, readdirSync, renameSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { findOwner, tryLock } from '../../lock.ts'
import { datasetsFolder, namesIn, TEMPORARY, type CachedCopy } from './folder.ts'

export interface Removal {
  /** Of the folder. */
  readonly name: string
  readonly folder: string
  /** `leftover`: of a builder that was killed. */
  readonly kind: 'copy' | 'leftover'
  readonly bytes: number
  /** The process that builds it, and for whose sake it was left; null: it is gone. */
  readonly heldBy: number | null
}

const UUID = String.raw`[\da-f]{8}(?:-[\da-f]{4}){3}-[\da-f]{12}`
const LEFTOVER = new RegExp(`${TEMPORARY.replaceAll('.', String.raw`\.`)}${UUID}$`)

/** @param isDryRun removes nothing, and answers what would be. */
export function cleanCache(copies: readonly CachedCopy[], isDryRun: boolean): Removal[] {
  const leftovers = namesIn(datasetsFolder()).filter((name) => LEFTOVER.test(name))
  return [
    ...copies.map(({ name, folder }) => remove(name, folder, 'copy', isDryRun)),
    ...leftovers.map((name) => remove(name, join(datasetsFolder(), name), 'leftover', isDryRun)),
  ]
}

function remove(name: string, folder: string, kind: Removal['kind'], isDryRun: boolean): Removal {
  const removal = { name, folder, kind, bytes: bytesIn(folder) }
  const lockFolder = `${folder}.lock`
  if (isDryRun) return { ...removal, heldBy: findOwner(lockFolder)?.pid ?? null }
  const taken = tryLock(lockFolder)
  if ('owner' in taken) return { ...removal, heldBy: taken.owner.pid }
  try {
    // Renamed first: one that is half removed must not look whole.
    const doomed = kind === 'copy' ? `${folder}${TEMPORARY}${randomUUID()}` : folder
    if (doomed !== folder && existsSync(folder)) renameSync(folder, doomed)
    rmSync(doomed, { recursive: true, force: true })
    return { ...removal, heldBy: null }
  } finally {
    taken.lock.release()
  }
}

/** Of its files; a link frees nothing. */
function bytesIn(folder: string): number {
  if (lstatSync(folder, { throwIfNoEntry: false })?.isDirectory() !== true) return 0
  return readdirSync(folder)
    .map((name) => lstatSync(join(folder, name), { throwIfNoEntry: false }))
    .reduce((sum, stats) => sum + (stats?.isFile() ? stats.size : 0), 0)
}
