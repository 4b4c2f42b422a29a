/** The worker's checkpoints, operation by operation as py/immiscible_worker/checkpoint.py and files.py do them. */
import { DiskError, type Disk } from './disk.ts'
import type { LeftCheckpoint } from './ledger.ts'
import { WorkerFault } from './wire.ts'

/** Between two operations time passes, and anything may happen. */
export type Point = (name: string, ms: number) => Promise<void>

export interface CheckpointPlants {
  /** Writes into the final folder, the manifest first, and trusts what it finds there. */
  readonly isTorn?: boolean
  /** Makes room before it writes. */
  readonly retainsFirst?: boolean
  /** Renames without having waited for the disk. */
  readonly syncsNothing?: boolean
  /** Looks at no generation before it commits. */
  readonly isUnfenced?: boolean
  /** At its start removes what is half-written, whoever writes it. */
  readonly sweepsAll?: boolean
}

export interface Checkpoint {
  readonly step: number
  readonly state: string
}

export interface CheckpointOptions extends CheckpointPlants {
  readonly disk: Disk
  readonly point: Point
  readonly generation: number
  readonly totalLimit: number
  /** It has its name: whoever looks now finds it. */
  readonly onVisible: (checkpoint: Checkpoint) => void
  /** A power cut does not take it away any more. */
  readonly onCommitted: (checkpoint: Checkpoint) => void
  readonly warn: (message: string) => void
}

const TEMPORARY = '.tmp-'
const ASIDE = '.tmp-aside-'
const DOOMED = '.tmp-old-'
const MANIFEST = 'manifest.json'
const FILES = ['network', 'scalars']
const WRITE_MS = 12
const QUICK_MS = 3

export const nameOf = (step: number): string => `step-${String(step).padStart(12, '0')}`

export interface Checkpoints {
  save(checkpoint: Checkpoint): Promise<void>
  loadNewest(): Promise<Checkpoint | undefined>
  /** Throws where the orchestrator has given out a later generation. */
  checkGeneration(): void
}

