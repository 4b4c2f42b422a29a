/** A run on disk: run.json, config.json, environment.json, events.jsonl and worker.log, beside what the worker writes (checkpoints, samples, pipeline). */
import {
  appendFileSync,
  closeSync,
  existsSync,
  fstatSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  renameSync,
  statSync,
  writeSync,
} from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { runManifest, trainConfig, type RunEvent, type RunManifest, type TrainConfig } from '../../protocol/index.ts'
import { ImmiscibleError } from '../errors.ts'
import { findOwner, tryLock, type Lock, type LockOwner } from '../lock.ts'

const LOCK = 'lock'
const BEFORE_A_RUN = ['config.json', 'config.json.tmp', 'run.json.tmp']

/** What is written here has some kilobytes. */
const MAX_JSON_BYTES = 1 << 24
/** It crosses the wire as an int32. */
const MAX_GENERATION = 2 ** 31

export interface RunFolder extends Disposable {
  readonly path: string
  readonly manifest: RunManifest
  readonly config: TrainConfig
  readonly workerLog: string
  /** Appends a line to events.jsonl; answers the error where the disk did not take it, since training goes on, or where the run is another process's now. */
  append(event: RunEvent): Error | undefined
  writeEnvironment(environment: object): void
  /**
   * A number that no worker of this run has had, over all resumes: it tells a zombie from its successor, and a worker commits nothing once a later one is given out.
   * @throws ImmiscibleError RUN_FOLDER where another process has taken the run over.
   */
  takeGeneration(): number
}

/** A new run. @throws ImmiscibleError RUN_FOLDER when the folder already holds something. */
export function createRunFolder(config: TrainConfig, manifest: RunManifest): RunFolder {
  const path = resolve(config.outputDir)
  if (existsSync(join(path, 'run.json'))) {
    throw new ImmiscibleError('RUN_FOLDER', `outputDir: ${path} already holds a run; resume it, or choose another folder`)
  }
  if (existsSync(path) && !isBarren(readdirSync(path))) {
    throw new ImmiscibleError('RUN_FOLDER', `outputDir: expected an empty or new folder, got ${path} with other files in it`)
  }
  const lock = claim(path)
  writeJson(join(path, 'config.json'), config)
  // Last, since it is what makes a folder a run.
  writeJson(join(path, 'run.json'), manifest)
  return open(path, manifest, config, lock)
}

/** A run to go on with, under a config that may differ from the last one in what does not decide the result. @throws ImmiscibleError RUN_FOLDER when another process has it. */
export function openRunFolder(config: TrainConfig, manifest: RunManifest): RunFolder {
  const path = resolve(config.outputDir)
  const lock = take(path)
  writeJson(join(path, 'config.json'), config)
  return open(path, manifest, config, lock)
}

/** A folder for something other than a run, made where it is missing, and this process's alone until disposed. @throws ImmiscibleError RUN_FOLDER. */
export function claimFolder(outputDir: string): Disposable & { readonly path: string } {
  const path = resolve(outputDir)
  return { path, [Symbol.dispose]: claim(path).release }
}

/** What a run folder says of itself, without taking it. */
export function readRunFolder(folder: string): { path: string; manifest: RunManifest; config: TrainConfig } {
  const path = resolve(folder)
  if (!existsSync(join(path, 'run.json'))) throw new ImmiscibleError('RUN_FOLDER', `expected a run folder (one with run.json), got ${path}`)
  return {
    path,
    manifest: readJson(join(path, 'run.json'), runManifest),
    config: readJson(join(path, 'config.json'), trainConfig),
  }
}

/** The process that writes to the run folder, if there is one. */
export function findRunOwner(path: string): LockOwner | undefined {
  return findOwner(join(path, LOCK))
}

