/** Where a campaign runs `immiscible train` and `resume`: real processes, a hook inside the worker, and a count of what is left. */
import { spawn, type ChildProcess } from 'node:child_process'
import {
  appendFileSync,
  chmodSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import type { RunEvent, RunEventOf } from '../../ts/index.ts'

const CLI = fileURLToPath(new URL('../../ts/cli/main.ts', import.meta.url))
const HOOK_FOLDER = fileURLToPath(new URL('worker', import.meta.url))
const ORCHESTRATOR_HOOK = new URL('orchestrator-hook.mjs', import.meta.url).href

/** A network of a few thousand weights, one torch thread. */
export const TINY = {
  dataset: { kind: 'digits' },
  objective: { kind: 'ddim' },
  assignment: { kind: 'quantized' },
  network: {
    blockOutChannels: [8, 8],
    downBlockTypes: ['DownBlock2D', 'DownBlock2D'],
    upBlockTypes: ['UpBlock2D', 'UpBlock2D'],
    normNumGroups: 4,
    dropout: 0.1,
  },
  optimizer: { lrWarmupSteps: 10 },
  sampling: { everySteps: 10, numImages: 1, numInferenceSteps: 2 },
  checkpoint: { everySteps: 5 },
  tracking: { reportTo: [] },
  worker: { device: 'cpu', numThreads: 1, maxRestarts: 1000 },
  globalBatchSize: 8,
  maxTrainSteps: 40,
  seed: 5,
}

/** A line that the hook in a worker wrote, see worker/sitecustomize.py. */
export interface LedgerLine {
  readonly kind: 'begin' | 'start' | 'applied' | 'rename' | 'commit' | 'reached'
  readonly generation: number
  readonly pid: number
  readonly orchestrator?: number
  readonly step?: number
  readonly batch?: string
  readonly phase?: string
  readonly action?: string
}

export interface Plan {
  readonly phase: string
  /** The how-manieth time that a worker reaches it, from now on. */
  readonly count: number
  readonly action: string
}

export interface Place {
  readonly folder: string
  readonly runFolder: string
  /** Config of the run, as written. */
  readonly config: object
  readonly python: string
}

/** A folder for one run, with its config; `python`: the interpreter, or the launcher of a fork server. */
export function makePlace(folder: string, python: string, changes: object = {}): Place {
  mkdirSync(join(folder, 'tmp'), { recursive: true })
  const config = { ...TINY, ...changes }
  writeFileSync(join(folder, 'config.json'), JSON.stringify(config))
  return { folder, runFolder: join(folder, 'run'), config, python }
}

/** What `startCli` runs. */
export function commandOf(
  { folder, runFolder, python }: Place,
  args: readonly string[] = [],
): { readonly command: string; readonly args: readonly string[]; readonly env: NodeJS.ProcessEnv } {
  const verb = existsSync(join(runFolder, 'run.json'))
    ? ['resume', runFolder]
    : ['train', '--config', join(folder, 'config.json'), '--output-dir', runFolder]
  const env = {
    ...process.env,
    TMPDIR: join(folder, 'tmp'),
    IMMISCIBLE_PYTHON: python,
    PYTHONPATH: HOOK_FOLDER,
    HOOK_FOLDER: folder,
    NODE_OPTIONS: `--import ${ORCHESTRATOR_HOOK}`,
  }
  return { command: process.execPath, args: [CLI, ...verb, ...args], env }
}

export interface Cli {
  readonly child: ChildProcess
  readonly pid: number
  readonly ended: Promise<{ readonly code: number | null; readonly signal: string | null }>
  /** What it wrote on stderr. */
  said(): string
}

export interface CliOptions {
  readonly env?: Readonly<Record<string, string>>
  /** Its own process group, as a terminal gives each command one. */
  readonly isGroup?: boolean
  readonly args?: readonly string[]
}

/** `immiscible train` where there is no run yet, else `immiscible resume`. */
export function startCli(place: Place, { env = {}, isGroup = false, args = [] }: CliOptions = {}): Cli {
  const { command, args: given, env: own } = commandOf(place, args)
  const log = join(place.folder, 'cli.log')
  const before = existsSync(log) ? readFileSync(log).byteLength : 0
  const child = spawn(command, given, {
    env: { ...own, ...env },
    detached: isGroup,
    stdio: ['ignore', 'ignore', openSync(log, 'a')],
  })
  const ended = new Promise<{ code: number | null; signal: string | null }>((resolve) =>
    child.once('exit', (code, signal) => resolve({ code, signal })),
  )
  return { child, pid: child.pid as number, ended, said: () => readFileSync(log).subarray(before).toString() }
}

export function readLines<T>(file: string): T[] {
  if (!existsSync(file)) return []
  const text = readFileSync(file, 'utf8')
  return text
    .slice(0, text.lastIndexOf('\n') + 1)
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line) as T)
}

