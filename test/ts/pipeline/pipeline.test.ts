import { expect, test } from 'vitest'
import { independent } from '../../../ts/assignment/independent.ts'
import { createStrategy } from '../../../ts/assignment/table.ts'
import { loadDigits } from '../../../ts/dataset/digits.ts'
import { plainKernel } from '../../../ts/kernel/plain.ts'
import { openPipeline, poolsAhead } from '../../../ts/pipeline/pipeline.ts'
import { createPoolSource, poolLayout, type Batch } from '../../../ts/pipeline/source.ts'
import { testConfig } from '../../fixture/config.ts'

const digits = loadDigits()
const bytes = ({ tensors }: Batch): Buffer => Buffer.concat(tensors.map(({ data }) => data))

test('two threads and this one give the same bytes, in whatever order steps are asked for', async () => {
  const config = testConfig({ globalBatchSize: 32, assignment: { kind: 'quantized', poolSize: 128 }, maxTrainSteps: 40 })
  const source = createPoolSource(config, digits, createStrategy(config.assignment), plainKernel)
  await using first = openPipeline(config, digits)
  await using second = openPipeline(config, digits)
  for (const [mine, theirs] of [
    [0, 39],
    [1, 0],
    [2, 17],
    [3, 3],
    [4, 4],
    [3, 5],
    [31, 0],
    [0, 31],
  ] as const) {
    for (const [pipeline, step] of [
      [first, mine],
      [second, theirs],
    ] as const) {
      const batch = await pipeline.batch(step)
      expect(batch.step).toBe(step)
      expect(bytes(batch)).toEqual(bytes(source.pool(Math.floor(step / 4))[step % 4]))
    }
  }
})

test("a strategy object runs here, and its exception is the batch's", async () => {
  const config = testConfig({ globalBatchSize: 8, assignment: { kind: 'custom', name: 'mine' } })
  const calls: number[] = []
  await using good = openPipeline(config, digits, {
    strategy: {
      ...independent(),
      assign(pool, images, noise, noiseIndex) {
        calls.push(pool.firstSample)
        return independent().assign(pool, images, noise, noiseIndex)
      },
    },
  })
  expect((await good.batch(0)).step).toBe(0)
  expect(calls[0]).toBe(0)
  await using bad = openPipeline(config, digits, {
    strategy: {
      ...independent(),
      assign() {
        throw new Error('no idea')
      },
    },
  })
  await expect(bad.batch(0)).rejects.toThrow('no idea')
})

test('a strategy that answers no permutation is caught', async () => {
  const config = testConfig({ globalBatchSize: 8, assignment: { kind: 'custom', name: 'twice' } })
  await using pipeline = openPipeline(config, digits, {
    strategy: {
      name: 'twice',
      candidatesPerImage: 1,
      assign(_pool, _images, _noise, noiseIndex) {
        noiseIndex.fill(0)
        return {}
      },
    },
  })
  await expect(pipeline.batch(0)).rejects.toThrow(/twice.*permutation/)
})

test('a thread that is gone fails every batch that waits for it, and later ones', async () => {
  const pipeline = openPipeline(testConfig({ globalBatchSize: 8 }), digits)
  const waiting = [pipeline.batch(0), pipeline.batch(100)]
  await pipeline[Symbol.asyncDispose]()
  for (const batch of waiting) await expect(batch).rejects.toThrow(/preparing thread/)
  await expect(pipeline.batch(200)).rejects.toThrow(/preparing thread/)
})

test('batches come in order from many threads, each pool solved once, after jumps too', async () => {
  const config = testConfig({
    globalBatchSize: 8,
    assignment: { kind: 'quantized', poolSize: 16 },
    maxTrainSteps: 60,
    pipeline: { threads: 3 },
  })
  await using pipeline = openPipeline(config, digits)
  const steps = [...range(0, 20), ...range(7, 15), ...range(40, 60)] // a restart from an older checkpoint, then from a newer one
  for (const step of steps) expect((await pipeline.batch(step)).step).toBe(step)
  const together = range(0, 60).map((step) => pipeline.batch(step))
  expect((await Promise.all(together)).map(({ step }) => step)).toEqual(range(0, 60))
})

