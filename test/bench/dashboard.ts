/**
 * What a dashboard costs the run that it shows: in one run, windows with a client that listens and windows without in turns (runs of their
 * own differ by a tenth on a shared machine), and the processor time of a server that tails a hundred steps a second.
 * `npm run bench:dashboard -- --pairs 30`.
 */
import { spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { get } from 'node:http'
import { availableParallelism, loadavg, tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { eventsOf, readEvents, TINY } from '../e2e/run.ts'
import { describeCpu } from './cpu.ts'
import { steps, writeEvents, writeRun } from '../e2e/written-run.ts'

const CLI = join(import.meta.dirname, '..', '..', 'ts', 'cli', 'main.ts')
const WARM_UP_MS = 3000
/** After a client has come or gone. */
const SETTLE_MS = 300
const WINDOW_MS = 2000
const CLOCK_TICKS = 100

const { values } = parseArgs({ options: { pairs: { type: 'string', default: '30' } } })
const folder = mkdtempSync(join(tmpdir(), 'immiscible-bench-'))

/** Listens as a page does; answers how many bytes came. */
function listen(url: string): { numBytes: () => number; stop: () => void } {
  let numBytes = 0
  const request = get(`${url}events`, (response) => response.on('data', (chunk: Buffer) => (numBytes += chunk.length)))
  request.on('error', () => undefined)
  return { numBytes: () => numBytes, stop: () => request.destroy() }
}

/** One run with a dashboard; a client comes and goes. Answers the milliseconds of the steps of each of the windows, in order. */
async function timeWindows(): Promise<{ hasClient: boolean; perStep: number; steps: number[] }[]> {
  const runFolder = join(folder, 'run')
  const config = join(folder, 'config.json')
  writeFileSync(config, JSON.stringify({ ...TINY, checkpoint: { everySteps: 1_000_000 }, maxTrainSteps: 1_000_000 }))
  const child = spawn(process.execPath, [CLI, 'train', '--config', config, '--output-dir', runFolder, '--dashboard'], {
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  const ended = new Promise((resolve) => child.once('close', resolve))
  let said = ''
  child.stderr.on('data', (chunk: Buffer) => (said += chunk.toString()))
  try {
    while (!said.includes('step 1')) await sleep(100)
    const url = /dashboard (http:\S+)/.exec(said)?.[1] ?? ''
    await sleep(WARM_UP_MS)
    const windows: { hasClient: boolean; from: number; to: number }[] = []
    // One more without, so that each with has one before and one after.
    for (let at = 0; at < 2 * Number(values.pairs) + 1; at++) {
      const hasClient = at % 2 === 1
      const client = hasClient ? listen(url) : undefined
      await sleep(SETTLE_MS)
      const from = Date.now()
      await sleep(WINDOW_MS)
      windows.push({ hasClient, from, to: Date.now() })
      client?.stop()
      if (client && client.numBytes() < 1000) throw new Error('nothing came')
    }
    const events = eventsOf(readEvents(runFolder), 'step')
    return windows.map(({ hasClient, from, to }) => {
      const inside = events.filter(({ time }) => time >= from && time < to)
      const perStep = (inside[inside.length - 1].time - inside[0].time) / (inside.length - 1)
      return { hasClient, perStep, steps: inside.map(({ timeline: { waitMs, trainMs } }) => waitMs + trainMs) }
    })
  } finally {
    child.kill('SIGINT')
    await ended
  }
}

/** Seconds of processor time that a process has had. */
function cpuSeconds(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return (Number(fields[11]) + Number(fields[12])) / CLOCK_TICKS
}

/** The share of one core that `immiscible view` takes for a hundred steps a second, with a client and without. */
async function measureServer(hasClient: boolean): Promise<number> {
  const SECONDS = 20
  const runFolder = join(folder, `served-${hasClient}`)
  writeRun(runFolder, 1000, { maxTrainSteps: 100_000, isEnded: false })
  const child = spawn(process.execPath, [CLI, 'view', runFolder, '--port', '0', '--no-open'], { stdio: ['ignore', 'pipe', 'ignore'] })
  const url = await new Promise<string>((resolve) => child.stdout.once('data', (chunk: Buffer) => resolve(chunk.toString().trim())))
  const client = hasClient ? listen(url) : undefined
  await sleep(2000)
  const before = cpuSeconds(child.pid ?? 0)
  for (let tick = 0; tick < SECONDS * 10; tick++) {
    writeEvents(runFolder, steps(1000 + tick * 10, 1010 + tick * 10))
    await sleep(100)
  }
  const share = (cpuSeconds(child.pid ?? 0) - before) / SECONDS
  client?.stop()
  child.kill()
  return share
}

/** Without the outermost tenths, which other processes make. */
function trimmedMean(numbers: readonly number[]): number {
  const cut = Math.floor(numbers.length / 10)
  const kept = numbers.toSorted((a, b) => a - b).slice(cut, numbers.length - cut)
  return kept.reduce((sum, value) => sum + value, 0) / kept.length
}

function median(numbers: readonly number[]): number {
  const sorted = numbers.toSorted((a, b) => a - b)
  return (sorted[(sorted.length - 1) >> 1] + sorted[sorted.length >> 1]) / 2
}

try {
  console.log(
    `${describeCpu()}; ${availableParallelism()} cores; load ${loadavg()[0].toFixed(1)}; Node ${process.version}; ${new Date().toISOString()}`,
  )
  const windows = await timeWindows()
  const of = (wanted: boolean): number[] => windows.filter(({ hasClient }) => hasClient === wanted).map(({ perStep }) => perStep)
  const ratios = of(true).map((one, at) => one / ((of(false)[at] + of(false)[at + 1]) / 2))
  const mean = ratios.reduce((sum, ratio) => sum + ratio, 0) / ratios.length
  const error = Math.sqrt(ratios.reduce((sum, ratio) => sum + (ratio - mean) ** 2, 0) / (ratios.length - 1) / ratios.length)
  console.log(
    `with a client ${median(of(true)).toFixed(3)}, without ${median(of(false)).toFixed(3)} ms per step (medians of ${ratios.length} windows of ${WINDOW_MS / 1000} s)`,
  )
  console.log(`ratio: median ${median(ratios).toFixed(4)}, mean ${mean.toFixed(4)} with a standard error of ${error.toFixed(4)}`)
  const stepsOf = (wanted: boolean): number[] =>
    windows.filter(({ hasClient }) => hasClient === wanted).flatMap(({ steps: inside }) => inside)
  for (const [name, figure] of [
    ['median', median],
    ['mean without the outermost tenths', trimmedMean],
  ] as const) {
    const [one, other] = [figure(stepsOf(true)), figure(stepsOf(false))]
    console.log(
      `wait and train of ${stepsOf(true).length} steps with, ${stepsOf(false).length} without, ${name}: ${one.toFixed(3)} and ${other.toFixed(3)} ms, ratio ${(one / other).toFixed(4)}`,
    )
  }
  if (process.platform === 'linux') {
    for (const hasClient of [false, true]) {
      const share = await measureServer(hasClient)
      console.log(`server, 100 steps a second, ${hasClient ? 'one client' : 'nobody looking'}: ${(share * 100).toFixed(2)} % of one core`)
    }
  }
} finally {
  rmSync(folder, { recursive: true, force: true })
}
