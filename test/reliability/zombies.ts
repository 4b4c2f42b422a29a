/** The zombies of `kills`: a worker or an orchestrator that was stopped wakes when its replacement is at work, or is done. */
import { readFileSync, readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import type { CampaignContext, Control, Scale } from './campaign.ts'
import { compareWithTruth, workersOf, type Truth } from './ledger.ts'
import { isPlanDone, kill, listProcesses, makePlace, readLedger, setPlan, startCli, until, isAlive, type Cli, type Place } from './place.ts'

const SECONDS_TO_HANG = 60
/** Where the old worker is stopped. With the batch in hand, its next deed is a step and the checkpoint of step 15. */
const STOPS = [
  { phase: 'after-receive', count: 16 },
  { phase: 'before-save', count: 3 },
  { phase: 'mid-save', count: 12 },
  { phase: 'before-rename', count: 3 },
  { phase: 'before-pipeline', count: 1 },
]
const WAKES = ['when its replacement has started', 'when its replacement is done'] as const

export interface ZombieOutcome {
  readonly trials: number
  readonly violations: string[]
  readonly controls: readonly Control[]
}

export async function attemptZombies(
  { folder, log }: CampaignContext,
  launcher: string,
  truth: Truth,
  scale: Scale,
): Promise<ZombieOutcome> {
  const violations: string[] = []
  let trials = 0
  const cases = STOPS.flatMap((stop, at) => WAKES.map((wake, other) => ({ stop, wake, isQuick: (at + other) % 2 === 1 })))
  const chosen = { short: [cases[1]], quick: cases.filter(({ isQuick }) => isQuick), long: [...cases, ...cases, ...cases] }[scale]
  for (const { stop, wake } of chosen) {
    const place = makePlace(join(folder, `zombie-${trials++}`), launcher)
    const found = await wakeWorker(place, stop, wake, truth)
    violations.push(...found.map((violation) => `worker stopped at ${stop.phase}, woken ${wake}: ${violation}`))
  }
  for (const wake of WAKES.slice(0, { short: 0, quick: 1, long: 2 }[scale])) {
    const place = makePlace(join(folder, `zombie-${trials++}`), launcher)
    const found = await wakeOrchestrator(place, wake, truth)
    violations.push(...found.map((violation) => `orchestrator stopped, woken ${wake}: ${violation}`))
  }
  const unfenced = makePlace(join(folder, 'unfenced'), launcher)
  const found = await wakeWorker(unfenced, STOPS[0], WAKES[1], truth, 'zombie not fenced')
  log(`planted: zombie not fenced: ${found.join('; ') || 'nothing found'}`)
  return {
    trials,
    violations,
    controls: [{ name: 'zombie not fenced', isCaught: found.some((violation) => /was committed by/.test(violation)) }],
  }
}

/** The orchestrator is killed while its worker is stopped, so that the worker outlives it. */
async function wakeWorker(
  place: Place,
  { phase, count }: (typeof STOPS)[number],
  wake: (typeof WAKES)[number],
  truth: Truth,
  fault?: string,
): Promise<string[]> {
  setPlan(place, { phase, count, action: 'stop worker' })
  const first = startCli(place, fault === undefined ? {} : { env: { HOOK_FAULT: fault } })
  if (!(await until(SECONDS_TO_HANG, () => isPlanDone(place)))) throw new Error(`${phase} was never reached: ${first.said().slice(-500)}`)
  const zombie = workersOf(place).at(-1)?.pid as number
  kill(first.pid, 'SIGKILL')
  await first.ended
  const second = startCli(place)
  await awaitWake(place, second, wake)
  const violations = isAlive(zombie) ? [] : ['the zombie was not there any more']
  const before = listCheckpoints(place)
  kill(zombie, 'SIGCONT')
  // One that ignores the end of its orchestrator waits for its next batch, after what it did with those it has.
  if (fault === undefined) {
    if (!(await until(SECONDS_TO_HANG, () => !isAlive(zombie)))) violations.push('the zombie goes on')
  } else {
    await until(SECONDS_TO_HANG, () => readLedger(place).some((line) => line.pid === zombie && line.kind === 'commit' && line.step === 15))
  }
  if (wake === 'when its replacement is done' && listCheckpoints(place).join() !== before.join())
    violations.push('the checkpoints have changed')
  kill(zombie, 'SIGKILL')
  return [...violations, ...(await finish(place, second, truth))]
}

/** Orchestrator and worker are stopped together, as by Ctrl-Z, and somebody deletes the lock. */
async function wakeOrchestrator(place: Place, wake: (typeof WAKES)[number], truth: Truth): Promise<string[]> {
  setPlan(place, { phase: 'after-receive', count: 14, action: 'stop worker' })
  const first = startCli(place)
  if (!(await until(SECONDS_TO_HANG, () => isPlanDone(place)))) throw new Error(`never stopped: ${first.said().slice(-500)}`)
  kill(first.pid, 'SIGSTOP')
  const zombie = workersOf(place).at(-1)?.pid as number
  const violations: string[] = []
  const refused = startCli(place)
  const { code } = await refused.ended
  if (code !== 2 || !refused.said().includes(`is in use by process ${first.pid}`))
    violations.push(`a second orchestrator was not refused: exit code ${code}`)
  rmSync(join(place.runFolder, 'lock'), { recursive: true })
  const second = startCli(place)
  await awaitWake(place, second, wake)
  const firstLine = readEvents(place).length
  kill(first.pid, 'SIGCONT')
  kill(zombie, 'SIGCONT')
  const isOver = await until(SECONDS_TO_HANG, () => first.child.exitCode !== null)
  if (!isOver || (await first.ended).code === 0) violations.push(`the old orchestrator did not give up: exit code ${first.child.exitCode}`)
  if (!(await until(SECONDS_TO_HANG, () => !isAlive(zombie)))) violations.push('the old worker goes on')
  const late = readEvents(place)
    .slice(firstLine)
    .filter((line) => line.includes('"generation":0'))
  if (late.length > 0) violations.push(`the old orchestrator wrote ${late.length} events`)
  return [...violations, ...(await finish(place, second, truth))]
}

async function awaitWake(place: Place, second: Cli, wake: (typeof WAKES)[number]): Promise<void> {
  const hasStarted = (): boolean => readLedger(place).some(({ kind, generation }) => kind === 'start' && generation > 0)
  if (wake === 'when its replacement is done') await second.ended
  else await until(SECONDS_TO_HANG, () => hasStarted() || second.child.exitCode !== null)
}

async function finish(place: Place, second: Cli, truth: Truth): Promise<string[]> {
  const { code } = await second.ended
  const violations =
    code === 0 ? compareWithTruth(place, truth) : [`the replacement ended with exit code ${code}: ${second.said().slice(-500)}`]
  if (!(await until(SECONDS_TO_HANG, () => listProcesses(place).length === 0))) violations.push('an orphan stays')
  return violations
}

const listCheckpoints = ({ runFolder }: Place): string[] =>
  readdirSync(join(runFolder, 'checkpoints'))
    .filter((name) => name.startsWith('step-'))
    .toSorted()
const readEvents = ({ runFolder }: Place): string[] => readFileSync(join(runFolder, 'events.jsonl'), 'utf8').trimEnd().split('\n')
