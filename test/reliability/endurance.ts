/** Trials of `life-cycle`: a consumer that stands still, clocks that jump, and thousands of steps. Memory and descriptors stay as they were. */
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { RunEvent } from '../../ts/index.ts'
import { checkLineage, compareWithTruth, workersOf } from './ledger.ts'
import { eventsOf, isPlanDone, kill, readLedger, readLines, setPlan, startCli, TINY, until, type Place } from './place.ts'
import { SECONDS_TO_HANG, type Trial, type TrialContext } from './trial.ts'

const MIB = 2 ** 20
const FAKETIME = '/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1'
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
const SLACK_BYTES = 128 * MIB
/** From the middle of the first half of the steps to that of the second: what the garbage collectors' timing leaves. */
const GROWTH_BYTES = 16 * MIB
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
    run: ({ place, scale, note }) => attemptStandstill(place, scale === 'long' ? 20 : 5, note),
  },
  {
    name: 'a worker that stands still, with credit for 250 batches',
    kind: 'consumers that stand still',
    finds: /more after \d+ s/,
    scales: ['quick', 'long'],
    changes: { ...LARGE, pipeline: { ...BUDGET, credits: 250 } },
    run: ({ place, note }) => attemptStandstill(place, 10, note),
  },
  {
    name: 'clock jumps',
    kind: 'clocks that jump',
    scales: ['short', 'quick', 'long'],
    changes: { worker: { ...TINY.worker, leaseSeconds: 30, stepSeconds: 5 } },
    run: async ({ place, truth }) => {
      const violations = await attemptClockJumps(place, { HOOK_FAULT: 'clock jumps' })
      return violations.length > 0 ? violations : compareWithTruth(place, truth)
    },
  },
  {
    name: 'clock jumps, by libfaketime',
    kind: 'clocks that jump',
    // Where it is installed: it reaches what is no JavaScript and no Python, too.
    scales: existsSync(FAKETIME) ? ['long'] : [],
    isPlain: true,
    changes: { worker: { ...TINY.worker, leaseSeconds: 30, stepSeconds: 5 } },
    run: async ({ place, truth }) => {
      const offsets = join(place.folder, 'offset')
      const jumps = ['+0', '-3d', '+2y', '-10y']
      let at = 0
      const jump = (): void => writeFileSync(offsets, `${jumps[at++ % jumps.length]}\n`)
      jump()
      const timer = setInterval(jump, 500)
      const env = { LD_PRELOAD: FAKETIME, FAKETIME_TIMESTAMP_FILE: offsets, FAKETIME_NO_CACHE: '1', FAKETIME_DONT_FAKE_MONOTONIC: '1' }
      const violations = await attemptClockJumps(place, env).finally(() => clearInterval(timer))
      return violations.length > 0 ? violations : compareWithTruth(place, truth)
    },
  },
  {
    name: 'timeouts by the wall clock',
    kind: 'clocks that jump',
    finds: /found gone: the worker was silent/,
    scales: ['short', 'quick', 'long'],
    // Each look at the clock is a chance of a false alarm: with a minute of them before the hang is found, it comes.
    changes: { worker: { ...TINY.worker, leaseSeconds: 30, stepSeconds: 60, maxRestarts: 0 } },
    run: ({ place }) => attemptClockJumps(place, { HOOK_FAULT: 'timeouts by the wall clock' }),
  },
  {
    name: 'thousands of steps',
    kind: 'long runs',
    scales: ['quick', 'long'],
    changes: MANY_STEPS,
    run: ({ place, scale, note }) => attemptManySteps(place, scale === 'long' ? 5000 : 600, note),
  },
  {
    name: 'thousands of steps, a descriptor and 256 KiB lost at each',
    kind: 'long runs',
    finds: /worker: (1[6-9]|[2-9]\d) MiB and \d{2,} descriptors more/,
    scales: ['quick', 'long'],
    changes: MANY_STEPS,
    run: ({ place, note }) => attemptManySteps(place, 300, note, 'leak'),
  },
]

async function attemptStandstill(place: Place, seconds: number, note: TrialContext['note']): Promise<string[]> {
  const cli = startCli(place)
  const numSteps = (): number => readLedger(place).filter(({ kind }) => kind === 'applied').length
  await until(SECONDS_TO_HANG, () => workersOf(place).length > 0 || cli.child.exitCode !== null)
  // Nothing was prepared yet: batches are, once a worker asks.
  const before = readRss(cli.pid)
  await until(SECONDS_TO_HANG, () => numSteps() >= 5 || cli.child.exitCode !== null)
  const worker = workersOf(place).at(-1)?.pid as number
  kill(worker, 'SIGSTOP')
  const stoppedAt = numSteps()
  let peak = 0
  for (const end = performance.now() + seconds * 1000; performance.now() < end; await sleep(50)) peak = Math.max(peak, readRss(cli.pid))
  note(`${mib(before)} when there was a worker, at most ${mib(peak)} in the ${seconds} s in which it stood still`)
  const bound = BUDGET.byteBudget + 4 * BATCH_BYTES + SLACK_BYTES
  const violations = peak - before <= bound ? [] : [`${mib(peak - before)} more after ${seconds} s, expected at most ${mib(bound)}`]
  kill(worker, 'SIGCONT')
  if (!(await until(SECONDS_TO_HANG, () => numSteps() >= stoppedAt + 5))) violations.push('it does not go on')
  cli.child.kill('SIGINT')
  const { code } = await cli.ended
  if (code !== 0) violations.push(`exit code ${code}: ${cli.said().slice(-300)}`)
  const ledger = readLedger(place)
  // Their own batches: what counts here is that each step was applied once, in order.
  const batches = ledger.filter(({ kind }) => kind === 'applied').map(({ batch }) => batch as string)
  return [...violations, ...checkLineage(ledger, batches)]
}

/** Both sides' wall clocks jump by days and years, many times a second; then a worker hangs, and is still found. */
async function attemptClockJumps(place: Place, env: Readonly<Record<string, string>>): Promise<string[]> {
  setPlan(place, { phase: 'after-step', count: 25, action: 'spin' })
  const cli = startCli(place, { env })
  const { code } = await cli.ended
  const gone = eventsOf(place, 'worker').filter(({ state }) => state === 'gone')
  const violations = code === 0 ? [] : [`exit code ${code}`]
  const times = readLines<RunEvent>(join(place.runFolder, 'events.jsonl')).map(({ time }) => time)
  if (!times.some((time, at) => time < times[at - 1])) violations.push('the clock did not jump')
  if (!isPlanDone(place)) violations.push('the worker did not get to the step that hangs')
  if (gone.length !== 1 || !gone[0]?.message.includes('made no progress'))
    violations.push(`found gone: ${gone.map(({ message }) => message).join(' | ')}`)
  return violations
}

async function attemptManySteps(place: Place, numSteps: number, note: TrialContext['note'], fault?: string): Promise<string[]> {
  // V8's young generation grows to tens of MB over thousands of steps and stays there: kept small, it hides no leak, and looks like none.
  const env = { NODE_OPTIONS: '--max-semi-space-size=2', ...(fault !== undefined && { HOOK_FAULT: fault }) }
  const cli = startCli(place, { args: ['--max-train-steps', String(numSteps)], env })
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
    await sleep(200)
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
    const descriptors = late.descriptors - early.descriptors
    const told = `${process}: ${mib(late.rss - early.rss)} and ${descriptors} descriptors more in ${late.step - early.step} steps`
    note(told)
    return late.rss - early.rss > GROWTH_BYTES || descriptors > 2 ? [told] : []
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
