/** Did a schedule keep the promises? Reads the ledgers and the disk that is left, and nothing of the system. */
import type { TrainConfig } from '../../../protocol/index.ts'
import type { Entry, History } from './ledger.ts'
import type { Fault } from './plan.ts'
import { LEASE_SECONDS } from './plan.ts'
import { batchSha256, FIRST_STATE, makeBatch, nextState } from './wire.ts'

type Of<K extends Entry['kind']> = Extract<Entry, { kind: K }>

interface Checked {
  readonly config: TrainConfig
  readonly history: History
}

/** What was broken, a line each. */
export function check({ config, history }: Checked): string[] {
  const truth = undisturbed(config)
  return [
    ...checkEnd(config, history, truth.states),
    ...checkLives(config, history, truth),
    ...checkCredits(config, history),
    ...checkCommits(history, truth.states),
    ...checkAlarms(history),
  ]
}

/** The run that nothing happened to: the batch of each step, and the state before it. */
function undisturbed({ maxTrainSteps, globalBatchSize }: TrainConfig): { batches: string[]; states: string[] } {
  const batches: string[] = []
  const states = [FIRST_STATE]
  for (let step = 0; step < maxTrainSteps; step++) {
    batches.push(batchSha256(makeBatch(0, 'train', step, globalBatchSize)))
    states.push(nextState(states[step], batches[step]))
  }
  return { batches, states }
}

/** It ends: with the state of the undisturbed run, on demand with a saved one, or with an error that says why. */
function checkEnd(config: TrainConfig, { entries, checkpoints, isOver, numLeftAlive }: History, states: readonly string[]): string[] {
  const broken: string[] = []
  if (!isOver) broken.push('hang: the run did not end')
  if (numLeftAlive > 0) broken.push(`${numLeftAlive} workers outlive the run`)
  const finished = of(entries, 'finished').at(-1)
  const failed = of(entries, 'failed').at(-1)
  const faults = faultsOf(entries)
  const wasStopped = of(entries, 'stopAsked').length > 0
  if (finished) {
    if (finished.step < config.maxTrainSteps && !wasStopped) broken.push(`ended at step ${finished.step} though nobody stopped it`)
    if (finished.state !== states[finished.step])
      broken.push(`the state at its end, of step ${finished.step}, is not the undisturbed run's`)
    const last = checkpoints.find(({ name }) => name === finished.checkpoint)
    if (!last?.isVerified && !faults.some(({ kind }) => kind === 'damage'))
      broken.push(`its last checkpoint ${finished.checkpoint} is not there`)
  }
  if (failed) {
    const { code, message } = failed
    if (code === 'UNTYPED') broken.push(`an error without a type: ${message}`)
    const [, , times = '1', step] =
      /worker failed( (\d+) times in a row)? (?:and did not get ready|without getting past step (\d+))/.exec(message) ?? []
    if (message.includes('worker.maxRestarts is')) broken.push(...checkLoop(config, entries, Number(times), step))
    else if (!faults.some(mayFail)) broken.push(`failed for nothing that happened to it: ${code}: ${message}`)
  }
  return broken
}

/** What a run may end with an error for. */
function mayFail(fault: Fault): boolean {
  return ['message', 'disconnect', 'batchFails', 'fullDisk'].includes(fault.kind)
}

/** Given up as often as the config says, at the step that the ledger says. */
function checkLoop({ worker }: TrainConfig, entries: readonly Entry[], times: number, step: string | undefined): string[] {
  const since = entries.findLastIndex(({ kind }) => kind === 'started')
  const lives = of(entries.slice(since), 'gone')
  // The step that a life had been given or waited for when it went: the first that nobody had heard done.
  const triedBy = (life: Of<'gone'>): number => {
    const before = entries.slice(0, entries.indexOf(life))
    const ready = of(before, 'heardReady').find(({ generation }) => generation === life.generation)
    return ready ? ready.step + of(before, 'heardDone').filter(({ generation }) => generation === life.generation).length : 0
  }
  const furthest = Math.max(...lives.map(triedBy))
  const last = lives.slice(-worker.maxRestarts - 1)
  const isInLoop = last.length === worker.maxRestarts + 1 && last.slice(1).every((life) => triedBy(life) <= furthest)
  const broken: string[] = []
  if (times !== worker.maxRestarts + 1 || !isInLoop) broken.push(`gave up after ${times} lives, ${worker.maxRestarts} restarts allowed`)
  if (step !== undefined && Number(step) !== furthest) broken.push(`gave up at step ${step}, the furthest tried is ${furthest}`)
  return broken
}

