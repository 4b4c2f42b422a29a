/** What the handle of a run promises: errors before anything is written, stop(), abort, your own strategy, a failing worker. */
import { cpSync, existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, onTestFinished, test, vi } from 'vitest'
import { ConfigError, linear, resumeImmiscible, sampleRun, trainImmiscible, type AssignmentStrategy } from '../../ts/index.ts'
import { eventsOf, readEvents, temporaryFolder, TINY } from './run.ts'

const SECONDS = 1000

test.each<[string, object, string, string]>([
  ['an unknown key', { batchSize: 3 }, 'batchSize', "unknown key; did you mean 'globalBatchSize'?"],
  ['a wrong type', { globalBatchSize: 'many' }, 'globalBatchSize', "expected number, got 'many'"],
  ['an unknown strategy', { assignment: { kind: 'hungarian' } }, 'assignment.kind', "got 'hungarian'"],
  [
    'a batch larger than the data set',
    { globalBatchSize: 1798 },
    'globalBatchSize',
    'expected at most the 1797 images of digits, got 1798',
  ],
  [
    'a pool larger than the data set',
    { assignment: { kind: 'linear', poolSize: 2000 }, globalBatchSize: 8 },
    'assignment.poolSize',
    'got 2000',
  ],
  [
    'a pool that is no multiple',
    { assignment: { kind: 'linear', poolSize: 100 } },
    'assignment.poolSize',
    'a multiple of globalBatchSize (8), got 100',
  ],
  [
    'a strategy object that is not there',
    { assignment: { kind: 'custom', name: 'mine' } },
    'assignment',
    "expected the strategy object 'mine' itself",
  ],
])('%s is one clear error, and nothing is written', async (_, change, path, message) => {
  const outputDir = join(temporaryFolder(), 'run')
  const error = await trainImmiscible({ ...TINY, outputDir, ...change }).catch((reason: unknown) => reason)
  expect(error).toBeInstanceOf(ConfigError)
  expect((error as ConfigError).problems).toHaveLength(1)
  expect((error as ConfigError).problems[0]).toMatchObject({ path, message: expect.stringContaining(message) as string })
  expect(existsSync(outputDir)).toBe(false)
})

test('the reader of events gets the error too', async () => {
  const run = trainImmiscible({ ...TINY, globalBatchSize: 0, outputDir: join(temporaryFolder(), 'run') })
  await expect(async () => {
    for await (const _ of run);
  }).rejects.toThrow('globalBatchSize: expected at least 1, got 0')
})

test('your own strategy pairs the noise, stop() saves, and the run goes on with it', { timeout: 120 * SECONDS }, async () => {
  const outputDir = join(temporaryFolder(), 'run')
  const inner = linear()
  let pools = 0
  const mine: AssignmentStrategy = {
    name: 'mine',
    candidatesPerImage: 1,
    assign(pool, images, noise, noiseIndex) {
      pools++
      return inner.assign(pool, images, noise, noiseIndex)
    },
  }
  const run = trainImmiscible({ ...TINY, maxTrainSteps: 100_000, assignment: mine, outputDir })
  for await (const event of run) if (event.kind === 'step' && event.step === 12) run.stop()
  const stopped = await run
  expect(stopped.outcome).toBe('stopped')
  expect(stopped.step).toBeGreaterThanOrEqual(13)
  expect(stopped.step).toBeLessThan(100)
  expect(pools).toBeGreaterThanOrEqual(stopped.step)
  expect(readFileSync(join(stopped.checkpointFolder, 'manifest.json'), 'utf8')).toContain(stopped.stateSha256)
  await expect(resumeImmiscible(outputDir)).rejects.toThrow("expected the strategy object 'mine' that the run was started with, got none")
  const resumed = await resumeImmiscible(outputDir, { assignment: mine, maxTrainSteps: stopped.step + 2 })
  expect(resumed).toMatchObject({ outcome: 'finished', step: stopped.step + 2 })
})

