/** Held-out loss in real runs: told in events, result and model card; the same after a resume, and in a loop of one's own. */
import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { expect, onTestFinished, test } from 'vitest'
import { resumeImmiscible, serveBatches, trainImmiscible, type RunEvent } from '../../ts/index.ts'
import { pythonPath } from '../fixture/python.ts'
import { eventsOf, readEvents, temporaryFolder, TINY } from './run.ts'

const SECONDS = 1000
const HELD = { ...TINY, maxTrainSteps: 12, checkpoint: { everySteps: 4 }, validation: { numImages: 20, everySteps: 5 } }

const losses = (events: readonly RunEvent[]) => eventsOf(events, 'validation').map(({ step, loss, emaLoss }) => ({ step, loss, emaLoss }))

test('a run tells it at every interval and at its end, resumed or not', { timeout: 180 * SECONDS }, async () => {
  const folder = temporaryFolder()
  const straight = await trainImmiscible({ ...HELD, outputDir: join(folder, 'straight') })
  const told = losses(readEvents(straight.runFolder))
  expect(told.map(({ step }) => step)).toEqual([5, 10, 12])
  expect(straight.metrics).toMatchObject({ heldOutLoss: told[2].loss, heldOutEmaLoss: told[2].emaLoss })
  const card = readFileSync(join(straight.pipelineFolder, 'README.md'), 'utf8')
  expect(card).toContain(`| loss on 20 held-out images, EMA weights | ${Number(told[2].emaLoss?.toPrecision(6))} |`)

  const outputDir = join(folder, 'resumed')
  const handle = trainImmiscible({ ...HELD, outputDir })
  for await (const event of handle) if (event.kind === 'step' && event.step === 6) handle.stop()
  await handle
  const resumed = await resumeImmiscible(outputDir)
  expect(resumed.stateSha256).toBe(straight.stateSha256)
  expect(losses(readEvents(outputDir))).toEqual(told)
})

const PRINT = `
import json, sys
from immiscible_worker import AssignedBatches
with AssignedBatches(sys.argv[1], timeout_seconds=20) as batches:
    held = batches.held_out
    print(json.dumps([[batch.step, len(batch.images), list(batch.noise.shape), batch.labels.tolist()] for batch in held]))
    print(json.dumps([batch.step for batch in batches]))
`

test('a loop of your own has them before its first step', { timeout: 60 * SECONDS }, async () => {
  const outputDir = temporaryFolder()
  const serving = serveBatches({ ...HELD, outputDir })
  onTestFinished(async () => {
    serving.stop()
    await serving.catch(() => undefined)
  })
  const env = { ...process.env, PYTHONPATH: fileURLToPath(new URL('../../py', import.meta.url)), OMP_NUM_THREADS: '1' }
  const { stdout } = await promisify(execFile)(pythonPath(), ['-c', PRINT, outputDir], { env })
  const [held, steps] = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as unknown[])
  expect(held.map((batch) => (batch as unknown[]).slice(0, 3))).toEqual([
    [0, 8, [8, 1, 8, 8]],
    [0, 8, [8, 1, 8, 8]],
    [0, 4, [4, 1, 8, 8]],
  ])
  expect(steps).toEqual(Array.from({ length: 12 }, (_, step) => step))
})
