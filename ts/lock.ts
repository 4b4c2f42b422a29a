/** A lock between processes of one machine: a folder that holds one file named after its owner. A dead owner's lock is taken over. */
import { randomUUID } from 'node:crypto'
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmdirSync,
  rmSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs'
import { hostname } from 'node:os'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

export interface LockOwner {
  readonly pid: number
  /** When the process started, where the system tells (Linux): a recycled pid is another process. */
  readonly processStart: string | null
  readonly host: string
}

export interface LockOptions {
  /** Called at each look at a lock that another process holds. */
  readonly onWait?: (owner: LockOwner, waitedMs: number) => void
  readonly pollMs?: number
  readonly signal?: AbortSignal
}

export interface Lock {
  /** Still ours: a lock that a person removed by hand, or that another machine took over, is not. */
  isHeld(): boolean
  /** Frees it; one that is no longer ours stays as it is. */
  release(): void
}

/** Takes the lock `folder`, or answers who has it. */
export function tryLock(folder: string): { readonly lock: Lock } | { readonly owner: LockOwner } {
  const ownerFile = `${randomUUID()}.json`
  while (!tryAcquire(folder, ownerFile)) {
    const held = readOwner(folder)
    if (held?.owner !== undefined && isAlive(held.owner)) return { owner: held.owner }
    clear(folder, held?.file)
  }
  return { lock: { isHeld: () => existsSync(join(folder, ownerFile)), release: () => clear(folder, ownerFile) } }
}

/** Who has the lock `folder`, if that process lives: of one on another machine nothing can be known. Takes nothing. */
export function findOwner(folder: string): LockOwner | undefined {
  const owner = readOwner(folder)?.owner
  return owner !== undefined && isAlive(owner) ? owner : undefined
}

/** Whether the lock `folder` is there, and its owner is a process that has ended. One without a readable owner is not taken for a lock. */
export function isAbandoned(folder: string): boolean {
  const owner = readOwner(folder)?.owner
  return owner !== undefined && !isAlive(owner)
}

/** Removes it if it is abandoned. Answers whether it was. */
export function removeAbandoned(folder: string): boolean {
  const held = readOwner(folder)
  if (held?.owner === undefined || isAlive(held.owner)) return false
  clear(folder, held.file)
  return true
}

/**
 * Runs `work` while no other process that asks for the same `folder` does.
 *
 * The owner's file is made first, in a folder beside it, and renamed into place: a rename onto a folder with something in it fails, so a
 * lock is never seen without its owner. The file's name is used once, so removing a dead owner's file can never hit the next owner's.
 */
export async function withLock<T>(folder: string, options: LockOptions, work: () => Promise<T>): Promise<T> {
  const { onWait, pollMs = 250, signal } = options
  const started = performance.now()
  mkdirSync(dirname(folder), { recursive: true })
  for (;;) {
    const taken = tryLock(folder)
    if ('lock' in taken) {
      try {
        return await work()
      } finally {
        taken.lock.release()
      }
    }
    onWait?.(taken.owner, performance.now() - started)
    await sleep(pollMs, undefined, { ...(signal && { signal }) })
  }
}

function tryAcquire(folder: string, ownerFile: string): boolean {
  const prepared = mkdtempSync(`${folder}.tmp-`)
  try {
    const owner: LockOwner = { pid: process.pid, processStart: readProcessStart(process.pid), host: hostname() }
    writeFileSync(join(prepared, ownerFile), JSON.stringify(owner))
    renameSync(prepared, folder)
    return true
  } catch (error) {
    rmSync(prepared, { recursive: true, force: true })
    if (['ENOTEMPTY', 'EEXIST', 'EPERM'].includes((error as NodeJS.ErrnoException).code ?? '')) return false
    throw error
  }
}

/** An unreadable owner file (power was lost while it was written) has no owner. */
function readOwner(folder: string): { readonly file: string; readonly owner?: LockOwner } | undefined {
  let file: string | undefined
  try {
    file = readdirSync(folder)[0]
    const owner: unknown = file === undefined ? undefined : JSON.parse(readFileSync(join(folder, file), 'utf8'))
    if (isOwner(owner)) return { file, owner }
  } catch {
    // Gone meanwhile, or no JSON.
  }
  return file === undefined ? undefined : { file }
}

function isOwner(value: unknown): value is LockOwner {
  const { pid, host, processStart } = (value ?? {}) as Partial<Record<keyof LockOwner, unknown>>
  const isPid = typeof pid === 'number' && Number.isInteger(pid) && pid > 0
  return isPid && typeof host === 'string' && (processStart === null || typeof processStart === 'string')
}

function clear(folder: string, ownerFile: string | undefined): void {
  try {
    if (ownerFile !== undefined) unlinkSync(join(folder, ownerFile))
    rmdirSync(folder)
  } catch (error) {
    // Another process was faster, or the next owner is in already.
    if (!['ENOENT', 'ENOTEMPTY', 'EEXIST'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error
  }
}

/** Of an owner on another machine (a shared home folder) nothing can be known: it counts as alive. */
function isAlive(owner: LockOwner): boolean {
  if (owner.host !== hostname()) return true
  try {
    process.kill(owner.pid, 0)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false
  }
  return owner.processStart === null || readProcessStart(owner.pid) === owner.processStart
}

/** Field 22 of /proc/PID/stat, counted after the command name, which may hold spaces and brackets. A zombie has ended: null. */
function readProcessStart(pid: number): string | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    const [state, ...fields] = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    return state === 'Z' ? null : (fields[18] ?? null)
  } catch {
    return null
  }
}
