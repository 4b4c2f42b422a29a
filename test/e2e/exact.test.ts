/** Resume and recovery end in the same state, bit for bit: weights, optimiser and EMA, by SHA-256. */
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { resumeImmiscible, trainImmiscible, type RunEvent, type TrainResult } from '../../ts/index.ts'
import { eventsOf, readEvents, temporaryFolder, TINY } from './run.ts'

const SECONDS = 1000

/** The undisturbed run that the others are compared with. */
let straight: Promise<{ result: TrainResult; events: RunEvent[] }> | undefined
function runStraight(): NonNullable<typeof straight> {
  const folder = temporaryFolder()
  straight ??= (async () => {
    const result = await trainImmiscible({ ...TINY, outputDir: join(folder, 'run') })
    expect(readdirSync(result.runFolder).toSorted()).toEqual([
      'checkpoints',
      'config.json',
      'environment.json',
      'events.jsonl',
      'generation.json',
      'pipeline',
      'run.json',
      'samples',
      'tensorboard',
      'worker.log',
    ])
    expect(readdirSync(join(result.runFolder, 'checkpoints')).toSorted()).toEqual(['step-000000000050', 'step-000000000060'])
    expect(existsSync(join(result.pipelineFolder, 'model_index.json'))).toBe(true)
    expect(existsSync(result.samplePath as string)).toBe(true)
    return { result, events: readEvents(result.runFolder) }
  })()
  return straight
}

const batchesByStep = (events: readonly RunEvent[]): Map<number, Set<string>> => {
  const batches = new Map<number, Set<string>>()
  for (const { step, batchSha256 } of eventsOf(events, 'step')) batches.set(step, (batches.get(step) ?? new Set()).add(batchSha256))
  return batches
}

test('a run of 60 steps reports each once, in order', { timeout: 120 * SECONDS }, async () => {
  const { result, events } = await runStraight()
  expect(result).toMatchObject({ outcome: 'finished', step: 60 })
  expect(eventsOf(events, 'step').map(({ step }) => step)).toEqual(Array.from({ length: 60 }, (_, step) => step))
  expect(result.metrics?.gain).toBeGreaterThan(0.3)
  expect(eventsOf(events, 'end')).toMatchObject([{ outcome: 'finished', step: 60 }])
})

test('25 steps, a new process, and 35 more end in the same state', { timeout: 120 * SECONDS }, async () => {
  const { result: expected, events } = await runStraight()
  const outputDir = join(temporaryFolder(), 'run')
  const first = await trainImmiscible({ ...TINY, maxTrainSteps: 25, outputDir })
  expect(first).toMatchObject({ outcome: 'finished', step: 25 })
  const second = await resumeImmiscible(outputDir, { maxTrainSteps: 60 })
  expect(second).toMatchObject({ outcome: 'finished', step: 60, stateSha256: expected.stateSha256 })
  expect(second.stateSha256).not.toBe(first.stateSha256)
  expect(batchesByStep(readEvents(outputDir))).toEqual(batchesByStep(events))
})

test('three SIGKILLs of the worker at random moments end in the same state, with steps replayed', { timeout: 180 * SECONDS }, async () => {
  const { result: expected, events: undisturbed } = await runStraight()
  const outputDir = join(temporaryFolder(), 'run')
  // One kill in each third, never on a checkpoint, so that there is always something to replay.
  const killAt = [3, 21, 41].map((first) => first + Math.floor(Math.random() * 6))
  const run = trainImmiscible({ ...TINY, outputDir })
  let pid: number | null = null
  for await (const event of run) {
    if (event.kind === 'worker' && event.state === 'ready') pid = event.pid
    if (event.kind === 'step' && event.step >= (killAt[0] ?? Infinity)) {
      killAt.shift()
      process.kill(pid as number, 'SIGKILL')
    }
  }
  const result = await run
  const events = readEvents(outputDir)
  const steps = eventsOf(events, 'step').map(({ step }) => step)
  expect(result).toMatchObject({ outcome: 'finished', step: 60, stateSha256: expected.stateSha256 })
  expect(eventsOf(events, 'worker').filter(({ state }) => state === 'gone')).toHaveLength(3)
  expect(steps.length).toBeGreaterThan(60)
  expect(batchesByStep(events)).toEqual(batchesByStep(undisturbed))
})

test('another seed ends in another state: the comparison can fail', { timeout: 120 * SECONDS }, async () => {
  const { result: expected } = await runStraight()
  const other = await trainImmiscible({ ...TINY, seed: 6, outputDir: join(temporaryFolder(), 'run') })
  expect(other.stateSha256).not.toBe(expected.stateSha256)
})
