/** Our own Python environment in the user's cache folder: found, or made once, also under two concurrent starts. */
import { createHash } from 'node:crypto'
import { appendFileSync, existsSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { cacheFolder } from '../cache-folder.ts'
import { ImmiscibleError } from '../errors.ts'
import { run } from '../process.ts'
import { withLock } from '../lock.ts'
import { describeRoom, explainPipFailure, summarisePipLine } from './pip.ts'
import { findBasePython, interpreterOf, type PythonProbe } from './python.ts'
import type { Requirement, WorkerRequirements } from './requirements.ts'

/** Written last: an environment without it is not one. */
interface Stamp {
  /** Requirements as given to pip. */
  readonly installed: readonly string[]
}

export interface ManagedOptions {
  readonly requirements: WorkerRequirements
  /** Those of base, and of the extras asked for. */
  readonly wanted: readonly Requirement[]
  readonly env: NodeJS.ProcessEnv
  readonly onProgress: (line: string) => void
  readonly signal?: AbortSignal | undefined
}

/** The interpreter of an environment that has all that is wanted. Starts no process. */
export function findManaged({ requirements, wanted, env }: ManagedOptions): string | undefined {
  const folder = findFolder(requirements, env)
  return folder !== undefined && isComplete(folder, wanted) ? interpreterOf(folder) : undefined
}

/** Makes the environment, or adds what is wanted to the one that is there. Answers its interpreter. */
export async function makeManaged(options: ManagedOptions): Promise<string> {
  const { requirements, wanted, env, onProgress, signal } = options
  const python = join(cacheFolder(env), 'python')
  try {
    const existing = findFolder(requirements, env)
    const base = existing === undefined ? await chooseBase(requirements) : undefined
    const folder = existing ?? join(python, folderName(requirements, base as PythonProbe))
    await withLock(`${folder}.lock`, { onWait: tellOncePerWait(onProgress), ...(signal && { signal }) }, async () => {
      if (isComplete(folder, wanted)) return
      await install(folder, base, options)
    })
    return interpreterOf(folder)
  } catch (error) {
    throw explain(error, python)
  }
}

async function install(
  folder: string,
  base: PythonProbe | undefined,
  { requirements, wanted, onProgress, signal }: ManagedOptions,
): Promise<void> {
  const logFile = `${folder}.log`
  const stamp = readStamp(folder)
  writeFileSync(logFile, `${new Date().toISOString()} ${stamp ? 'adding to' : 'making'} ${folder}\n`)
  const runLogged = async (command: string, args: string[]): Promise<{ failed: boolean; output: string }> => {
    const lines: string[] = []
    const started = performance.now()
    let doing = 'installing'
    const onLine = (line: string): void => {
      lines.push(line)
      tryAppend(logFile, `${line}\n`)
      const summary = summarisePipLine(line)
      if (summary !== undefined) onProgress((doing = summary))
    }
    const ticker = setInterval(() => onProgress(`still ${doing} (${Math.round((performance.now() - started) / 1000)} s)`), 10_000)
    const { failure, exitCode } = await run(command, args, { onLine, ...(signal && { signal }) }).finally(() => clearInterval(ticker))
    signal?.throwIfAborted()
    if (exitCode === null && failure !== null) lines.push(failure)
    return { failed: exitCode !== 0, output: lines.join('\n') }
  }

  try {
    if (!stamp) {
      const maker = base ?? (await chooseBase(requirements))
      onProgress(`making a Python ${maker.version.join('.')} environment in ${folder}`)
      rmSync(folder, { recursive: true, force: true })
      const { failed, output } = await runLogged(maker.python, ['-m', 'venv', folder])
      if (failed) throw new ImmiscibleError('ENVIRONMENT', explainVenvFailure(maker, folder, output, logFile))
    }
    const missing = wanted.map(({ text }) => text).filter((text) => !stamp?.installed.includes(text))
    const list = join(folder, 'requirements.txt')
    writeFileSync(list, `${missing.join('\n')}\n`)
    const python = interpreterOf(folder)
    const options = ['--disable-pip-version-check', '--no-input', '--progress-bar', 'off', '--retries', '2']
    const { failed, output } = await runLogged(python, ['-m', 'pip', 'install', ...options, '-r', list])
    if (failed) {
      const advice = explainPipFailure({ output, folder, python })
      throw new ImmiscibleError('ENVIRONMENT', `the Python packages could not be installed. ${advice}\nFull log: ${logFile}`)
    }
    writeStamp(folder, { installed: [...(stamp?.installed ?? []), ...missing] })
    onProgress('the Python environment is ready')
  } catch (error) {
    if (!stamp) rmSync(folder, { recursive: true, force: true }) // half an environment is of no use and may fill the disk
    throw error
  }
}

async function chooseBase({ minPython }: WorkerRequirements): Promise<PythonProbe> {
  const base = await findBasePython(minPython)
  const wanted = `Python ${minPython.join('.')} or newer`
  if ('tried' in base) {
    throw new ImmiscibleError(
      'ENVIRONMENT',
      `${wanted} was not found. Install it (Debian, Ubuntu: apt install python3 python3-venv; macOS: brew install python), ` +
        `or set IMMISCIBLE_PYTHON to one that has the worker's packages.\nTried:\n${base.tried.map((line) => `  ${line}`).join('\n')}`,
    )
  }
  if (!base.canMakeVenv) throw new ImmiscibleError('ENVIRONMENT', explainNoVenv(base))
  return base
}

function explainNoVenv({ python, version }: PythonProbe): string {
  return (
    `${python} cannot make virtual environments: its venv or ensurepip module is missing. ` +
    `Install it (Debian, Ubuntu: apt install python${version[0]}.${version[1]}-venv), or set IMMISCIBLE_PYTHON to a Python that has the worker's packages.`
  )
}

function explainVenvFailure(base: PythonProbe, folder: string, output: string, logFile: string): string {
  if (/ensurepip is not available|No module named/.test(output)) return explainNoVenv(base)
  return `${base.python} -m venv failed. ${explainPipFailure({ output, folder, python: base.python })}\nFull log: ${logFile}`
}

/** File-system errors of our own steps, in the words that pip's get. */
function explain(error: unknown, folder: string): unknown {
  const code = (error as NodeJS.ErrnoException).code
  if (error instanceof ImmiscibleError || code === undefined) return error
  const options = { cause: error }
  if (code === 'ENOSPC' || code === 'EDQUOT')
    return new ImmiscibleError('ENVIRONMENT', `The disk is full. ${describeRoom(folder)}`, options)
  if (['EACCES', 'EPERM', 'EROFS', 'ENOTDIR'].includes(code)) {
    const advice = 'Set IMMISCIBLE_HOME to a folder that you own.'
    return new ImmiscibleError('ENVIRONMENT', `cannot write in ${folder} (${code}). ${advice}`, options)
  }
  return error
}

/** The name tells what is inside: machine, Python, and a hash of the base requirements. Extras are added to the same folder. */
function folderName(requirements: WorkerRequirements, { version }: Pick<PythonProbe, 'version'>): string {
  return `${process.platform}-${process.arch}-py${version[0]}.${version[1]}-${hashBase(requirements)}`
}

function hashBase({ base }: WorkerRequirements): string {
  return createHash('sha256')
    .update(base.map(({ text }) => text).join('\n'))
    .digest('hex')
    .slice(0, 12)
}

/** A folder with a stamp whose interpreter is there: the link dangles once the Python it was made with is gone. */
function findFolder(requirements: WorkerRequirements, env: NodeJS.ProcessEnv): string | undefined {
  const parent = join(cacheFolder(env), 'python')
  if (!existsSync(parent)) return undefined
  const [start, end] = [`${process.platform}-${process.arch}-py`, `-${hashBase(requirements)}`]
  return readdirSync(parent)
    .filter((name) => name.startsWith(start) && name.endsWith(end))
    .map((name) => join(parent, name))
    .find((folder) => readStamp(folder) !== undefined && existsSync(interpreterOf(folder)))
}

function isComplete(folder: string, wanted: readonly Requirement[]): boolean {
  const stamp = readStamp(folder)
  return stamp !== undefined && existsSync(interpreterOf(folder)) && wanted.every(({ text }) => stamp.installed.includes(text))
}

function readStamp(folder: string): Stamp | undefined {
  try {
    return JSON.parse(readFileSync(join(folder, 'complete.json'), 'utf8')) as Stamp
  } catch {
    return undefined
  }
}

function writeStamp(folder: string, stamp: Stamp): void {
  const path = join(folder, 'complete.json')
  writeFileSync(`${path}.tmp`, `${JSON.stringify(stamp, null, 2)}\n`)
  renameSync(`${path}.tmp`, path)
}

/** A log line that does not fit on a full disk is not worth dying for: pip's own message is kept in memory. */
function tryAppend(file: string, text: string): void {
  try {
    appendFileSync(file, text)
  } catch {
    // said above
  }
}

function tellOncePerWait(onProgress: (line: string) => void): (owner: { pid: number; host: string }, waitedMs: number) => void {
  let nextMs = 0
  return ({ pid, host }, waitedMs) => {
    if (waitedMs < nextMs) return
    onProgress(`waiting for process ${pid} on ${host}, which is installing the same environment (${Math.round(waitedMs / 1000)} s)`)
    nextMs = waitedMs + 5000
  }
}
