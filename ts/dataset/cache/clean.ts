/** Removes decoded data sets, and what killed builders left; nothing else, and nothing that somebody is at. */
import { randomUUID } from 'node:crypto'
import { existsSync, lstatSync, readdirSync, renameSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { findOwner, isAbandoned, removeAbandoned, tryLock } from '../../lock.ts'
import { datasetsFolder, explain, namesIn, TEMPORARY, type CachedCopy } from './folder.ts'

export interface Removal {
  /** Of the folder. */
  readonly name: string
  readonly folder: string
  /** `leftover`: what builders write before it is whole, and locks of processes that are gone. */
  readonly kind: 'copy' | 'leftover'
  readonly bytes: number
  /** The process that builds it, and for whose sake it was left; null: it is gone. */
  readonly heldBy: number | null
}

const LOCK = '.lock'
const UUID = String.raw`[\da-f]{8}(?:-[\da-f]{4}){3}-[\da-f]{12}`
const LEFTOVER = new RegExp(`${TEMPORARY.replaceAll('.', String.raw`\.`)}${UUID}$`)

/** @param isDryRun removes nothing, and answers what would be. */
export function cleanCache(copies: readonly CachedCopy[], isDryRun: boolean): Removal[] {
  const names = namesIn(datasetsFolder())
  const leftovers = names.filter((name) => LEFTOVER.test(name))
  // Those of what is removed go with it.
  const withLock = [...copies.map(({ name }) => name), ...leftovers]
  const locks = names.filter((name) => name.endsWith(LOCK) && !withLock.includes(name.slice(0, -LOCK.length)))
  try {
    return [
      ...copies.map(({ name, folder }) => remove(name, folder, 'copy', isDryRun)),
      ...leftovers.map((name) => remove(name, join(datasetsFolder(), name), 'leftover', isDryRun)),
      ...locks.flatMap((name) => removeLock(name, join(datasetsFolder(), name), isDryRun)),
    ]
  } catch (error) {
    throw explain(error)
  }
}

/** Of a process that is gone: nothing to say of others, at whose own folder that is said. */
function removeLock(name: string, folder: string, isDryRun: boolean): Removal[] {
  const bytes = bytesIn(folder)
  const isRemoved = isDryRun ? isAbandoned(folder) : removeAbandoned(folder)
  return isRemoved ? [{ name, folder, kind: 'leftover', bytes, heldBy: null }] : []
}

function remove(name: string, folder: string, kind: Removal['kind'], isDryRun: boolean): Removal {
  const removal = { name, folder, kind, bytes: bytesIn(folder) }
  const lockFolder = `${folder}${LOCK}`
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