export function createCheckpoints({
  disk,
  point,
  generation,
  totalLimit,
  onVisible,
  onCommitted,
  warn,
  ...plants
}: CheckpointOptions): Checkpoints {
  async function save({ step, state }: Checkpoint): Promise<void> {
    const target = nameOf(step)
    await point('save', QUICK_MS)
    if (disk.exists(target)) {
      if (readVerified(disk, target)?.state === state) return
      warn(`checkpoint ${target} is replaced`)
    }
    if (plants.retainsFirst) await retain(target, totalLimit - 1)
    const temporary = plants.isTorn ? target : `${TEMPORARY}${generation}-${step}`
    try {
      await removeTree(temporary)
      disk.makeFolder(temporary)
      await point('save.folder', QUICK_MS)
      await write(temporary, { step, state })
      checkGeneration()
      await point('save.fenced', QUICK_MS)
      if (plants.isTorn) {
        onVisible({ step, state })
        onCommitted({ step, state })
      } else await replaceFolder(temporary, target, { step, state })
    } catch (error) {
      if (disk.exists(temporary)) await removeTree(temporary).catch(() => undefined)
      throw error
    }
    if (!plants.retainsFirst) await retain(target, totalLimit)
  }

  async function write(folder: string, { step, state }: Checkpoint): Promise<void> {
    const contents = FILES.map((name) => [name, `${name} ${step} ${state}`] as const)
    const manifest = [MANIFEST, JSON.stringify({ step, state, files: Object.fromEntries(contents) })] as const
    for (const [name, content] of plants.isTorn ? [manifest, ...contents] : [...contents, manifest]) {
      disk.beginFile(folder, name)
      await point('save.write', WRITE_MS)
      disk.endFile(folder, name, content)
      await point('save.sync', QUICK_MS)
      if (!plants.syncsNothing) disk.syncFile(folder, name)
    }
    await point('save.syncFolder', QUICK_MS)
  }

  async function replaceFolder(temporary: string, target: string, checkpoint: Checkpoint): Promise<void> {
    const aside = `${ASIDE}${target}`
    await removeTree(aside)
    await point('save.rename', QUICK_MS)
    // A worker whose folder was swept must not move what its successor wrote.
    if (disk.exists(temporary) && !disk.isFree(target)) await renameOver(temporary, target, aside)
    else disk.rename(temporary, target)
    onVisible(checkpoint)
    await point('save.syncNames', QUICK_MS)
    if (!plants.syncsNothing) disk.syncNames()
    onCommitted(checkpoint)
    await removeTree(aside).catch(() => undefined)
  }

  async function renameOver(temporary: string, target: string, aside: string): Promise<void> {
    disk.rename(target, aside)
    await point('save.aside', QUICK_MS)
    try {
      disk.rename(temporary, target)
    } catch (error) {
      moveBack(aside, target)
      throw error
    }
  }

  function moveBack(aside: string, target: string): void {
    if (disk.exists(aside) && !disk.exists(target)) disk.rename(aside, target)
  }

  async function removeTree(folder: string): Promise<void> {
    if (!disk.exists(folder)) return
    for (const file of disk.files(folder)) {
      disk.removeFile(folder, file)
      await point('remove', QUICK_MS)
    }
    disk.removeFolder(folder)
  }

  async function retain(written: string, limit: number): Promise<void> {
    await point('retain', QUICK_MS)
    const verified = folders(disk)
      .toReversed()
      .filter((name) => name === written || readVerified(disk, name))
    try {
      const doomed = verified.slice(limit).filter((name) => name !== written)
      for (const name of doomed) {
        disk.rename(name, `${DOOMED}${name}`)
        await point('retain.rename', QUICK_MS)
      }
      if (doomed.length > 0) disk.syncNames()
      for (const name of doomed) await removeTree(`${DOOMED}${name}`)
    } catch (error) {
      if (!(error instanceof DiskError)) throw error
      warn(`an old checkpoint could not be removed: ${error.message}`)
    }
  }

  /** A worker that wakes when its successor writes must leave that alone. */
  function isSuccessors(name: string): boolean {
    return !plants.sweepsAll && Number(/^\.tmp-(\d+)-/.exec(name)?.[1] ?? 0) > generation
  }

  async function loadNewest(): Promise<Checkpoint | undefined> {
    for (const name of disk.names().filter((each) => each.startsWith(TEMPORARY) && !isSuccessors(each))) {
      await point('load.sweep', QUICK_MS)
      if (name.startsWith(ASIDE) && !disk.exists(name.slice(ASIDE.length))) moveBack(name, name.slice(ASIDE.length))
      else await removeTree(name).catch(() => undefined)
    }
    for (const name of folders(disk).toReversed()) {
      await point('load', QUICK_MS)
      const found = plants.isTorn ? readTrusted(disk, name) : readVerified(disk, name)
      if (found) {
        disk.syncNames()
        return found
      }
      warn(`checkpoint ${name} is skipped`)
    }
    return undefined
  }

  function checkGeneration(): void {
    const latest = disk.nextGeneration - 1
    if (latest > generation && !plants.isUnfenced) throw new WorkerFault('SUPERSEDED', `generation ${latest} has begun`, 1)
  }

  return { save, loadNewest, checkGeneration }
}

/** Finished-looking ones, lowest step first. */
function folders(disk: Disk): string[] {
  return disk
    .names()
    .filter((name) => name.startsWith('step-'))
    .toSorted()
}

function readVerified(disk: Disk, name: string): Checkpoint | undefined {
  const manifest = disk.read(name, MANIFEST)
  if (manifest === undefined) return undefined
  const { step, state, files } = JSON.parse(manifest) as Checkpoint & { files: Record<string, string> }
  const isWhole = nameOf(step) === name && Object.entries(files).every(([file, content]) => disk.read(name, file) === content)
  return isWhole ? { step, state } : undefined
}

/** As a loader without hashes: the weights are whatever the file holds. */
function readTrusted(disk: Disk, name: string): Checkpoint | undefined {
  const manifest = disk.read(name, MANIFEST)
  if (manifest === undefined) return undefined
  const { step } = JSON.parse(manifest) as Checkpoint
  return { step, state: disk.read(name, 'network')?.split(' ')[2] ?? 'zeros' }
}

/** What is left at the end, for the checker. */
export function listCheckpoints(disk: Disk): LeftCheckpoint[] {
  return folders(disk).map((name) => {
    const found = readVerified(disk, name)
    return { name, isVerified: found !== undefined, step: found?.step ?? -1, state: found?.state ?? '' }
  })
}
