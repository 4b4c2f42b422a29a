/** `npm run bench:pipeline`: does preparing hide behind training? Worker wait, event loop, memory, two threads. --quick, --json FILE, --only memory|threads|wait. docs/pipeline.md reads the figures. */
import { writeFileSync } from 'node:fs'
import { availableParallelism, loadavg } from 'node:os'
import { parseArgs } from 'node:util'
import type { RunEventOf } from '../../protocol/index.ts'
import { describeCpu } from './cpu.ts'
import { quantile } from './loop-meter.ts'
import { measureSpeedUp } from './speed-up.ts'
import { runStub, type StubRun } from './stub-run.ts'

/** Batches were not ahead yet. */
const STARTING_STEPS = 5

const { values: flags } = parseArgs({
  options: { quick: { type: 'boolean', default: false }, json: { type: 'string' }, only: { type: 'string', multiple: true } },
})
const plan = flags.quick
  ? { stepsMs: [5, 50, 200], sizes: [128, 512], caseMs: 3000, leastSteps: 25, memorySteps: 4000, rounds: 3, roundMs: 500, pools: [256] }
  : {
      stepsMs: [5, 10, 20, 50, 100, 200, 500],
      sizes: [64, 128, 256, 512, 1024],
      caseMs: 8000,
      leastSteps: 40,
      memorySteps: 20_000,
      rounds: 7,
      roundMs: 1000,
      pools: [256, 1024],
    }
const rows: object[] = []
const missed: string[] = []

console.log(
  `${describeCpu()}; ${availableParallelism()} cores; load ${loadavg()[0].toFixed(1)}; Node ${process.version}; ${new Date().toISOString()}`,
)
const wants = (part: string): boolean => !flags.only || flags.only.includes(part)
if (wants('memory')) await benchMemory()
if (wants('threads')) for (const size of plan.pools) await benchThreads(size)
if (wants('wait')) for (const size of plan.sizes) await benchWait(size)
if (flags.json) {
  const machine = { cpu: describeCpu(), cores: availableParallelism(), node: process.version, date: new Date().toISOString() }
  writeFileSync(flags.json, `${JSON.stringify({ machine, missed, rows }, null, 2)}\n`)
}
console.log(missed.length === 0 ? '\nevery target is met' : `\nmissed:\n${missed.map((line) => `  ${line}`).join('\n')}`)

/** 20,000 steps as fast as they go: what grows now grows for ever. */
async function benchMemory(): Promise<void> {
  const samples: { step: number; rssMb: number; heapMb: number }[] = []
  const size = 64
  const run = await runStub(
    { dataset: { kind: 'digits' }, globalBatchSize: size, maxTrainSteps: plan.memorySteps },
    {
      stepMs: 0,
      onStep({ step }) {
        if (step % 50 !== 0) return
        const { rss, heapUsed } = process.memoryUsage()
        samples.push({ step, rssMb: rss / 2 ** 20, heapMb: heapUsed / 2 ** 20 })
      },
    },
  )
  console.log(`\nmemory over ${run.numSteps} steps of 0 ms, ${size} digits each; MB; ${rateOf(run)}`)
  for (const key of ['rssMb', 'heapMb'] as const) {
    const values = samples.map((sample) => sample[key])
    const quarter = Math.floor(values.length / 4)
    const quartiles = [0, 1, 2, 3].map((at) => quantile(values.slice(at * quarter, (at + 1) * quarter), 0.5))
    const perThousand = slope(samples.slice(quarter).map((sample) => [sample.step / 1000, sample[key]]))
    rows.push({ bench: 'memory', case: key, size, steps: run.numSteps, quartiles, perThousandSteps: perThousand })
    console.log(
      `  ${key.padEnd(11)} median of each quarter ${quartiles.map((value) => value.toFixed(1).padStart(7)).join('')}` +
        `   from the second quarter on ${perThousand >= 0 ? '+' : ''}${perThousand.toFixed(3)} MB per 1,000 steps`,
    )
    if (key === 'rssMb' && quartiles[3] > 1.05 * quartiles[1]) {
      missed.push(`memory: RSS ${quartiles[1].toFixed(0)} MB in the second quarter, ${quartiles[3].toFixed(0)} MB in the last`)
    }
  }
  reportLoop('0 ms', size, run)
}

async function benchThreads(size: number): Promise<void> {
  const result = await measureSpeedUp(size, { rounds: plan.rounds, ms: plan.roundMs })
  rows.push({ bench: 'threads', case: 'emoji', size, rounds: plan.rounds, ...result })
  const { pipeline, control, pipelineSpeedUp, controlSpeedUp, ratio } = result
  const rates = (pair: readonly number[]): string => pair.map((rate) => rate.toFixed(1).padStart(7)).join('')
  console.log(`\npools of ${size} emoji per second, one thread and two; medians of ${plan.rounds} rounds`)
  console.log(`  pipeline     ${rates(pipeline)}   speed-up ${pipelineSpeedUp.toFixed(2)}`)
  console.log(`  bare threads ${rates(control)}   speed-up ${controlSpeedUp.toFixed(2)}   ratio ${ratio.toFixed(2)}`)
  if (ratio < 0.9) missed.push(`threads: ${size} emoji, ratio of the speed-ups ${ratio.toFixed(2)}, expected at least 0.9`)
}

