/** Campaign `kills`: SIGKILL at random moments and at named phases; what is left in the end is what an undisturbed run leaves, bit for bit. */
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { integers } from '../fixture/numbers.ts'
import type { Campaign, CampaignContext, Outcome, Scale } from './campaign.ts'
import { compareWithTruth, readTruth, workersOf, type Truth } from './ledger.ts'
import {
  clearPlan,
  isAlive,
  isPlanDone,
  kill,
  listProcesses,
  makePlace,
  setPlan,
  startCli,
  startForkServer,
  until,
  type Cli,
  type Place,
} from './place.ts'
import { attemptControls } from './kill-controls.ts'
import { attemptZombies } from './zombies.ts'

const SECONDS_TO_HANG = 60
/** Of the orchestrator's calls that change the run folder, how many a start makes before the first step, about. */
const CALLS_AT_START = 24
const TARGETS = ['worker', 'orchestrator', 'both'] as const
type Target = (typeof TARGETS)[number]

/** Where a worker can be hit, and up to which time that it gets there. */
const PHASES: Readonly<Record<string, number>> = {
  'after-receive': 8,
  staged: 6,
  'backward-done': 6,
  'after-step': 6,
  'before-save': 2,
  'mid-save': 10,
  'before-rename': 2,
  'after-rename': 2,
  'after-commit': 2,
  'mid-retention': 2,
  'after-retention': 2,
  sampling: 1,
  'before-grid': 1,
  'after-grid': 1,
}
/** Only a worker that is starting gets there: the one before it is killed first. */
const START_PHASES = ['connected', 'before-load', 'during-resume', 'after-resume']
const END_PHASES = ['before-pipeline', 'after-pipeline']

type Disturbance =
  | { readonly kind: 'moment'; readonly afterMs: number; readonly target: Target }
  | { readonly kind: 'phase'; readonly phase: string; readonly count: number; readonly target: Target }
  | { readonly kind: 'call'; readonly call: string }

interface Tally {
  readonly faults: Record<string, number>
  readonly phases: Set<string>
  readonly violations: string[]
}

/** At least so many kills, in runs of at most so many. */
const SCALES = {
  short: { numKills: 3, killsPerRun: 4, lanes: 1 },
  quick: { numKills: 20, killsPerRun: 9, lanes: 2 },
  long: { numKills: 200, killsPerRun: 10, lanes: 2 },
} as const satisfies Record<Scale, object>
/** One run in so many, the third first, has no fork server: each of its workers is an interpreter of its own. */
const PLAIN_EVERY = 10

export const kills: Campaign = {
  name: 'kills',
  promise:
    'A run whose worker, orchestrator or both are killed at any moment ends in the same bits, each step applied exactly once; who was replaced commits nothing.',
  run: attempt,
}

async function attempt(scale: Scale, context: CampaignContext): Promise<Outcome> {
  const { folder, python, seed, log } = context
  const { numKills, killsPerRun, lanes } = SCALES[scale]
  const tally: Tally = { faults: {}, phases: new Set(), violations: [] }
  await using server = await startForkServer(join(folder, 'fork'), python)
  const truth = await runUndisturbed(makePlace(join(folder, 'truth'), server.launcher))
  const nextSchedule = dealSchedules(integers(seed), killsPerRun)
  const forked: Place[] = []
  let next = 0
  const lane = async (): Promise<void> => {
    while (countKills(tally) < numKills) {
      const at = next++
      const isPlain = at % PLAIN_EVERY === 2
      const place = makePlace(join(folder, `run-${at}`), isPlain ? python : server.launcher)
      if (!isPlain) forked.push(place)
      const found = await runDisturbed(place, nextSchedule(), truth, tally)
      tally.violations.push(...found.map((violation) => `seed ${seed}, run ${at}: ${violation}`))
      log(`run ${at}: ${describe(tally.faults)}`)
    }
  }
  await Promise.all(Array.from({ length: lanes }, lane))
  checkExits(server.exits(), forked, tally)
  const controls = await attemptControls(context, server.launcher, truth, scale)
  const zombies = await attemptZombies(context, server.launcher, truth, scale)
  tally.violations.push(...zombies.violations)
  log(`phases hit: ${[...tally.phases].toSorted().join(', ')}`)
  return {
    trials: countKills(tally) + zombies.trials,
    faults: { ...tally.faults, 'phases hit': tally.phases.size, 'zombies woken': zombies.trials },
    violations: tally.violations,
    controls: [...controls, ...zombies.controls],
  }
}