test('memory is freed when every batch of its pool is released, and not before; who asks again gets the same bytes', async () => {
  const config = testConfig({
    globalBatchSize: 8,
    assignment: { kind: 'quantized', poolSize: 16 },
    maxTrainSteps: 8,
    pipeline: { threads: 1 },
  })
  await using pipeline = openPipeline(config, digits)
  const [even, odd] = [await pipeline.batch(0), await pipeline.batch(1)]
  const expected = [bytes(even), bytes(odd)]
  pipeline.release(0)
  pipeline.release(0) // a credit counts once
  expect(bytes(even)).toEqual(expected[0])
  pipeline.release(1)
  for (const { tensors } of [even, odd]) for (const { data } of tensors) expect(data.byteLength).toBe(0)
  expect([bytes(await pipeline.batch(0)), bytes(await pipeline.batch(1))]).toEqual(expected)
})

test('a batch that is handed out again is not freed by the credit of its first time', async () => {
  const config = testConfig({
    globalBatchSize: 8,
    assignment: { kind: 'quantized', poolSize: 16 },
    maxTrainSteps: 8,
    pipeline: { threads: 1 },
  })
  await using pipeline = openPipeline(config, digits)
  await pipeline.batch(1)
  pipeline.release(1)
  // The worker came back from an older checkpoint.
  const [even, again] = [await pipeline.batch(0), pipeline.batch(1)]
  const expected = bytes(even)
  pipeline.release(0)
  expect(bytes(even)).toEqual(expected)
  expect((await again).tensors[0].data.byteLength).toBeGreaterThan(0)
  pipeline.release(1)
  expect(even.tensors[0].data.byteLength).toBe(0)
})

test('the byte budget says how many pools there may be, and two are the least', () => {
  const pool = (changes: object) => testConfig({ globalBatchSize: 8, pipeline: { threads: 1, ...changes } })
  const { poolBytes } = poolLayout(pool({}), digits)
  expect(poolsAhead(pool({ byteBudget: 1 }), digits)).toBe(1)
  expect(poolsAhead(pool({ byteBudget: 4 * poolBytes }), digits)).toBe(3)
  expect(poolsAhead(pool({ byteBudget: 5 * poolBytes - 1 }), digits)).toBe(3)
  expect(poolsAhead(pool({}), digits)).toBe(8)
  expect(poolsAhead(pool({ threads: 16 }), digits)).toBe(32)
})

const STUCK = new URL('../../fixture/stuck-thread.ts', import.meta.url)

const clocked = testConfig({
  globalBatchSize: 8,
  assignment: { kind: 'quantized', poolSize: 16 },
  pipeline: { threads: 1, poolSeconds: 3, byteBudget: 1 },
  maxTrainSteps: 8,
})

test('a thread that hangs is an error that names the pool, its steps and the setting; one with nothing to do is left alone', async () => {
  await using stuck = openPipeline(clocked, digits, { threadModule: STUCK })
  await using idle = openPipeline(clocked, digits)
  const message = 'pool 1 (steps 2 to 3) was not ready within 3 s (pipeline.poolSeconds)'
  expect((await idle.batch(0)).step).toBe(0)
  expect((await stuck.batch(1)).step).toBe(1)
  await expect(stuck.batch(2)).rejects.toMatchObject({ code: 'PIPELINE', message })
  await expect(stuck.batch(7)).rejects.toThrow(message) // and it stays one
  expect((await idle.batch(7)).step).toBe(7)
})

test('an orchestrator that was busy itself does not blame the thread', async () => {
  await using pipeline = openPipeline(clocked, digits)
  await pipeline.batch(0)
  const next = pipeline.batch(4)
  for (const end = performance.now() + 3500; performance.now() < end;);
  expect((await next).step).toBe(4)
})

const range = (from: number, to: number): number[] => Array.from({ length: to - from }, (_, at) => from + at)
