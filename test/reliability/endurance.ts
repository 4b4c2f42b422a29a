/** Trials of `life-cycle`: a consumer that stands still, clocks that jump, and thousands of steps. Memory and descriptors stay as they were. */
import { readdirSync, readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { checkLineage, compareWithTruth, workersOf } from './ledger.ts'
import { eventsOf, isPlanDone, kill, readLedger, setPlan, startCli, TINY, until, type Place } from './place.ts'
import { SECONDS_TO_HANG, type Trial, type TrialContext } from './trial.ts'

const MIB = 2 ** 20
/** 128 emoji of 32 x 32 x 3 with float16 noise are 1.2 MB: four such batches prepared ahead, and two on the way. */
const LARGE = {
  dataset: { kind: 'emoji', resolution: 32 },
  globalBatchSize: 128,
  maxTrainSteps: 2000,
  sampling: { ...TINY.sampling, everySteps: 0 },
  checkpoint: { everySteps: 10_000 },
  worker: { ...TINY.worker, leaseSeconds: 600, stepSeconds: 600 },
}
const BATCH_BYTES = 128 * (32 * 32 * 3 * 3 + 16)
const BUDGET = { byteBudget: 4 * BATCH_BYTES, threads: 1 }
/** Beside the batches: what the garbage collector and the allocator hold for a while. */
const SLACK_BYTES = 64 * MIB
const MANY_STEPS = {
  sampling: { ...TINY.sampling, everySteps: 0 },
  checkpoint: { everySteps: 500 },
  worker: { ...TINY.worker, maxRestarts: 0 },
}

export const ENDURANCE_TRIALS: readonly Trial[] = [
  {
    name: 'a worker that stands still',
    kind: 'consumers that stand still',
    scales: ['quick', 'long'],
    changes: { ...LARGE, pipeline: BUDGET },
    run: async ({ place, scale }) => attemptStandstill(place, scale === 'long' ? 20 : 5),
  },
  {
    name: 'a worker that stands still, with credit for 1000 batches',
    kind: 'consumers that stand still',
    isControl: true,
    scales: ['quick', 'long'],
    changes: { ...LARGE, pipeline: { ...BUDGET, credits: 1000 } },
    run: async ({ place }) => attemptStandstill(place, 10),
  },
  {
    name: 'clock jumps',
    kind: 'clocks that jump',
    scales: ['short', 'quick', 'long'],
    changes: { worker: { ...TINY.worker, leaseSeconds: 3, stepSeconds: 3 } },
    run: async ({ place, truth }) => {
      const violations = await attemptClockJumps(place, 'clock jumps')
      return violations.length > 0 ? violations : compareWithTruth(place, truth)
    },
  },
  {
    name: 'timeouts by the wall clock',
    kind: 'clocks that jump',
    isControl: true,
    scales: ['short', 'quick', 'long'],
    changes: { worker: { ...TINY.worker, leaseSeconds: 3, stepSeconds: 3, maxRestarts: 0 } },
    run: ({ place }) => attemptClockJumps(place, 'timeouts by the wall clock'),
  },
  {
    name: 'thousands of steps',
    kind: 'long runs',
    scales: ['quick', 'long'],
    changes: MANY_STEPS,
    run: ({ place, scale, note }) => attemptManySteps(place, scale === 'long' ? 5000 : 600, note),
  },
  {
    name: 'thousands of steps, a descriptor and 64 KiB lost at each',
    kind: 'long runs',
    isControl: true,
    scales: ['quick', 'long'],
    changes: MANY_STEPS,
    run: ({ place, note }) => attemptManySteps(place, 300, note, 'leak'),
  },
]

async function attemptStandstill(place: Place, seconds: number): Promise<string[]> {
  const cli = startCli(place)
  const numSteps = (): number => readLedger(place).filter(({ kind }) => kind === 'applied').length
  await until(SECONDS_TO_HANG, () => numSteps() >= 20 || cli.child.exitCode !== null)
  const worker = workersOf(place).at(-1)?.pid as number
  const before = readRss(cli.pid)
  kill(worker, 'SIGSTOP')
  const stoppedAt = numSteps()
  let peak = 0
  for (const end = performance.now() + seconds * 1000; performance.now() < end; await sleep(50)) peak = Math.max(peak, readRss(cli.pid))
  const bound = BUDGET.byteBudget + 4 * BATCH_BYTES + SLACK_BYTES
  const violations = peak - before <= bound ? [] : [`${mib(peak - before)} more after ${seconds} s, expected at most ${mib(bound)}`]
  kill(worker, 'SIGCONT')
  if (!(await until(SECONDS_TO_HANG, () => numSteps() >= stoppedAt + 20))) violations.push('it does not go on')
  cli.child.kill('SIGINT')
  const { code } = await cli.ended
  if (code !== 0) violations.push(`exit code ${code}: ${cli.said().slice(-300)}`)
  const ledger = readLedger(place)
  // Their own batches: what counts here is that each step was applied once, in order.
  const batches = ledger.filter(({ kind }) => kind === 'applied').map(({ batch }) => batch as string)
  return [...violations, ...checkLineage(ledger, batches)]
}

/** Both sides' wall clocks jump by days and years, twice a second; then a worker hangs, and is still found. */
async function attemptClockJumps(place: Place, fault: string): Promise<string[]> {
  setPlan(place, { phase: 'after-step', count: 25, action: 'sleep' })
  const cli = startCli(place, { env: { HOOK_FAULT: fault } })
  const { code } = await cli.ended
  const gone = eventsOf(place, 'worker').filter(({ state }) => state === 'gone')
  const violations = code === 0 ? [] : [`exit code ${code}`]
  if (!isPlanDone(place)) violations.push('the worker did not get to the step that hangs')
  if (gone.length !== 1 || !gone[0]?.message.includes('made no progress'))
    violations.push(`found gone: ${gone.map(({ message }) => message).join(' | ')}`)
  return violations
}

async function attemptManySteps(place: Place, numSteps: number, note: TrialContext['note'], fault?: string): Promise<string[]> {
  const cli = startCli(place, { args: ['--max-train-steps', String(numSteps)], env: fault === undefined ? {} : { HOOK_FAULT: fault } })
  const samples: { readonly step: number; readonly sizes: Record<string, { rss: number; descriptors: number }> }[] = []
  while (cli.child.exitCode === null && cli.child.signalCode === null) {
    const step = readLedger(place).filter(({ kind }) => kind === 'applied').length
    const worker = workersOf(place).at(-1)?.pid
    try {
      if (worker !== undefined && step > numSteps / 4)
        samples.push({ step, sizes: { orchestrator: measure(cli.pid), worker: measure(worker) } })
    } catch {
      // It has ended meanwhile.
    }
    await sleep(100)
  }
  const { code } = await cli.ended
  if (code !== 0) return [`exit code ${code}: ${cli.said().slice(-300)}`]
  return ['orchestrator', 'worker'].flatMap((process) => {
    const halves = [samples.slice(0, samples.length >> 1), samples.slice(samples.length >> 1)]
    const [early, late] = halves.map((half) => ({
      step: median(half.map(({ step }) => step)),
      rss: median(half.map(({ sizes }) => sizes[process].rss)),
      descriptors: median(half.map(({ sizes }) => sizes[process].descriptors)),
    }))
    const perStep = (late.rss - early.rss) / (late.step - early.step)
    const descriptors = late.descriptors - early.descriptors
    note(`${process}: ${((perStep * 1000) / 1024).toFixed(0)} KiB per 1000 steps, ${descriptors} descriptors more`)
    // 16 KiB a step would be 16 MB in a thousand steps; noise over hundreds of steps is less.
    return perStep > 16_384 || descriptors > 2
      ? [`${process}: ${(perStep / 1024).toFixed(1)} KiB a step, ${descriptors} descriptors more`]
      : []
  })
}

function measure(pid: number): { rss: number; descriptors: number } {
  return { rss: readRss(pid), descriptors: readdirSync(`/proc/${pid}/fd`).length }
}

function readRss(pid: number): number {
  const [, kib] = /VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? []
  if (kib === undefined) throw new Error(`process ${pid} has ended`)
  return Number(kib) * 1024
}

const median = (numbers: readonly number[]): number => numbers.toSorted((a, b) => a - b)[numbers.length >> 1] ?? 0
const mib = (bytes: number): string => `${(bytes / MIB).toFixed(0)} MiB`