/** Each life goes on from a committed state, and applies the batches that follow, each once, in order. */
function checkLives(
  { validation, globalBatchSize }: TrainConfig,
  { entries }: History,
  { batches, states }: { batches: readonly string[]; states: readonly string[] },
): string[] {
  const numHeldOut = Math.ceil(validation.numImages / globalBatchSize)
  const broken: string[] = []
  const next = new Map<number, number>()
  const loaded = new Map<number, number>()
  for (const entry of entries) {
    if (entry.kind === 'loaded') {
      loaded.set(entry.generation, entry.step)
      next.set(entry.generation, entry.step)
      if (entry.state !== states[entry.step]) broken.push(`life ${entry.generation} loaded a state that is not that of step ${entry.step}`)
    }
    if (entry.kind === 'heldOut' && entry.count !== numHeldOut)
      broken.push(`life ${entry.generation} holds ${entry.count} of ${numHeldOut}`)
    if (entry.kind === 'applied') {
      const { generation, step, batch, state } = entry
      if (step !== next.get(generation)) broken.push(`life ${generation} applied step ${step}, expected ${next.get(generation)}`)
      if (batch !== batches[step]) broken.push(`life ${generation} trained step ${step} on another batch`)
      if (state !== states[step + 1]) broken.push(`life ${generation} has another state after step ${step}`)
      next.set(generation, step + 1)
    }
  }
  // What the orchestrator heard of a life is what the life did, in order, from its beginning.
  for (const [generation, first] of loaded) {
    const heard = of(entries, 'heardDone').filter((entry) => entry.generation === generation)
    heard.forEach(({ step }, at) => {
      if (step !== first + at) broken.push(`of life ${generation} step ${step} was heard, expected ${first + at}`)
    })
  }
  return broken
}

/** Never more batches out than there are credits. */
function checkCredits({ pipeline }: TrainConfig, { entries }: History): string[] {
  const broken: string[] = []
  const out = new Map<number, number>()
  for (const entry of entries) {
    if (entry.kind !== 'credited' && !(entry.kind === 'sent' && entry.split === 'train')) continue
    const count = (out.get(entry.generation) ?? 0) + (entry.kind === 'sent' ? 1 : -1)
    out.set(entry.generation, count)
    if (count > pipeline.credits) broken.push(`${count} batches out to life ${entry.generation}, ${pipeline.credits} credits`)
  }
  return broken
}

/** No checkpoint of a life whose successor has begun; none lost or torn that was committed. */
function checkCommits({ entries, checkpoints }: History, states: readonly string[]): string[] {
  const broken: string[] = []
  let newestLife = -1
  let newestCommit = 0
  let isDamaged = false
  for (const entry of entries) {
    if (entry.kind === 'fault' && parse(entry).kind === 'damage') isDamaged = true
    if (entry.kind === 'loaded') {
      newestLife = Math.max(newestLife, entry.generation)
      if (entry.generation === newestLife && entry.step < newestCommit && !isDamaged)
        broken.push(`life ${entry.generation} began at ${entry.step}, ${newestCommit} was committed`)
    }
    if (entry.kind === 'committed') newestCommit = Math.max(newestCommit, entry.step)
    if (entry.kind !== 'visible') continue
    if (entry.generation < newestLife)
      broken.push(`zombie: life ${entry.generation} committed step ${entry.step} beside life ${newestLife}`)
    if (entry.state !== states[entry.step]) broken.push(`life ${entry.generation} committed another state of step ${entry.step}`)
  }
  for (const { isVerified, step, state, name } of checkpoints) {
    if (isVerified && state !== states[step]) broken.push(`${name} holds another state`)
  }
  if (newestCommit > 0 && !isDamaged && !checkpoints.some(({ isVerified }) => isVerified)) broken.push('no checkpoint is left')
  return broken
}

/** A life that nothing happened to, or nothing that it must feel, is not ended. */
function checkAlarms({ entries }: History): string[] {
  const harms = of(entries, 'fault').flatMap((entry) => {
    const fault = parse(entry)
    if (isUnfelt(fault)) return []
    return [{ from: entry.at, to: entry.at + ('ms' in fault ? fault.ms : 0), isHarmless: isShort(fault) }]
  })
  return of(entries, 'gone').flatMap(({ generation, at, message }) => {
    const since = of(entries, 'starting').find((entry) => entry.generation === generation)?.at ?? at
    const inLife = harms.filter(({ from, to }) => from <= at && to >= since)
    // Two short silences may make a long one.
    const isJustified = inLife.some(({ isHarmless }) => !isHarmless) || inLife.length > 1
    return isJustified ? [] : [`life ${generation} was ended for nothing: ${message.split('\n')[0]}`]
  })
}

function isUnfelt({ kind }: Fault): boolean {
  return ['wallJump', 'pauseAll', 'suspend', 'damage', 'slowBatches'].includes(kind)
}

/** A silence that the lease forgives. */
function isShort(fault: Fault): boolean {
  return ['clog', 'pause', 'orchestratorPause'].includes(fault.kind) && 'ms' in fault && fault.ms < 1000 * LEASE_SECONDS - 700
}

const of = <K extends Entry['kind']>(entries: readonly Entry[], kind: K): Of<K>[] =>
  entries.filter((entry) => entry.kind === kind) as Of<K>[]
const parse = (entry: Of<'fault'>): Fault => JSON.parse(entry.fault) as Fault
const faultsOf = (entries: readonly Entry[]): Fault[] => of(entries, 'fault').map(parse)