/** Every simulated step duration for one batch size, the longest first: it tells how long a pool takes before that decides anything. */
async function benchWait(size: number): Promise<void> {
  console.log(
    `\n${size} emoji 32x32   noise  assign   wait p50      p95  of step   wire p50     MB/s   loop: delay p99   own p99   own max   cpu p99   steps`,
  )
  let poolMs = 0
  for (const stepMs of plan.stepsMs.toReversed()) {
    const numSteps = STARTING_STEPS + Math.max(plan.leastSteps, Math.min(600, Math.round(plan.caseMs / Math.max(stepMs, poolMs))))
    const timelines: RunEventOf<'step'>['timeline'][] = []
    const run = await runStub(
      { dataset: { kind: 'emoji' }, globalBatchSize: size, maxTrainSteps: numSteps },
      { stepMs, onStep: ({ step, timeline }) => void (step >= STARTING_STEPS && timelines.push(timeline)) },
    )
    const median = (key: 'noiseMs' | 'assignMs' | 'wireMs'): number =>
      quantile(
        timelines.map((timeline) => timeline[key]),
        0.5,
      )
    const waits = timelines.map(({ waitMs }) => waitMs)
    const [noiseMs, assignMs, wireMs] = [median('noiseMs'), median('assignMs'), median('wireMs')]
    const [waitP50Ms, waitP95Ms] = [quantile(waits, 0.5), quantile(waits, 0.95)]
    poolMs = (noiseMs + assignMs) / run.threads
    const isAhead = poolMs < stepMs
    const bytesPerSecond = (run.bytesPerStep * (run.numSteps - 1)) / (run.wallMs / 1000)
    const figures = {
      stepMs,
      threads: run.threads,
      steps: waits.length,
      noiseMs,
      assignMs,
      isAhead,
      waitP50Ms,
      waitP95Ms,
      wireMs,
      bytesPerSecond,
    }
    rows.push({ bench: 'wait', case: 'emoji', size, ...figures, waitShareP95: waitP95Ms / stepMs, ...run.loop })
    const { delayP99Ms, activeP99Ms, activeMaxMs, cpuP99Ms } = run.loop
    console.log(
      `  step ${String(stepMs).padStart(3)} ms${isAhead ? ' ' : '*'}  ${cell(noiseMs, 6, 1)}  ${cell(assignMs, 6, 1)}   ${cell(waitP50Ms, 8, 3)} ${cell(waitP95Ms, 8, 3)} ` +
        `${cell((100 * waitP95Ms) / stepMs, 7, 2)}%   ${cell(wireMs, 8, 2)} ${cell(bytesPerSecond / 2 ** 20, 8, 1)}   ` +
        `${cell(delayP99Ms, 15, 2)} ${cell(activeP99Ms, 9, 2)} ${cell(activeMaxMs, 9, 2)} ${cell(cpuP99Ms, 9, 2)}   ${waits.length}`,
    )
    if (isAhead && stepMs >= 50 && waitP95Ms >= 0.01 * stepMs) {
      missed.push(
        `wait: ${size} emoji, steps of ${stepMs} ms: p95 ${waitP95Ms.toFixed(2)} ms, expected under ${(0.01 * stepMs).toFixed(1)} ms`,
      )
    }
    if (activeP99Ms >= 5)
      missed.push(`event loop: ${size} emoji, steps of ${stepMs} ms: own work p99 ${activeP99Ms.toFixed(2)} ms, expected under 5`)
  }
}

function reportLoop(what: string, size: number, { loop }: StubRun): void {
  rows.push({ bench: 'loop', case: what, size, ...loop })
  const figures = Object.entries(loop).map(([name, value]) => `${name} ${(value as number).toFixed(2)}`)
  console.log(`  event loop   ${figures.join('  ')}`)
  if (loop.activeP99Ms >= 5) missed.push(`event loop: steps of ${what}: own work p99 ${loop.activeP99Ms.toFixed(2)} ms, expected under 5`)
}

function rateOf({ numSteps, wallMs, bytesPerStep }: StubRun): string {
  const perSecond = (numSteps - 1) / (wallMs / 1000)
  return `${perSecond.toFixed(0)} steps/s, ${((perSecond * bytesPerStep) / 2 ** 20).toFixed(1)} MB/s`
}

function cell(value: number, width: number, digits: number): string {
  return value.toFixed(digits).padStart(width)
}

/** Of the least-squares line. */
function slope(points: readonly (readonly [number, number])[]): number {
  const mean = (at: 0 | 1): number => points.reduce((sum, point) => sum + point[at], 0) / points.length
  const [meanX, meanY] = [mean(0), mean(1)]
  const covariance = points.reduce((sum, [x, y]) => sum + (x - meanX) * (y - meanY), 0)
  return covariance / points.reduce((sum, [x]) => sum + (x - meanX) ** 2, 0)
}
