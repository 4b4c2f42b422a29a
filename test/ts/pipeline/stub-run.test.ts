/** The whole orchestrator (threads, real channel, run folder, report) against a worker that only sleeps. */
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { expect, test } from 'vitest'
import type { RunEventOf } from '../../../protocol/index.ts'
import type { Batch } from '../../../ts/pipeline/source.ts'
import { runStub } from '../../bench/stub-run.ts'

test('every step once, in order, each with a whole timeline', async () => {
  const steps: RunEventOf<'step'>[] = []
  const input = {
    globalBatchSize: 16,
    assignment: { kind: 'quantized', poolSize: 64 },
    maxTrainSteps: 60,
    pipeline: { threads: 2 },
  } as const
  await runStub(input, { stepMs: 2, onStep: (event) => void steps.push(event) })
  expect(steps.map(({ step }) => step)).toEqual(Array.from({ length: 60 }, (_, step) => step))
  for (const { timeline } of steps) {
    for (const [name, ms] of Object.entries(timeline)) expect(ms, name).toBeGreaterThanOrEqual(0)
    expect(Object.keys(timeline).toSorted()).toEqual(['assignMs', 'measureMs', 'noiseMs', 'stageMs', 'trainMs', 'waitMs', 'wireMs'])
  }
  // The stub measures with its own clock: a step is not shorter than its sleep, and the wire has taken something.
  expect(steps.every(({ timeline }) => timeline.trainMs >= 2)).toBe(true)
  expect(steps.some(({ timeline }) => timeline.wireMs > 0)).toBe(true)
})

setFlagsFromString('--expose-gc')
const collectGarbage = runInNewContext('gc') as () => void
const STEPS = 300

/**
 * Batches whose memory is still held after `STEPS` steps, garbage left out. Counted one by one: Node counts the memory of a buffer that came
 * from another thread neither as `external` nor as `arrayBuffers`.
 */
async function countHeld(onBatch: (batch: Batch) => void): Promise<number> {
  const buffers: WeakRef<ArrayBuffer>[] = []
  let numHeld = NaN
  await runStub(
    { assignment: { kind: 'independent' }, globalBatchSize: 32, maxTrainSteps: STEPS },
    {
      stepMs: 0,
      onBatch(batch) {
        buffers.push(new WeakRef(batch.tensors[0].data.buffer))
        onBatch(batch)
      },
      onStep({ step }) {
        if (step !== STEPS - 1) return
        collectGarbage()
        numHeld = buffers.filter((buffer) => buffer.deref() !== undefined).length
      },
    },
  )
  return numHeld
}

test('no batch is held for long; the control keeps every one, and is caught', async () => {
  expect(await countHeld(() => undefined)).toBeLessThan(12)
  const kept: Batch[] = []
  expect(await countHeld((batch) => void kept.push(batch))).toBe(STEPS)
})
