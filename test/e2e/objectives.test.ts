/** Real runs of every objective: exact on resume with labels and training options, sampled as each can be; `npm run objectives` trains each for minutes, and is no test. */
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { resumeImmiscible, sampleRun, trainImmiscible, type SampleOptions, type TrainInput } from '../../ts/index.ts'
import { temporaryFolder, TINY } from './run.ts'

const SECONDS = 1000

interface Case {
  readonly objective: NonNullable<TrainInput['objective']>
  readonly sampled: SampleOptions
  readonly pipeline: string
}

const CASES: Readonly<Record<string, Case>> = {
  ddim: {
    objective: { kind: 'ddim', predictionType: 'v_prediction', snrGamma: 5 },
    sampled: { timestepSpacing: 'quadratic', numInferenceSteps: 3, useClippedModelOutput: true },
    pipeline: 'DDIMPipeline',
  },
  consistency: { objective: 'consistency', sampled: { numInferenceSteps: 2 }, pipeline: 'ConsistencyModelPipeline' },
  'consistency, original': {
    objective: { kind: 'consistency', preset: 'original' },
    sampled: { numInferenceSteps: 2 },
    pipeline: 'ConsistencyModelPipeline',
  },
  flow: { objective: { kind: 'flow', timeSampling: 'logit_normal' }, sampled: { numInferenceSteps: 3 }, pipeline: 'ImmisciblePipeline' },
}

test.each(Object.entries(CASES))(
  '%s trains with labels and options, goes on in the same state, and is sampled by label',
  { timeout: 180 * SECONDS },
  async (_, { objective, sampled }) => {
    const folder = temporaryFolder()
    const input = {
      ...TINY,
      objective,
      conditioning: { classLabels: true, labelDropout: 0.2 },
      training: { mixedPrecision: 'bf16', gradientAccumulationSteps: 2 },
      ema: { useEmaWarmup: true },
      sampling: { ...TINY.sampling, guidanceScale: 1.5 },
      maxTrainSteps: 8,
      checkpoint: { everySteps: 4 },
    } satisfies Omit<TrainInput, 'outputDir'>
    const { numInferenceSteps: _steps, ...sampling } = input.sampling
    const straight = await trainImmiscible({ ...input, sampling, outputDir: join(folder, 'straight') })
    expect(straight).toMatchObject({ outcome: 'finished', step: 8 })
    const outputDir = join(folder, 'resumed')
    const handle = trainImmiscible({ ...input, sampling, outputDir })
    for await (const event of handle) if (event.kind === 'step' && event.step === 3) handle.stop()
    await handle
    expect((await resumeImmiscible(outputDir)).stateSha256).toBe(straight.stateSha256)
    const grid = await sampleRun(outputDir, join(folder, 'grid.png'), { numImages: 4, classLabels: [3, 7], guidanceScale: 2, ...sampled })
    expect(existsSync(grid)).toBe(true)
  },
)

test.each(Object.entries(CASES))(
  '%s without labels leaves the pipeline that diffusers has for it',
  { timeout: 120 * SECONDS },
  async (_, { objective, pipeline }) => {
    const { numInferenceSteps: _steps, ...sampling } = TINY.sampling
    const outputDir = join(temporaryFolder(), 'run')
    // Eight steps: improved consistency training doubles its levels seven times.
    const { pipelineFolder } = await trainImmiscible({ ...TINY, objective, sampling, maxTrainSteps: 8, outputDir })
    expect(readFileSync(join(pipelineFolder, 'model_index.json'), 'utf8')).toContain(`"${pipeline}"`)
    expect(readFileSync(join(pipelineFolder, 'README.md'), 'utf8')).toContain('## Limits')
  },
)
