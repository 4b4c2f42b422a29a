/** Trials of `life-cycle`: signals at random moments, to the whole process group as a terminal sends them; and who is left when an orchestrator dies. */
import { spawn } from 'node:child_process'
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { compareWithTruth } from './ledger.ts'
import {
  commandOf,
  eventsOf,
  isPlanDone,
  kill,
  listProcesses,
  readLedger,
  setPlan,
  startCli,
  until,
  type Cli,
  type Place,
} from './place.ts'
import { SECONDS_TO_HANG, type Trial, type TrialContext } from './trial.ts'

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const
const TERMINAL = fileURLToPath(new URL('terminal.py', import.meta.url))
/** What a worker is at when its orchestrator is killed. */
const STATES = ['after-step', 'mid-save', 'sampling', 'stop worker', 'hold GIL', 'spin'] as const

export const SIGNAL_TRIALS: readonly Trial[] = [
  {
    name: 'signals to a group',
    kind: 'signalled runs',
    scales: ['short', 'quick', 'long'],
    run: (context) => attemptSignals(context),
  },
  {
    name: 'signals to a group, plain interpreter',
    kind: 'signalled runs',
    scales: ['long'],
    isPlain: true,
    run: (context) => attemptSignals(context),
  },
  {
    name: 'a stop that does not save',
    kind: 'signalled runs',
    finds: /steps were applied, and step-\d+ is the newest checkpoint/,
    scales: ['quick', 'long'],
    run: (context) => attemptSignals(context, 'stop does not save'),
  },
  {
    name: 'a signal while the worker saves',
    kind: 'signalled runs',
    scales: ['quick', 'long'],
    run: (context) => attemptSignalWhileSaving(context),
  },
  {
    name: 'a signal, and the worker is killed before it has saved',
    kind: 'signalled runs',
    scales: ['quick', 'long'],
    run: (context) => attemptStopOfTheDying(context),
  },
  {
    name: 'a terminal is closed',
    kind: 'closed terminals',
    scales: ['quick', 'long'],
    isPlain: true,
    run: (context) => attemptClosedTerminal(context),
  },
  ...STATES.map((state): Trial => ({
    name: `the orchestrator is killed: ${state}`,
    kind: 'orchestrators killed',
    scales: state === 'hold GIL' ? ['quick', 'long'] : ['long'],
    isPlain: true,
    run: ({ place }) => attemptOrphan(place, state),
  })),
  {
    name: 'a worker that outlives its orchestrator',
    kind: 'orchestrators killed',
    finds: /an orphan stays/,
    scales: ['quick', 'long'],
    run: ({ place }) => attemptOrphan(place, 'after-step', 'zombie not fenced'),
  },
]

/** One run, interrupted again and again, once or twice each time, until it is finished. */
async function attemptSignals({ place, truth, scale, random }: TrialContext, fault?: string): Promise<string[]> {
  const numSignals = { short: 2, quick: 8, long: 40 }[scale]
  const violations: string[] = []
  for (let at = 0; at < numSignals; at++) {
    const signal = SIGNALS[random(SIGNALS.length)]
    const isTwice = fault === undefined && random(3) === 0
    const cli = startCli(place, { isGroup: true, ...(fault !== undefined && { env: { HOOK_FAULT: fault } }) })
    // Half of them as soon as there is a worker to tell, half at any time.
    if (random(2) === 0) await until(SECONDS_TO_HANG, () => isOver(cli) || cli.said().includes('ready at step'))
    await Promise.race([sleep(random(fault === undefined ? 900 : 300)), cli.ended])
    if (!isOver(cli)) kill(-cli.pid, signal)
    if (isTwice) {
      await Promise.race([sleep(random(300)), cli.ended])
      kill(-cli.pid, signal)
    }
    const end = await cli.ended
    violations.push(
      ...checkEnd(place, cli, end, signal, isTwice).map((violation) => `${signal} ${at}${isTwice ? ', twice' : ''}: ${violation}`),
    )
    if (!(await until(SECONDS_TO_HANG, () => listProcesses(place).length === 0))) violations.push(`${signal} ${at}: an orphan stays`)
    if (violations.length > 0 || eventsOf(place, 'end').some(({ outcome }) => outcome === 'finished')) break
  }
  if (violations.length > 0) return violations
  const { code } = await startCli(place).ended
  return code === 0 ? compareWithTruth(place, truth) : [`resumed, it ended with exit code ${code}`]
}

