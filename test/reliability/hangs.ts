/** Trials of `life-cycle`: a worker that hangs, that dies again and again of one batch, that shouts. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { openDataset } from '../../ts/dataset/table.ts'
import { compareWithTruth } from './ledger.ts'
import { eventsOf, isPlanDone, kill, listProcesses, setPlan, startCli, TINY, until, type Place } from './place.ts'
import { SECONDS_TO_HANG, type Trial } from './trial.ts'

/** What hangs, which clock of the orchestrator finds it, and what of the stacks must be in the log. */
const HANGS = [
  { action: 'sleep', found: /made no progress for \d+ s while training/, stack: /sitecustomize\.py", line \d+ in <lambda>/ },
  { action: 'spin', found: /made no progress for \d+ s while training/, stack: /sitecustomize\.py", line \d+ in spin/ },
  { action: 'hold GIL', found: /was silent for/, stack: /sitecustomize\.py", line \d+ in hold_gil/ },
  // It runs on for a moment when it is continued to tell its stack: the call may be over, and its caller on top.
  { action: 'stop worker', found: /was silent for/, stack: /sitecustomize\.py", line \d+ in (<lambda>|reach|wrapped)/ },
] as const
/** As short as a busy machine allows: a worker that is only slow must not count as one that hangs. */
const IMPATIENT = { worker: { ...TINY.worker, leaseSeconds: 5, stepSeconds: 5 } }

export const HANG_TRIALS: readonly Trial[] = [
  ...HANGS.map((hang): Trial => ({
    name: `hang: ${hang.action}`,
    kind: 'hangs',
    scales: hang.action === 'stop worker' ? ['short', 'quick', 'long'] : ['quick', 'long'],
    changes: IMPATIENT,
    run: async ({ place, truth }) => {
      const violations = await attemptHang(place, hang)
      return violations.length > 0 ? violations : compareWithTruth(place, truth)
    },
  })),
  {
    name: 'hang: heartbeats that always tell of progress',
    kind: 'hangs',
    finds: /the hang was not found/,
    scales: ['quick', 'long'],
    changes: IMPATIENT,
    run: ({ place }) => attemptHang(place, HANGS[0], 'progress always fresh'),
  },
  {
    name: 'no false alarm: a save that takes seven seconds, where a step may take five',
    kind: 'long saves',
    scales: ['quick', 'long'],
    changes: IMPATIENT,
    run: async ({ place, truth }) => {
      setPlan(place, { phase: 'before-save', count: 2, action: 'pause' })
      const { code } = await startCli(place).ended
      const alarms = eventsOf(place, 'worker').filter(({ state }) => state === 'gone')
      if (!isPlanDone(place) || alarms.length > 0) return [`${alarms.length} alarms: ${alarms[0]?.message}`]
      return code === 0 ? compareWithTruth(place, truth) : [`exit code ${code}`]
    },
  },
  {
    name: 'crash loop',
    kind: 'crash loops',
    scales: ['short', 'quick', 'long'],
    changes: { worker: { ...TINY.worker, maxRestarts: undefined } },
    run: ({ place }) => attemptCrashLoop(place),
  },
  {
    name: 'crash loop: one try more than three',
    kind: 'crash loops',
    finds: /expected 3 tries, got 4/,
    scales: ['quick', 'long'],
    changes: { worker: { ...TINY.worker, maxRestarts: 3 } },
    run: ({ place }) => attemptCrashLoop(place),
  },
  {
    name: 'output: a worker that shouts and is killed',
    kind: 'floods of output',
    scales: ['quick', 'long'],
    run: async ({ place, truth }) => {
      setPlan(place, { phase: 'after-step', count: 12, action: 'shout' })
      const { code } = await startCli(place).ended
      const log = readFileSync(join(place.runFolder, 'worker.log'), 'latin1')
      const lines = log.split('\n')
      const violations = code === 0 ? [] : [`exit code ${code}`]
      if (lines.filter((line) => line.startsWith('shout ')).length !== 5000) violations.push('lines are missing')
      if (!lines.some((line) => line.length === 3_000_000)) violations.push('the long line is not whole')
      if (!log.includes('last words \xff')) violations.push('the last words are missing')
      return [...violations, ...compareWithTruth(place, truth)]
    },
  },
]

async function attemptHang(place: Place, { action, found, stack }: (typeof HANGS)[number], fault?: string): Promise<string[]> {
  setPlan(place, { phase: 'backward-done', count: 13, action })
  const cli = startCli(place, fault === undefined ? {} : { env: { HOOK_FAULT: fault } })
  const gone = (): readonly string[] =>
    eventsOf(place, 'worker')
      .filter(({ state }) => state === 'gone')
      .map(({ message }) => message)
  // One that is never found would hang for ever.
  const isFound = await until(fault === undefined ? SECONDS_TO_HANG : 25, () => gone().length > 0 || cli.child.exitCode !== null)
  const violations = isFound && isPlanDone(place) ? [] : ['the hang was not found']
  if (!isFound) {
    kill(cli.pid, 'SIGKILL')
    for (const pid of listProcesses(place)) kill(pid, 'SIGKILL')
  }
  const { code } = await cli.ended
  if (code !== 0) return [...violations, `exit code ${code}`]
  if (gone().length !== 1) violations.push(`${gone().length} alarms: ${gone().join(' | ')}`)
  if (!found.test(gone()[0] ?? '')) violations.push(`it was found otherwise: ${gone()[0]}`)
  const log = readFileSync(join(place.runFolder, 'worker.log'), 'utf8')
  for (const part of [stack, /in _loop|channel\.py", line \d+ in _run/])
    if (!part.test(log)) violations.push(`no stack in worker.log with ${part}, which ends ${JSON.stringify(log.slice(-2000))}`)
  return violations
}

/** Step 7 kills whoever trains on it. */
async function attemptCrashLoop(place: Place): Promise<string[]> {
  const cli = startCli(place, { env: { HOOK_FAULT: 'poison' } })
  const { code } = await cli.ended
  const numTries = eventsOf(place, 'worker').filter(({ state }) => state === 'starting').length
  const violations = code === 1 ? [] : [`expected exit code 1, got ${code}`]
  if (numTries !== 3) violations.push(`expected 3 tries, got ${numTries}`)
  const said = /failed 3 times in a row without getting past step 7 \(images ([\d, ]+) of digits\)/.exec(cli.said())
  if (!said) return [...violations, `no diagnosis: ${cli.said().slice(-300)}`]
  // The images named are the images that the worker had.
  const dataset = await openDataset({ kind: 'digits' } as Parameters<typeof openDataset>[0])
  const size = dataset.imageShape.reduce((product, length) => product * length, 1)
  const images = said[1].split(', ').map(Number)
  const expected = new Uint8Array(images.length * size)
  for (const [row, image] of images.entries()) dataset.read(image, expected, row * size)
  if (!readFileSync(join(place.folder, 'poison.bin')).equals(expected)) violations.push('the images named are not those of the batch')
  return violations
}