test('an aborted run is saved, and says that it was aborted', { timeout: 120 * SECONDS }, async () => {
  const outputDir = join(temporaryFolder(), 'run')
  const controller = new AbortController()
  const run = trainImmiscible({ ...TINY, maxTrainSteps: 100_000, outputDir }, { signal: controller.signal })
  const seen = (async () => {
    for await (const event of run) if (event.kind === 'step' && event.step === 3) controller.abort()
  })()
  await expect(seen).rejects.toMatchObject({ code: 'ABORTED' })
  await expect(run).rejects.toThrow(/aborted after step \d+, and saved/)
  expect(eventsOf(readEvents(outputDir), 'checkpoint').length).toBeGreaterThan(0)
  expect(eventsOf(readEvents(outputDir), 'end')).toMatchObject([{ outcome: 'stopped' }])
})

test("a worker's own error arrives with Python's message and traceback, and is not tried again", { timeout: 120 * SECONDS }, async () => {
  const outputDir = join(temporaryFolder(), 'run')
  // So large a step makes the loss infinite within a few updates.
  const run = trainImmiscible({ ...TINY, optimizer: { learningRate: 1e30, lrWarmupSteps: 0, maxGradNorm: 1e30 }, outputDir })
  await expect(run).rejects.toMatchObject({
    code: 'WORKER_FAILED',
    message: expect.stringContaining('NONFINITE') as string,
    traceback: expect.stringContaining('.py') as string,
  })
  const events = readEvents(outputDir)
  expect(eventsOf(events, 'worker').filter(({ state }) => state === 'starting')).toHaveLength(1)
  expect(eventsOf(events, 'end')).toMatchObject([{ outcome: 'failed' }])
})

test('a fault in the objective stops the run at the next gate, once and for all', { timeout: 120 * SECONDS }, async () => {
  // Python imports sitecustomize.py from there: the worker's own objective then permutes the noise from its fourth call on.
  vi.stubEnv('PYTHONPATH', fileURLToPath(new URL('../fixture/planted', import.meta.url)))
  vi.stubEnv('PLANTED_STEPS', '3')
  onTestFinished(() => void vi.unstubAllEnvs())
  const outputDir = join(temporaryFolder(), 'run')
  await expect(trainImmiscible({ ...TINY, gate: { everySteps: 5 }, outputDir })).rejects.toMatchObject({
    code: 'WORKER_FAILED',
    message: expect.stringMatching(/PAIRING: .*step 5: call 1 of the network: sample is not made of what was received/) as string,
    isRetryable: false,
  })
  const events = readEvents(outputDir)
  expect(eventsOf(events, 'worker').filter(({ state }) => state === 'starting')).toHaveLength(1)
  expect(eventsOf(events, 'step').map(({ step }) => step)).toEqual([0, 1, 2, 3, 4])
  expect(eventsOf(events, 'end')).toMatchObject([{ outcome: 'failed', step: 5 }])
})

test(
  'a stochastic sampler of a coupled model is a warning: of the run, and of its pipeline folder elsewhere, which samples as the run did',
  { timeout: 120 * SECONDS },
  async () => {
    const folder = temporaryFolder()
    const sampling = { ...TINY.sampling, eta: 0.5 }
    const { pipelineFolder, runFolder } = await trainImmiscible({ ...TINY, sampling, maxTrainSteps: 2, outputDir: join(folder, 'run') })
    const coupled = eventsOf(readEvents(runFolder), 'warning').filter(({ code }) => code === 'SAMPLER_COUPLED')
    expect(coupled.map(({ message }) => message)).toEqual([expect.stringContaining('sampling.eta: 0.5 makes the sampler draw fresh noise')])
    const elsewhere = join(folder, 'elsewhere')
    cpSync(pipelineFolder, elsewhere, { recursive: true })
    const warningsOf = async (eta?: number): Promise<string[]> => {
      const warnings: string[] = []
      const options = { numImages: 2, numInferenceSteps: 2, ...(eta !== undefined && { eta }) }
      await sampleRun(elsewhere, join(folder, 'grid.png'), { ...options, onWarning: (_, code) => warnings.push(code) })
      return warnings
    }
    expect(await warningsOf(0.5)).toEqual(['SAMPLER_COUPLED'])
    expect(await warningsOf()).toEqual(['SAMPLER_COUPLED'])
    expect(await warningsOf(0)).toEqual([])
  },
)