async function runUndisturbed(place: Place): Promise<Truth> {
  const cli = startCli(place)
  const { code } = await cli.ended
  if (code !== 0) throw new Error(`the undisturbed run ended with ${code}: ${cli.said().slice(-2000)}`)
  const truth = readTruth(place)
  const violations = compareWithTruth(place, truth)
  if (violations.length > 0) throw new Error(`the undisturbed run: ${violations.join('; ')}`)
  return truth
}

/** Half of the kills at random moments, half at phases: all phases of the worker with all targets in turn, from a shuffled deck. */
function dealSchedules(random: (below: number) => number, killsPerRun: number): () => Disturbance[] {
  const deal = <T>(cards: readonly T[]): (() => T) => {
    let left: T[] = []
    return () => {
      if (left.length === 0) left = shuffle(cards, random)
      return left.pop() as T
    }
  }
  const nextPhase = deal([...Object.keys(PHASES), ...START_PHASES].flatMap((phase) => TARGETS.map((target) => ({ phase, target }))))
  const nextEnd = deal(END_PHASES.flatMap((phase) => TARGETS.map((target) => ({ phase, target }))))
  const nextTarget = deal(TARGETS)
  const nextCall = deal(Array.from({ length: CALLS_AT_START * 2 }, (_, at) => `${(at >> 1) + 1} ${at % 2 === 0 ? 'before' : 'after'}`))
  const phase = ({ phase: name, target }: { phase: string; target: Target }): Disturbance => ({
    kind: 'phase',
    phase: name,
    count: 1 + random(PHASES[name] ?? 1),
    target,
  })
  let run = 0
  return () => [
    ...Array.from({ length: killsPerRun - 1 }, (_, at): Disturbance => {
      if (at === 0 || at === 6) return { kind: 'call', call: nextCall() }
      return at % 2 === 1 ? phase(nextPhase()) : { kind: 'moment', afterMs: random(1200), target: nextTarget() }
    }),
    ...(run++ % 2 === 0 ? [phase(nextEnd())] : []),
  ]
}

function shuffle<T>(cards: readonly T[], random: (below: number) => number): T[] {
  const out = [...cards]
  for (let at = out.length - 1; at > 0; at--) {
    const other = random(at + 1)
    ;[out[at], out[other]] = [out[other], out[at]]
  }
  return out
}

/** One run to its end, whatever is done to it. Answers what is wrong with it. */
async function runDisturbed(place: Place, schedule: readonly Disturbance[], truth: Truth, tally: Tally): Promise<string[]> {
  const violations: string[] = []
  let cli: Cli | undefined
  for (const [at, disturbance] of schedule.entries()) {
    if (disturbance.kind === 'call' && cli) {
      await killTarget(place, cli, 'orchestrator', tally)
      cli = undefined
    }
    cli ??= startCli(place, disturbance.kind === 'call' ? { env: { HOOK_CALL: disturbance.call } } : {})
    await disturb(place, cli, disturbance, tally)
    if (cli.child.exitCode === null && cli.child.signalCode === null) continue
    const { code, signal } = await cli.ended
    if (code === 0) break
    // A call that a start did not make comes later, as of a restart of the worker.
    if (disturbance.kind !== 'call' && isHitAtCall(cli)) count(tally, 'orchestrator')
    if (signal !== 'SIGKILL') violations.push(`after ${JSON.stringify(disturbance)}: exit code ${code}: ${cli.said().slice(-500)}`)
    cli = undefined
    // Every other time the next orchestrator starts while an orphan may be at its last.
    if (at % 2 === 0 && !(await until(SECONDS_TO_HANG, () => listProcesses(place).length === 0))) violations.push('an orphan stays')
  }
  let last = cli ?? startCli(place)
  let code = await awaitEnd(last)
  if (code !== 0 && isHitAtCall(last)) {
    count(tally, 'orchestrator')
    last = startCli(place)
    code = await awaitEnd(last)
  }
  if (code !== 0) violations.push(`the run ended with exit code ${code}: ${last.said().slice(-500)}`)
  kill(last.pid, 'SIGKILL')
  if (!(await until(SECONDS_TO_HANG, () => listProcesses(place).length === 0))) violations.push('an orphan stays')
  return [...violations, ...(code === 0 ? compareWithTruth(place, truth) : [])]
}

