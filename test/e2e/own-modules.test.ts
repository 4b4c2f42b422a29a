/** Real runs with a network and an objective of the user's own, and from a network that was trained before. */
import { copyFileSync, existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { resumeImmiscible, sampleRun, trainImmiscible, type TrainInput } from '../../ts/index.ts'
import { eventsOf, readEvents, temporaryFolder, TINY } from './run.ts'

const SECONDS = 1000
const example = (name: string): string => fileURLToPath(new URL(`../../py/examples/${name}`, import.meta.url))
const SHORT = { ...TINY, maxTrainSteps: 4, checkpoint: { everySteps: 2 } }

test('both examples train, and go on in the same state', { timeout: 120 * SECONDS }, async () => {
  const folder = temporaryFolder()
  const module = join(folder, 'mine.py')
  copyFileSync(example('own_network.py'), module)
  const input = {
    ...SHORT,
    network: { module, options: { channels: 8, blocks: 2, dropout: 0.1 } },
    objective: { kind: 'module', module: example('own_objective.py'), options: { gamma: 0.5 } },
  } satisfies Omit<TrainInput, 'outputDir'>
  const straight = await trainImmiscible({ ...input, outputDir: join(folder, 'straight') })
  expect(straight).toMatchObject({ outcome: 'finished', step: 4 })
  expect(eventsOf(readEvents(straight.runFolder), 'warning').map(({ code }) => code)).not.toContain('GATE_BLIND')

  const outputDir = join(folder, 'resumed')
  await trainImmiscible({ ...input, maxTrainSteps: 2, outputDir })
  const resumed = await resumeImmiscible(outputDir, { maxTrainSteps: 4 })
  expect(resumed.stateSha256).toBe(straight.stateSha256)

  const grid = join(folder, 'grid.png')
  expect(existsSync(await sampleRun(outputDir, grid, { numImages: 2, numInferenceSteps: 2 }))).toBe(true)
  await expect(sampleRun(resumed.pipelineFolder, grid)).rejects.toThrow(/its network is code in unet\/network\.py/)

  writeFileSync(module, `${readFileSync(module, 'utf8')}\n`)
  await expect(resumeImmiscible(outputDir, { maxTrainSteps: 5 })).rejects.toThrow(
    /network\.module: .*mine\.py has changed since the run was made/,
  )
})

test("a mistake in the user's code ends the run with its place, and its traceback is in the log", { timeout: 60 * SECONDS }, async () => {
  const folder = temporaryFolder()
  const module = join(folder, 'mine.py')
  writeFileSync(module, 'def build(context):\n    return context.image_size  # no such field\n')
  const run = trainImmiscible({ ...SHORT, network: { module }, outputDir: join(folder, 'run') })
  await expect(run).rejects.toThrow(
    `network.module: ${module}: build() failed: AttributeError: 'NetworkContext' object has no attribute 'image_size'`,
  )
  expect(readFileSync(join(folder, 'run', 'worker.log'), 'utf8')).toContain('return context.image_size  # no such field')
})

test(
  'a run begins from the pipeline of another, whose content it holds to; a gate that compares nothing says so',
  { timeout: 120 * SECONDS },
  async () => {
    const folder = temporaryFolder()
    const first = await trainImmiscible({ ...SHORT, outputDir: join(folder, 'first') })
    const { network: _, ...rest } = SHORT
    const module = join(folder, 'blind.py')
    writeFileSync(module, readFileSync(example('own_objective.py'), 'utf8').replace('scheduler, loss, expect)', 'scheduler, loss)'))
    const objective = { kind: 'module', module } as const
    const input = { ...rest, objective, network: { initFrom: first.pipelineFolder }, maxTrainSteps: 2 }
    const outputDir = join(folder, 'second')
    const second = await trainImmiscible({ ...input, outputDir })
    expect(second).toMatchObject({ outcome: 'finished', step: 2 })
    expect(eventsOf(readEvents(outputDir), 'warning').map(({ code }) => code)).toContain('GATE_BLIND')
    const config = JSON.parse(readFileSync(join(outputDir, 'config.json'), 'utf8')) as { network: object }
    expect(config.network).toMatchObject({
      kind: 'pretrained',
      initFrom: first.pipelineFolder,
      sha256: expect.stringMatching(/^[0-9a-f]{64}$/),
    })
    const third = await trainImmiscible({ ...input, maxTrainSteps: 3, outputDir: join(folder, 'third') })
    expect((await resumeImmiscible(outputDir, { maxTrainSteps: 3 })).stateSha256).toBe(third.stateSha256)
    rmSync(first.pipelineFolder, { recursive: true })
    await expect(resumeImmiscible(outputDir, { maxTrainSteps: 4 })).rejects.toThrow(
      /network\.initFrom: expected a pipeline folder, one with unet\/config\.json/,
    )
  },
)