function open(path: string, manifest: RunManifest, config: TrainConfig, lock: Lock): RunFolder {
  const events = join(path, 'events.jsonl')
  // A line cut short by a crash must not swallow the next one.
  if (existsSync(events) && !endsWithNewline(events)) appendFileSync(events, '\n')
  return {
    path,
    manifest,
    config,
    workerLog: join(path, 'worker.log'),
    append(event) {
      if (!lock.isHeld()) return new Error('another process has taken this run over')
      try {
        appendFileSync(events, `${JSON.stringify(event)}\n`)
        return undefined
      } catch (error) {
        return error as Error
      }
    },
    writeEnvironment(environment) {
      if (lock.isHeld()) writeJson(join(path, 'environment.json'), environment)
    },
    takeGeneration() {
      if (!lock.isHeld()) throw new ImmiscibleError('RUN_FOLDER', `${path}: another process has taken this run over`)
      const file = join(path, 'generation.json')
      const generation = existsSync(file) ? readGeneration(file) : 0
      writeJson(file, { next: generation + 1 })
      return generation
    },
    [Symbol.dispose]: lock.release,
  }
}

function claim(path: string): Lock {
  try {
    makeFolder(path)
  } catch (cause) {
    throw new ImmiscibleError('RUN_FOLDER', `outputDir: cannot create ${path}: ${(cause as Error).message}`, { cause })
  }
  return take(path)
}

/** With its parents, one by one: Node's own `recursive` never returns where a parent is there and takes no folders, as in /proc. */
function makeFolder(path: string): void {
  if (existsSync(path)) return
  const parent = dirname(path)
  if (parent !== path) makeFolder(parent)
  mkdirSync(path)
  syncFolder(parent)
}

/** Waits until the names in a folder are on the disk: a run must not vanish by a loss of power. */
function syncFolder(path: string): void {
  if (process.platform === 'win32') return // opens no folders, and orders renames by itself
  const descriptor = openSync(path, 'r')
  try {
    fsyncSync(descriptor)
  } finally {
    closeSync(descriptor)
  }
}

/** One process per run; an owner that no longer lives has lost it. */
function take(path: string): Lock {
  const folder = join(path, LOCK)
  let taken: ReturnType<typeof tryLock>
  try {
    taken = tryLock(folder)
  } catch (cause) {
    throw new ImmiscibleError('RUN_FOLDER', `cannot write to ${path}: ${(cause as Error).message}`, { cause })
  }
  if ('lock' in taken) return taken.lock
  const { pid, host } = taken.owner
  throw new ImmiscibleError('RUN_FOLDER', `${path} is in use by process ${pid} on ${host}; if that is gone, delete ${folder}`)
}

/** Empty, or left by a start that was killed before it had made a run: what it wrote first is there, its lock too, and no more. */
function isBarren(names: readonly string[]): boolean {
  const isOfLock = (name: string): boolean => name === LOCK || name.startsWith(`${LOCK}.tmp-`)
  return names.length === 0 || (names.some(isOfLock) && names.every((name) => isOfLock(name) || BEFORE_A_RUN.includes(name)))
}

function endsWithNewline(file: string): boolean {
  const descriptor = openSync(file, 'r')
  try {
    const last = Buffer.alloc(1)
    const { size } = fstatSync(descriptor)
    return size === 0 || (readSync(descriptor, last, 0, 1, size - 1) === 1 && last[0] === 0x0a)
  } finally {
    closeSync(descriptor)
  }
}

function writeJson(file: string, value: object): void {
  const temporary = `${file}.tmp`
  const descriptor = openSync(temporary, 'w')
  try {
    writeSync(descriptor, `${JSON.stringify(value, null, 2)}\n`)
    fsyncSync(descriptor)
  } finally {
    closeSync(descriptor)
  }
  renameSync(temporary, file)
  syncFolder(dirname(file))
}

function readGeneration(file: string): number {
  return readJson(file, {
    parse(value) {
      const next = (value as { next?: unknown } | null)?.next
      if (typeof next === 'number' && Number.isInteger(next) && next >= 0 && next < MAX_GENERATION) return next
      throw new Error(`next: expected a count below ${MAX_GENERATION}, got ${String(next).slice(0, 40)}`)
    },
  })
}

function readJson<T>(file: string, schema: { parse(value: unknown): T }): T {
  try {
    const { size } = statSync(file)
    if (size > MAX_JSON_BYTES) throw new Error(`expected at most ${MAX_JSON_BYTES} bytes, got ${size}`)
    return schema.parse(JSON.parse(readFileSync(file, 'utf8')))
  } catch (cause) {
    throw new ImmiscibleError('RUN_FOLDER', `${file} is not what this version writes: ${(cause as Error).message}`, { cause })
  }
}