/** The exit code; null: ended by a signal; 'none': it hangs. */
async function awaitEnd({ ended }: Cli): Promise<number | null | 'none'> {
  return Promise.race([ended.then(({ code }) => code), sleep(SECONDS_TO_HANG * 1000, 'none' as const, { ref: false })])
}

const isHitAtCall = (cli: Cli): boolean => cli.said().includes('[hook] SIGKILL')

/** Returns when it has happened, or cannot any more. */
async function disturb(place: Place, cli: Cli, disturbance: Disturbance, tally: Tally): Promise<void> {
  const isOver = (): boolean => cli.child.exitCode !== null || cli.child.signalCode !== null
  if (disturbance.kind === 'call') {
    // A step was made: the calls at the start are over.
    await until(SECONDS_TO_HANG, () => isOver() || cli.said().includes('ready at step'))
    if (!isHitAtCall(cli)) return
    await cli.ended
    tally.phases.add('a start of the orchestrator')
    return count(tally, 'orchestrator')
  }
  if (disturbance.kind === 'moment') {
    await Promise.race([sleep(disturbance.afterMs), cli.ended])
    if (!isOver()) await killTarget(place, cli, disturbance.target, tally)
    return
  }
  const { phase, count: howOften, target } = disturbance
  setPlan(place, { phase, count: howOften, action: `kill ${target}` })
  if (START_PHASES.includes(phase)) {
    await until(SECONDS_TO_HANG, () => isOver() || liveWorker(place) !== undefined || isPlanDone(place))
    if (!isPlanDone(place) && !isOver()) await killTarget(place, cli, 'worker', tally)
  }
  await until(SECONDS_TO_HANG, () => isOver() || isPlanDone(place))
  if (!isPlanDone(place)) return void clearPlan(place)
  if (target !== 'worker') await cli.ended
  tally.phases.add(phase)
  count(tally, target)
}

async function killTarget(place: Place, cli: Cli, target: Target, tally: Tally): Promise<void> {
  const worker = liveWorker(place)
  const isOrchestratorHit = target !== 'worker' && kill(cli.pid, 'SIGKILL')
  const isWorkerHit = target !== 'orchestrator' && worker !== undefined && kill(worker, 'SIGKILL')
  if (isOrchestratorHit) await cli.ended
  if (isOrchestratorHit) count(tally, isWorkerHit ? 'both' : 'orchestrator')
  else if (isWorkerHit) count(tally, 'worker')
}

function liveWorker(place: Place): number | undefined {
  return workersOf(place)
    .map(({ pid }) => pid)
    .findLast(isAlive)
}

function countKills({ faults }: Tally): number {
  return TARGETS.reduce((sum, target) => sum + (faults[`kills of ${target}`] ?? 0), 0)
}

function count({ faults }: Tally, target: Target): void {
  faults[`kills of ${target}`] = (faults[`kills of ${target}`] ?? 0) + 1
}

/** A worker ends well, by our SIGKILL, with 75 where its orchestrator is gone, or as one that was replaced. */
function checkExits(exits: readonly { pid: number; code: number }[], places: readonly Place[], tally: Tally): void {
  const codes = new Map(exits.map(({ pid, code }) => [pid, code]))
  for (const place of places) {
    const log = join(place.runFolder, 'worker.log')
    const isSuperseded = existsSync(log) && readFileSync(log, 'utf8').includes('SUPERSEDED')
    for (const { pid } of workersOf(place)) {
      const code = codes.get(pid)
      if (code === 75) tally.faults['orphans that ended themselves'] = (tally.faults['orphans that ended themselves'] ?? 0) + 1
      else if (code !== 0 && code !== -9 && !(code === 1 && isSuperseded))
        tally.violations.push(`a worker of ${place.folder} ended with ${code}`)
    }
  }
}

function describe(faults: Readonly<Record<string, number>>): string {
  return Object.entries(faults)
    .map(([kind, number]) => `${number} ${kind}`)
    .join(', ')
}
