import { expect, test } from 'vitest'
import { independent } from '../../../ts/assignment/independent.ts'
import { createStrategy } from '../../../ts/assignment/table.ts'
import { loadDigits } from '../../../ts/dataset/digits.ts'
import { plainKernel } from '../../../ts/kernel/plain.ts'
import { openPipeline } from '../../../ts/pipeline/pipeline.ts'
import { createPoolSource, type Batch } from '../../../ts/pipeline/source.ts'
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
    ...independent(),
    assign(pool, images, noise, noiseIndex) {
      calls.push(pool.firstSample)
      return independent().assign(pool, images, noise, noiseIndex)
    },
  })
  expect((await good.batch(0)).step).toBe(0)
  expect(calls[0]).toBe(0)
  await using bad = openPipeline(config, digits, {
    ...independent(),
    assign() {
      throw new Error('no idea')
    },
  })
  await expect(bad.batch(0)).rejects.toThrow('no idea')
})

test('a strategy that answers no permutation is caught', async () => {
  const config = testConfig({ globalBatchSize: 8, assignment: { kind: 'custom', name: 'twice' } })
  await using pipeline = openPipeline(config, digits, {
    name: 'twice',
    candidatesPerImage: 1,
    assign(_pool, _images, _noise, noiseIndex) {
      noiseIndex.fill(0)
      return {}
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