/** After a signal: ended well, with the last step saved; or at once, which leaves what a kill leaves. */
function checkEnd(place: Place, cli: Cli, { code, signal }: Awaited<Cli['ended']>, sent: NodeJS.Signals, isTwice: boolean): string[] {
  // Before there was anything to save.
  if (!existsSync(join(place.runFolder, 'run.json'))) return signal === sent || code === 130 ? [] : [`exit code ${code}`]
  if (signal === sent && !cli.said().includes('saving and ending')) return [] // before the command knew of signals
  // At once; also by the second signal itself, where it came when all was done and nobody listened any more.
  if (isTwice && (code === 130 || signal === sent)) return []
  if (code !== 0) return [`exit code ${code}, signal ${signal}: ${cli.said().slice(-500)}`]
  const newest = readdirSync(join(place.runFolder, 'checkpoints')).toSorted().at(-1)
  const saved = Number(newest?.slice('step-'.length))
  const applied = lastApplied(place)
  return saved === applied ? [] : [`${applied} steps were applied, and ${newest} is the newest checkpoint`]
}

/** Steps of the last worker that started. */
function lastApplied(place: Place): number {
  return readLedger(place).reduce((numSteps, { kind, step = 0 }) => (kind === 'start' ? step : kind === 'applied' ? step + 1 : numSteps), 0)
}

async function attemptSignalWhileSaving({ place, truth, random }: TrialContext): Promise<string[]> {
  const violations: string[] = []
  for (const isTwice of [false, true]) {
    setPlan(place, { phase: 'mid-save', count: 1 + random(8), action: 'nap' })
    const cli = startCli(place, { isGroup: true })
    await until(SECONDS_TO_HANG, () => isPlanDone(place) || isOver(cli))
    kill(-cli.pid, 'SIGINT')
    if (isTwice) {
      await sleep(random(300))
      kill(-cli.pid, 'SIGINT')
    }
    violations.push(...checkEnd(place, cli, await cli.ended, 'SIGINT', isTwice))
    if (!(await until(SECONDS_TO_HANG, () => listProcesses(place).length === 0))) violations.push('an orphan stays')
  }
  const { code } = await startCli(place).ended
  return [...violations, ...(code === 0 ? compareWithTruth(place, truth) : [`resumed, it ended with exit code ${code}`])]
}

/** The worker is killed when the stop is under way: the next one ends what it should have ended. */
async function attemptStopOfTheDying({ place, truth }: TrialContext): Promise<string[]> {
  setPlan(place, { phase: 'after-step', count: 7, action: 'interrupt and kill worker' })
  const cli = startCli(place)
  const { code } = await cli.ended
  const violations = code === 0 && isPlanDone(place) ? [] : [`exit code ${code}: ${cli.said().slice(-500)}`]
  if (!eventsOf(place, 'end').some(({ outcome }) => outcome === 'stopped')) violations.push('the run did not stop')
  if (!existsSync(join(place.runFolder, 'pipeline'))) violations.push('there is no pipeline')
  const resumed = await startCli(place).ended
  return [...violations, ...(resumed.code === 0 ? compareWithTruth(place, truth) : [`resumed, it ended with exit code ${resumed.code}`])]
}

/** The window with the run is closed: SIGHUP, and nowhere to write to. */
async function attemptClosedTerminal({ place, truth }: TrialContext): Promise<string[]> {
  const { command, args, env } = commandOf(place)
  const child = spawn(place.python, [TERMINAL, command, ...args], { env, stdio: ['ignore', 'pipe', 'inherit'] })
  let said = ''
  child.stdout.on('data', (chunk: Buffer) => (said += chunk.toString()))
  await new Promise((resolve) => child.once('close', resolve))
  const { code } = JSON.parse(said) as { code: number }
  const violations = code === 0 ? [] : [`exit code ${code}`]
  if (!eventsOf(place, 'end').some(({ outcome }) => outcome === 'stopped')) violations.push('the run was not stopped and saved')
  if (!(await until(SECONDS_TO_HANG, () => listProcesses(place).length === 0))) violations.push('an orphan stays')
  const resumed = await startCli(place).ended
  return [...violations, ...(resumed.code === 0 ? compareWithTruth(place, truth) : [`resumed, it ended with exit code ${resumed.code}`])]
}

async function attemptOrphan(place: Place, state: (typeof STATES)[number], fault?: string): Promise<string[]> {
  const isPhase = state === 'after-step' || state === 'mid-save' || state === 'sampling'
  setPlan(place, isPhase ? { phase: state, count: 1, action: 'kill orchestrator' } : { phase: 'after-step', count: 3, action: state })
  const cli = startCli(place, fault === undefined ? {} : { env: { HOOK_FAULT: fault } })
  await until(SECONDS_TO_HANG, () => isPlanDone(place) || isOver(cli))
  if (!isPlanDone(place)) return [`never got there: ${cli.said().slice(-300)}`]
  kill(cli.pid, 'SIGKILL')
  await cli.ended
  const isGone = await until(fault === undefined ? SECONDS_TO_HANG : 5, () => listProcesses(place).length === 0)
  for (const pid of listProcesses(place)) kill(pid, 'SIGKILL')
  return isGone ? [] : ['an orphan stays']
}

const isOver = ({ child }: Cli): boolean => child.exitCode !== null || child.signalCode !== null
