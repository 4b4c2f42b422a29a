/** The simulation: the real orchestrator's side against model workers, in virtual time, under faults that a seed decides. */
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { Campaign, Control } from './campaign.ts'
import { check } from './simulation/checker.ts'
import { PLANTED, schedulesToFind } from './simulation/controls.ts'
import { runSchedule } from './simulation/schedule.ts'

const SCHEDULES = { short: 300, quick: 2000, long: 30_000 }
/** Every so many schedules one is run again in this process, and so many in all in another one. */
const AGAIN_EVERY = 20
const ELSEWHERE = { short: 1, quick: 3, long: 10 }
/** A planted fault must be found within so many schedules. */
const CONTROL_LIMIT = 500
const REPLAY = join(import.meta.dirname, 'simulation', 'replay.ts')

export const simulation: Campaign = {
  name: 'simulation',
  promise:
    'whatever crashes, hangs, sleeps, is lost, late or doubled, and whenever: the run ends, with the state of the undisturbed run, each step applied once, or with a typed error',
  async run(scale, { seed, log }) {
    const violations: string[] = []
    const faults: Record<string, number> = {}
    const numSchedules = SCHEDULES[scale]
    const digests = new Map<number, string>()
    let numEvents = 0
    let virtualMs = 0
    for (let index = 0; index < numSchedules; index++) {
      const schedule = seedOf(seed, index)
      const run = await runSchedule(schedule)
      numEvents += run.numEvents
      virtualMs += run.virtualMs
      for (const entry of run.history.entries) {
        const kind =
          entry.kind === 'fault' ? (JSON.parse(entry.fault) as { kind: string }).kind : entry.kind === 'stopAsked' ? 'stop' : undefined
        if (kind !== undefined) faults[kind] = (faults[kind] ?? 0) + 1
      }
      for (const broken of check(run)) violations.push(`schedule ${schedule}: ${broken} (node ${REPLAY} ${schedule} --trace)`)
      if (index % AGAIN_EVERY === 0) digests.set(schedule, run.digest)
      if (index % 5000 === 4999) log(`${index + 1} of ${numSchedules} schedules`)
    }
    violations.push(...(await checkReplays(digests, ELSEWHERE[scale])))
    log(`${numEvents} events in ${Math.round(virtualMs / 3_600_000)} virtual hours; ${digests.size} schedules run again`)
    return { trials: numSchedules, faults: sortByName(faults), violations, controls: await plant(seed, log) }
  },
}

/** Another one for each index, since the factor is odd. */
function seedOf(seed: number, index: number): number {
  return (seed ^ Math.imul(index + 1, 0x9e3779b1)) >>> 0
}

/** The same seed is the same history, here and in another process. */
async function checkReplays(digests: ReadonlyMap<number, string>, numElsewhere: number): Promise<string[]> {
  const broken: string[] = []
  for (const [at, [schedule, digest]] of [...digests].entries()) {
    const again = (await runSchedule(schedule)).digest
    if (again !== digest) broken.push(`schedule ${schedule} has the trace ${digest}, and run again ${again}`)
    if (at >= numElsewhere) continue
    const { stdout } = await promisify(execFile)(process.execPath, [REPLAY, String(schedule)])
    const elsewhere = (JSON.parse(stdout) as { digest: string }).digest
    if (elsewhere !== digest) broken.push(`schedule ${schedule} has the trace ${digest}, and in another process ${elsewhere}`)
  }
  return broken
}

async function plant(seed: number, log: (line: string) => void): Promise<Control[]> {
  const controls: Control[] = []
  for (const planted of PLANTED) {
    const count = await schedulesToFind(planted, (index) => seedOf(~seed, index), CONTROL_LIMIT)
    log(`${planted.name}: ${count === undefined ? `not found in ${CONTROL_LIMIT} schedules` : `found by schedule ${count}`}`)
    controls.push({ name: planted.name, isCaught: count !== undefined })
  }
  return controls
}

function sortByName(counts: Readonly<Record<string, number>>): Record<string, number> {
  return Object.fromEntries(Object.entries(counts).toSorted(([a], [b]) => (a < b ? -1 : 1)))
}
