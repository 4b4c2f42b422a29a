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
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { hostname } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { runManifest, trainConfig, type RunEvent, type RunManifest, type TrainConfig } from '../../protocol/index.ts'
import { ImmiscibleError } from '../errors.ts'

export interface RunFolder extends Disposable {
  readonly path: string
  readonly manifest: RunManifest
  readonly config: TrainConfig
  readonly workerLog: string
  /** Appends a line to events.jsonl; answers the error where the disk did not take it, since training goes on. */
  append(event: RunEvent): Error | undefined
  writeEnvironment(environment: object): void
  /** A number that no worker of this run has had, over all resumes: it tells a zombie from its successor. */
  takeGeneration(): number
}

/** A new run. @throws ImmiscibleError RUN_FOLDER when the folder already holds something. */
export function createRunFolder(config: TrainConfig, manifest: RunManifest): RunFolder {
  const path = resolve(config.outputDir)
  if (existsSync(join(path, 'run.json'))) {
    throw new ImmiscibleError('RUN_FOLDER', `outputDir: ${path} already holds a run; resume it, or choose another folder`)
  }
  if (existsSync(path) && readdirSync(path).length > 0) {
    throw new ImmiscibleError('RUN_FOLDER', `outputDir: expected an empty or new folder, got ${path} with other files in it`)
  }
  const release = claim(path)
  writeJson(join(path, 'config.json'), config)
  // Last, since it is what makes a folder a run.
  writeJson(join(path, 'run.json'), manifest)
  return open(path, manifest, config, release)
}

/** A run to go on with, under a config that may differ from the last one in what does not decide the result. @throws ImmiscibleError RUN_FOLDER when another process has it. */
export function openRunFolder(config: TrainConfig, manifest: RunManifest): RunFolder {
  const path = resolve(config.outputDir)
  const release = lock(path)
  writeJson(join(path, 'config.json'), config)
  return open(path, manifest, config, release)
}

/** A folder for something other than a run, made where it is missing, and this process's alone until disposed. @throws ImmiscibleError RUN_FOLDER. */
export function claimFolder(outputDir: string): Disposable & { readonly path: string } {
  const path = resolve(outputDir)
  return { path, [Symbol.dispose]: claim(path) }
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

function open(path: string, manifest: RunManifest, config: TrainConfig, release: () => void): RunFolder {
  const events = join(path, 'events.jsonl')
  // A line cut short by a crash must not swallow the next one.
  if (existsSync(events) && !endsWithNewline(events)) appendFileSync(events, '\n')
  return {
    path,
    manifest,
    config,
    workerLog: join(path, 'worker.log'),
    append(event) {
      try {
        appendFileSync(events, `${JSON.stringify(event)}\n`)
        return undefined
      } catch (error) {
        return error as Error
      }
    },
    writeEnvironment: (environment) => writeJson(join(path, 'environment.json'), environment),
    takeGeneration() {
      const file = join(path, 'generation.json')
      const generation = existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as { next: number }).next : 0
      writeJson(file, { next: generation + 1 })
      return generation
    },
    [Symbol.dispose]: release,
  }
}

function claim(path: string): () => void {
  try {
    makeFolder(path)
  } catch (cause) {
    throw new ImmiscibleError('RUN_FOLDER', `outputDir: cannot create ${path}: ${(cause as Error).message}`, { cause })
  }
  return lock(path)
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

/** One process per run: a lock file names its owner, and an owner that no longer lives has lost it. */
function lock(path: string): () => void {
  const file = join(path, 'lock.json')
  const owner = JSON.stringify({ pid: process.pid, host: hostname() })
  for (;;) {
    try {
      writeFileSync(file, owner, { flag: 'wx' })
      return () => rmSync(file, { force: true })
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') {
        throw new ImmiscibleError('RUN_FOLDER', `cannot write to ${path}: ${(error as Error).message}`, { cause: error })
      }
    }
    const holder = readOwner(file)
    if (holder && (holder.host !== hostname() || isAlive(holder.pid))) {
      throw new ImmiscibleError(
        'RUN_FOLDER',
        `${path} is in use by process ${holder.pid} on ${holder.host}; if that is gone, delete ${file}`,
      )
    }
    rmSync(file, { force: true })
  }
}

function readOwner(file: string): { pid: number; host: string } | undefined {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as { pid: number; host: string }
  } catch {
    return undefined
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
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

function readJson<T>(file: string, schema: { parse(value: unknown): T }): T {
  try {
    return schema.parse(JSON.parse(readFileSync(file, 'utf8')))
  } catch (cause) {
    throw new ImmiscibleError('RUN_FOLDER', `${file} is not what this version writes: ${(cause as Error).message}`, { cause })
  }
}