/** Of events.jsonl; none where there is no run yet. */
export function eventsOf<K extends RunEvent['kind']>({ runFolder }: Place, kind: K): RunEventOf<K>[] {
  return readLines<RunEvent>(join(runFolder, 'events.jsonl')).filter((event): event is RunEventOf<K> => event.kind === kind)
}

export const readLedger = ({ folder }: Place): LedgerLine[] => readLines(join(folder, 'ledger.jsonl'))

/** Whole or not at all, since a worker may look at any time. */
export function setPlan({ folder }: Place, plan: Plan): void {
  rmSync(join(folder, 'plan.done'), { force: true })
  writeFileSync(join(folder, 'plan.tmp'), JSON.stringify(plan))
  renameSync(join(folder, 'plan.tmp'), join(folder, 'plan.json'))
}

/** Answers whether it was still there. */
export function clearPlan({ folder }: Place): boolean {
  try {
    rmSync(join(folder, 'plan.json'))
    return true
  } catch {
    return false
  }
}

export const isPlanDone = ({ folder }: Place): boolean => existsSync(join(folder, 'plan.done'))

/** A zombie that nobody waits for has ended. */
export function isAlive(pid: number): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    return !['Z', 'X'].includes(stat.slice(stat.lastIndexOf(')') + 2, stat.lastIndexOf(')') + 3))
  } catch {
    return false
  }
}

/** Answers whether there was such a process. */
export function kill(pid: number, signal: NodeJS.Signals): boolean {
  try {
    process.kill(pid, signal)
    return true
  } catch {
    return false
  }
}

/** Every process of this place that lives: those the hook knows of, and those with its environment. */
export function listProcesses(place: Place): number[] {
  const known = readLedger(place).map(({ pid }) => pid)
  const found = readdirSync('/proc').filter((name) => {
    if (!/^\d+$/.test(name)) return false
    try {
      return readFileSync(`/proc/${name}/environ`, 'utf8').split('\0').includes(`HOOK_FOLDER=${place.folder}`)
    } catch {
      return false
    }
  })
  return [...new Set([...known, ...found.map(Number)])].filter(isAlive)
}

/** Waits until it holds; answers whether it did within `seconds`, which are for a machine that hangs and decide nothing else. */
export async function until(seconds: number, holds: () => boolean): Promise<boolean> {
  for (const deadline = performance.now() + seconds * 1000; performance.now() < deadline; await sleep(10)) if (holds()) return true
  return holds()
}

export interface ForkServer extends AsyncDisposable {
  /** In place of the interpreter. */
  readonly launcher: string
  /** Of each worker that has ended: exit code, or minus the signal. */
  exits(): readonly { readonly pid: number; readonly code: number }[]
}

/** Imports torch once, see worker/server.py. */
export async function startForkServer(folder: string, python: string): Promise<ForkServer> {
  mkdirSync(folder, { recursive: true })
  const launcher = join(folder, 'python')
  writeFileSync(launcher, `#!${python} -SEs\n`)
  appendFileSync(launcher, readFileSync(join(HOOK_FOLDER, 'launcher.py')))
  chmodSync(launcher, 0o755)
  const server = spawn(python, [join(HOOK_FOLDER, 'server.py'), folder], {
    env: { ...process.env, PYTHONPATH: HOOK_FOLDER },
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  const ended = new Promise((resolve) => server.once('exit', resolve))
  const isReady = await Promise.race([new Promise((resolve) => server.stdout.once('data', () => resolve(true))), ended.then(() => false)])
  if (isReady !== true) throw new Error('the fork server did not start')
  return {
    launcher,
    exits: () => readLines(join(folder, 'exits.jsonl')),
    async [Symbol.asyncDispose]() {
      server.stdin.end()
      await ended
    },
  }
}
