/** Sample quality while training: when it is measured, that it disturbs nothing, and that a run that was cut off measures the same. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { resolveConfig, type TrainConfig } from '../../protocol/index.ts'
import { checkData } from '../../ts/conditions.ts'
import { resumeImmiscible, trainImmiscible, type RunEvent, type TrainInput } from '../../ts/index.ts'
import { latentDataset } from '../fixture/latents.ts'
import { eventsOf, readEvents, temporaryFolder, TINY } from './run.ts'

const SECONDS = 1000
const LENGTHS = { maxTrainSteps: 12, checkpoint: { everySteps: 4 }, tracking: { reportTo: [] } } satisfies Partial<TrainInput>
const MEASURED = { ...TINY, ...LENGTHS, evaluation: { everySteps: 5, numImages: 32, numInferenceSteps: [2, 3], numBootstrap: 4 } }

/** What was measured, without how long it took. */
const figures = (events: readonly RunEvent[]) =>
  eventsOf(events, 'evaluation').map(({ time: _time, durationMs: _duration, ...evaluation }) => evaluation)

test('is measured for each number of inference steps, disturbs no weight, and comes again alike', { timeout: 600 * SECONDS }, async () => {
  const folder = temporaryFolder()
  const straight = await trainImmiscible({ ...MEASURED, outputDir: join(folder, 'straight') })
  const told = figures(readEvents(straight.runFolder))
  expect(told.map(({ step, numInferenceSteps }) => [step, numInferenceSteps])).toEqual([
    [5, 2],
    [5, 3],
    [10, 2],
    [10, 3],
    [12, 2],
    [12, 3],
  ])
  for (const { measures, features, featuresSha256, numImages, numReference, reference } of told) {
    expect({ features, numImages, numReference }).toEqual({ features: 'classifier', numImages: 32, numReference: 898 })
    expect(reference).toContain('1,797 images of digits')
    expect(featuresSha256).toMatch(/^[0-9a-f]{64}$/)
    const byName = new Map(measures.map(({ name, ...measure }) => [name, measure]))
    expect([...byName.keys()]).toEqual(expect.arrayContaining(['fdClassifier', 'kdClassifier', 'slicedWasserstein', 'nearestTrain']))
    expect(byName.has('fid')).toBe(false)
    // A network of a few steps is far from real images, and its distance is known to within its interval.
    const { value, low, high, floor } = byName.get('fdClassifier') as (typeof measures)[number]
    expect(value).toBeGreaterThan(floor as number)
    expect([low as number, value as number, high as number].toSorted((a, b) => a - b)).toEqual([low, value, high])
  }
  expect(told[0].measures).not.toEqual(told[4].measures)

  const { evaluation: _, ...unmeasured } = MEASURED
  const other = await trainImmiscible({ ...unmeasured, outputDir: join(folder, 'unmeasured') })
  expect(other.stateSha256).toBe(straight.stateSha256)
  expect(figures(readEvents(other.runFolder))).toEqual([])

  const handle = trainImmiscible({ ...MEASURED, outputDir: join(folder, 'resumed') })
  for await (const event of handle) if (event.kind === 'step' && event.step === 6) handle.stop()
  await handle
  const resumed = await resumeImmiscible(join(folder, 'resumed'))
  expect(figures(readEvents(resumed.runFolder))).toEqual(told)
})

test('of a data set with splits, the text says which the real images are of', { timeout: 180 * SECONDS }, async () => {
  const folder = temporaryFolder()
  const numImages = 60
  const header = (...lengths: number[]): Buffer => {
    const bytes = Buffer.alloc(4 + 4 * lengths.length)
    bytes.writeUInt16BE(0x08_00 | lengths.length, 2)
    for (const [at, length] of lengths.entries()) bytes.writeUInt32BE(length, 4 + 4 * at)
    return bytes
  }
  const pixels = Uint8Array.from({ length: numImages * 64 }, (_, at) => (at * 2_654_435_761) >>> 24)
  const labels = Uint8Array.from({ length: numImages }, (_, at) => at % 10)
  writeFileSync(join(folder, 't10k-images-idx3-ubyte'), Buffer.concat([header(numImages, 8, 8), pixels]))
  writeFileSync(join(folder, 't10k-labels-idx1-ubyte'), Buffer.concat([header(numImages), labels]))
  const dataset = { kind: 'idx', path: folder, split: 'test' } as const
  const evaluation = { everySteps: 2, numImages: 16 }
  const { runFolder } = await trainImmiscible({ ...MEASURED, dataset, evaluation, maxTrainSteps: 2, outputDir: join(folder, 'run') })
  const [{ reference }] = eventsOf(readEvents(runFolder), 'evaluation')
  expect(reference).toMatch(/^30 of the 60 images of mnist-test, split test;/)
})

test.each([
  ['a hash that is another', (file: string) => ({ weights: file, sha256: 'ab'.repeat(32) }), /inception\.pt.*abab/],
  ['no file', (file: string) => ({ weights: `${file}.gone`, sha256: 'ab'.repeat(32) }), /inception\.pt\.gone/],
])('%s for the Inception network ends the run before its first step', { timeout: 180 * SECONDS }, async (_name, inceptionOf, message) => {
  const folder = temporaryFolder()
  const file = join(folder, 'inception.pt')
  writeFileSync(file, 'no network')
  const outputDir = join(folder, 'run')
  const run = trainImmiscible({ ...MEASURED, evaluation: { ...MEASURED.evaluation, inception: inceptionOf(file) }, outputDir })
  await expect(run).rejects.toThrow(message)
  expect(eventsOf(readEvents(outputDir), 'step')).toEqual([])
})

test('latents, which are no pixels, are refused', () => {
  const resolved = resolveConfig({ ...MEASURED, dataset: { kind: 'arrays', path: 'latents.safetensors' }, outputDir: 'unused' })
  if ('problems' in resolved) throw new Error(JSON.stringify(resolved.problems))
  const refusal = (config: TrainConfig): string[] => checkData(config, latentDataset().dataset).map(({ path }) => path)
  expect(refusal(resolved.config)).toContain('evaluation.everySteps')
  const { evaluation } = resolved.config
  expect(refusal({ ...resolved.config, evaluation: { ...evaluation, everySteps: 0 } })).not.toContain('evaluation.everySteps')
})
