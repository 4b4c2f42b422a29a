/** The noise that a strategy keeps for each image across epochs: tables of noise keys, a pure function of the run, cached in its folder. */
import { createHash } from 'node:crypto'
import { mkdir, open, readdir, readFile, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'

const HASH_BYTES = 32
const FILE = /^epoch-(\d+)\.keys$/

/** Of one epoch: the key of each image and flip, uint64. */
export type KeyTable = BigUint64Array<SharedArrayBuffer>

/** Where the key of an image stands in a table: an image and its mirror image keep noise of their own. */
export function entryOf(sampleIndex: number, isFlipped: number): number {
  return 2 * sampleIndex + isFlipped
}

/** What a pool reads and writes. Pools of an epoch are disjoint, so any number of threads may work on the same tables. */
export interface PoolTables {
  readonly before: KeyTable
  /** Of the epoch that sees this slot next. */
  readonly after: KeyTable
}

export interface KeptNoiseLayout {
  /** Of the run and its data: a table of another is none. */
  readonly identity: string
  readonly numImages: number
  readonly poolsPerEpoch: number
  /** Slots of each image and flip. Epoch e uses slot e mod noisesPerImage, so its table comes out of epoch e - noisesPerImage. */
  readonly noisesPerImage: number
  /** Tables of finished epochs that stay on the disk, for a resume from an older checkpoint. */
  readonly epochsKept: number
  /** Pools that are solved at once when an epoch has to be computed again. */
  readonly width: number
}

/** A table that pools are still writing. */
interface Draft {
  readonly keys: KeyTable
  readonly written: Set<number>
}

/**
 * Wraps the solving of pools: each gets its tables, when the epoch that wrote them is complete. A complete table is written to
 * `folder` (where there is one) as `epoch-E.keys`: SHA-256 of identity and keys (32 bytes), then the keys (little-endian). Where the file is absent, torn or another run's, the epoch before is solved again.
 */
export function keepNoise<T>(
  { identity, numImages, poolsPerEpoch, noisesPerImage, epochsKept, width }: KeptNoiseLayout,
  folder: string | undefined,
  solve: (pool: number, tables: PoolTables) => Promise<T>,
): (pool: number) => Promise<T> {
  const complete = new Map<number, Promise<KeyTable>>()
  const isComplete = new Set<number>()
  const drafts = new Map<number, Draft>()
  const inFlight = new Map<number, Promise<T>>()
  const numKeys = 2 * numImages

  function newTable(): KeyTable {
    return new BigUint64Array(new SharedArrayBuffer(numKeys * BigUint64Array.BYTES_PER_ELEMENT))
  }

  /** The keys that an epoch begins with. */
  function table(epoch: number): Promise<KeyTable> {
    let keys = complete.get(epoch)
    if (!keys) {
      keys = epoch < noisesPerImage ? Promise.resolve(firstTable(epoch)) : readTable(epoch).then((read) => read ?? completeDraft(epoch))
      keys.then(
        () => isComplete.add(epoch),
        () => complete.delete(epoch),
      )
      complete.set(epoch, keys)
    }
    return keys
  }

  /** A noise of its own for every slot of every image and flip. */
  function firstTable(epoch: number): KeyTable {
    const keys = newTable()
    for (let entry = 0; entry < numKeys; entry++) keys[entry] = BigInt(epoch * numKeys + entry)
    return keys
  }

  /** What the pools of an epoch write to: the table of the epoch that uses their slot next. What no pool touches stays as it was. */
  async function target(epoch: number): Promise<Draft> {
    const before = await table(epoch - noisesPerImage)
    let draft = drafts.get(epoch)
    if (!draft) {
      draft = { keys: newTable(), written: new Set() }
      draft.keys.set(before)
      drafts.set(epoch, draft)
    }
    return draft
  }

  async function completeDraft(epoch: number): Promise<KeyTable> {
    const { keys, written } = await target(epoch)
    const first = (epoch - noisesPerImage) * poolsPerEpoch
    const missing = Array.from({ length: poolsPerEpoch }, (_, at) => first + at).filter((pool) => !written.has(pool))
    for (let at = 0; at < missing.length; at += width) {
      await Promise.all(missing.slice(at, at + width).map((pool) => inFlight.get(pool) ?? run(pool)))
    }
    // Without the file a resume solves the epoch again: that is no reason to end a run whose disk is full.
    await writeTable(epoch, keys).catch(() => undefined)
    return keys
  }

  function run(pool: number): Promise<T> {
    const running = solvePool(pool).finally(() => inFlight.delete(pool))
    inFlight.set(pool, running)
    return running
  }

  async function solvePool(pool: number): Promise<T> {
    const epoch = Math.floor(pool / poolsPerEpoch)
    for (const known of complete.keys()) if (known < epoch - noisesPerImage) complete.delete(known)
    for (const known of drafts.keys()) if (known < epoch && isComplete.has(known)) drafts.delete(known)
    const before = await table(epoch)
    const { keys, written } = await target(epoch + noisesPerImage)
    const answer = await solve(pool, { before, after: keys })
    written.add(pool)
    if (written.size === poolsPerEpoch) void table(epoch + noisesPerImage)
    return answer
  }

  async function readTable(epoch: number): Promise<KeyTable | undefined> {
    if (folder === undefined) return undefined
    const bytes = await readFile(join(folder, `epoch-${epoch}.keys`)).catch(() => undefined)
    if (bytes?.byteLength !== HASH_BYTES + numKeys * BigUint64Array.BYTES_PER_ELEMENT) return undefined
    const payload = bytes.subarray(HASH_BYTES)
    if (!hashOf(payload).equals(bytes.subarray(0, HASH_BYTES))) return undefined
    const keys = newTable()
    new Uint8Array(keys.buffer).set(payload)
    return keys
  }

  async function writeTable(epoch: number, keys: KeyTable): Promise<void> {
    if (folder === undefined) return
    const payload = Buffer.from(new Uint8Array(keys.buffer)) // a copy: shared memory is neither hashed nor written
    await mkdir(folder, { recursive: true })
    const path = join(folder, `epoch-${epoch}.keys`)
    const temporary = `${path}.tmp`
    const file = await open(temporary, 'w')
    try {
      await file.writev([hashOf(payload), payload])
      await file.sync()
    } finally {
      await file.close()
    }
    await rename(temporary, path)
    for (const name of await readdir(folder)) {
      const old = Number(FILE.exec(name)?.[1] ?? Infinity)
      if (old < epoch - noisesPerImage - epochsKept) await rm(join(folder, name), { force: true })
    }
  }

  function hashOf(payload: Uint8Array): Buffer {
    return createHash('sha256').update(identity).update(payload).digest()
  }

  return run
}
