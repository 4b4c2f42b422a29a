/** Fields that do not fit each other, each with the reason: everything that can be known without the data and the machine. */
import type { TrainConfig } from './config.ts'
import type { NetworkConfig } from './network.ts'
import type { ObjectiveConfig } from './objective.ts'

/** One thing wrong with a config: where, and what was expected and came. */
export interface ConfigProblem {
  readonly path: string
  readonly message: string
}

type Expect = (holds: boolean, path: string, message: string) => void
type Unet = Extract<NetworkConfig, { kind: 'unet' }>
type Of<K extends ObjectiveConfig['kind']> = Extract<ObjectiveConfig, { kind: K }>

/** What is wrong with a config whose fields are each right. */
export function checkCombinations(config: TrainConfig): ConfigProblem[] {
  const problems: ConfigProblem[] = []
  const expect: Expect = (holds, path, message) => {
    if (!holds) problems.push({ path, message })
  }
  const { assignment, ema, globalBatchSize, network, objective, training, worker } = config
  expect(
    assignment.poolSize % globalBatchSize === 0,
    'assignment.poolSize',
    `expected a multiple of globalBatchSize (${globalBatchSize}), got ${assignment.poolSize}`,
  )
  const parts = training.gradientAccumulationSteps
  expect(
    globalBatchSize % parts === 0,
    'training.gradientAccumulationSteps',
    `expected a divisor of globalBatchSize (${globalBatchSize}), got ${parts}`,
  )
  expect(
    !(training.mixedPrecision === 'fp16' && worker.device === 'cpu'),
    'training.mixedPrecision',
    "expected 'no' or 'bf16', since fp16 with its loss scaling needs a GPU and worker.device is 'cpu', got 'fp16'",
  )
  expect(ema.minDecay <= ema.decay, 'ema.minDecay', `expected at most ema.decay (${ema.decay}), got ${ema.minDecay}`)
  checkSchedule(config.optimizer, expect)
  if (objective.kind === 'ddim') checkDdim(objective, expect)
  if (objective.kind === 'consistency') checkConsistency(objective, expect)
  if (network.kind === 'unet') checkUnet(network, expect)
  checkSampling(config, expect)
  return problems
}

function checkSchedule({ lrScheduler, lrWarmupSteps, lrDecaySteps }: TrainConfig['optimizer'], expect: Expect): void {
  const isFalling = lrScheduler !== 'constant' && lrScheduler !== 'constant_with_warmup'
  expect(
    !isFalling || (lrDecaySteps !== null && lrDecaySteps > lrWarmupSteps),
    'optimizer.lrDecaySteps',
    `expected more than optimizer.lrWarmupSteps (${lrWarmupSteps}) with '${lrScheduler}', got ${lrDecaySteps ?? 'nothing'}`,
  )
}

function checkDdim({ betaStart, betaEnd }: Of<'ddim'>, expect: Expect): void {
  expect(betaStart < betaEnd, 'objective.betaStart', `expected less than objective.betaEnd (${betaEnd}), got ${betaStart}`)
}

function checkConsistency({ sigmaMin, sigmaMax, s0, s1, loss, lpipsWeights }: Of<'consistency'>, expect: Expect): void {
  expect(sigmaMin < sigmaMax, 'objective.sigmaMin', `expected less than objective.sigmaMax (${sigmaMax}), got ${sigmaMin}`)
  expect(s0 <= s1, 'objective.s0', `expected at most objective.s1 (${s1}), got ${s0}`)
  expect(
    loss !== 'lpips' || lpipsWeights !== null,
    'objective.lpipsWeights',
    "expected a safetensors file, since objective.loss is 'lpips', got nothing",
  )
}

function checkUnet(network: Unet, expect: Expect): void {
  const numBlocks = network.blockOutChannels.length
  for (const field of ['downBlockTypes', 'upBlockTypes'] as const) {
    expect(
      network[field].length === numBlocks,
      `network.${field}`,
      `expected ${numBlocks} blocks, one for each of network.blockOutChannels, got ${network[field].length}`,
    )
  }
  network.blockOutChannels.forEach((channels, level) => {
    expect(
      channels % network.normNumGroups === 0,
      `network.blockOutChannels[${level}]`,
      `expected a multiple of network.normNumGroups (${network.normNumGroups}), got ${channels}`,
    )
  })
}

/** A sampler has the options of its objective; an objective of the user's own says in Python which sampler it has. */
function checkSampling({ objective, sampling, conditioning }: TrainConfig, expect: Expect): void {
  const { kind } = objective
  const only = (owner: ObjectiveConfig['kind'], isDefault: boolean, field: string, why: string, got: unknown, wanted: string): void =>
    expect(isDefault || kind === owner || kind === 'module', `sampling.${field}`, `expected ${wanted} with objective '${kind}', ${why}, got ${got}`)
  const { eta, timestepSpacing, useClippedModelOutput, solver, numInferenceSteps, guidanceScale } = sampling
  only('ddim', eta === 0, 'eta', 'whose sampler has no such noise', eta, '0')
  only('ddim', timestepSpacing === 'leading', 'timestepSpacing', 'which has no DDIM timesteps', `'${timestepSpacing}'`, "'leading'")
  only('ddim', !useClippedModelOutput, 'useClippedModelOutput', 'which derives no noise from a clipped image', 'true', 'false')
  only('flow', solver === 'euler', 'solver', 'which is no differential equation to it', `'${solver}'`, "'euler'")
  const limit = kind === 'ddim' ? objective.numTrainTimesteps : kind === 'consistency' ? MAX_CONSISTENCY_STEPS : Infinity
  const limitName = kind === 'ddim' ? 'objective.numTrainTimesteps' : "the scheduler's levels"
  expect(
    numInferenceSteps <= limit,
    'sampling.numInferenceSteps',
    `expected at most ${limitName} (${limit}), got ${numInferenceSteps}`,
  )
  expect(
    guidanceScale === 1 || (conditioning.classLabels && conditioning.labelDropout > 0),
    'sampling.guidanceScale',
    `expected 1 without conditioning.classLabels and a conditioning.labelDropout above 0, which teach the network to do without a label, got ${guidanceScale}`,
  )
}

/** Levels of CMStochasticIterativeScheduler as openai's checkpoints have it. */
const MAX_CONSISTENCY_STEPS = 40
