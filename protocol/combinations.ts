/** Fields that do not fit each other, each with the reason: everything that can be known without the data and the machine. */
import type { TrainConfig } from './config.ts'
import type { NetworkConfig } from './network.ts'
import type { ObjectiveConfig } from './objective.ts'

/** One thing wrong with a config: where, and what was expected and came. */
export interface ConfigProblem {
  readonly path: string
  readonly message: string
}

const MAX_PORT = 65_534

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
  checkListen(worker.listen, expect)
  checkSchedule(config.optimizer, expect)
  if (objective.kind === 'ddim') checkDdim(objective, expect)
  if (objective.kind === 'consistency') checkConsistency(objective, expect)
  if (network.kind === 'unet') checkUnet(network, expect)
  checkSampling(config, expect)
  return problems
}

/** Whoever can reach an address beyond this machine must show a key that is on the list. */
function checkListen(listen: TrainConfig['worker']['listen'], expect: Expect): void {
  if (listen === null) return
  const { address, keyFile, clientKeys } = listen
  const [host = '', port = ''] = address.slice('tcp://'.length).split(/:(?=[^:]*$)/)
  expect(
    port === '*' || (Number(port) >= 1 && Number(port) <= MAX_PORT),
    'worker.listen.address',
    `expected a port from 1 to ${MAX_PORT} (batches take the one after it) or *, got ${port}`,
  )
  const isOpen = !isLoopback(host)
  const reach = `since ${address} can be reached from other machines`
  expect(
    keyFile !== null || (!isOpen && clientKeys.length === 0),
    'worker.listen.keyFile',
    `expected a key pair from \`immiscible keys\`, ${isOpen ? reach : 'since worker.listen.clientKeys asks for keys'}, got nothing`,
  )
  expect(
    clientKeys.length > 0 || (!isOpen && keyFile === null),
    'worker.listen.clientKeys',
    `expected at least one public key, ${isOpen ? reach : 'since a key pair without a list lets everybody in'}, got none`,
  )
}

/** Every other address, a wildcard included, counts as one that others can reach. */
function isLoopback(host: string): boolean {
  return /^127(\.\d{1,3}){3}$/.test(host) || host === '[::1]'
}

function checkSchedule({ lrScheduler, lrWarmupSteps, lrDecaySteps }: TrainConfig['optimizer'], expect: Expect): void {
  const isFalling = lrScheduler !== 'constant' && lrScheduler !== 'constant_with_warmup'
  expect(
    !isFalling || (lrDecaySteps !== null && lrDecaySteps > lrWarmupSteps),
    'optimizer.lrDecaySteps',
    `expected more than optimizer.lrWarmupSteps (${lrWarmupSteps}) with '${lrScheduler}', got ${lrDecaySteps ?? 'nothing'}`,
  )
  expect(
    isFalling || lrDecaySteps === null,
    'optimizer.lrDecaySteps',
    `expected nothing with '${lrScheduler}', which does not fall, got ${lrDecaySteps}`,
  )
}

function checkDdim({ betaStart, betaEnd }: Of<'ddim'>, expect: Expect): void {
  expect(betaStart < betaEnd, 'objective.betaStart', `expected less than objective.betaEnd (${betaEnd}), got ${betaStart}`)
}

function checkConsistency(objective: Of<'consistency'>, expect: Expect): void {
  const { sigmaMin, sigmaMax, s0, s1, loss, lpipsWeights } = objective
  expect(sigmaMin < sigmaMax, 'objective.sigmaMin', `expected less than objective.sigmaMax (${sigmaMax}), got ${sigmaMin}`)
  expect(s0 <= s1, 'objective.s0', `expected at most objective.s1 (${s1}), got ${s0}`)
  expect(
    loss !== 'lpips' || lpipsWeights !== null,
    'objective.lpipsWeights',
    "expected a safetensors file, since objective.loss is 'lpips', got nothing",
  )
  if (s0 <= s1) checkDoubling(objective, expect)
  expect(
    objective.targetEma === 'none' || objective.startEma > 0,
    'objective.startEma',
    "expected more than 0 with targetEma 'adaptive', whose rate is exp(s0 ln(startEma) / N(k)), got 0",
  )
  if (objective.levelSampling === 'lognormal' && sigmaMin < sigmaMax) checkLognormal(objective, expect)
}

/** N(k) doubles each K / (log2(s1 / s0) + 1) updates (Song & Dhariwal 2023, eq. 12 f.), which must be a whole one at least. */
function checkDoubling({ discretization, discretizationSteps, s0, s1 }: Of<'consistency'>, expect: Expect): void {
  const numStages = Math.ceil(Math.log2(Math.floor(s1 / s0))) + 1
  expect(
    discretization !== 'doubling' || discretizationSteps >= numStages,
    'objective.discretizationSteps',
    `expected at least ${numStages}, an update for each doubling from s0 (${s0}) to s1 (${s1}), got ${discretizationSteps}; it defaults to maxTrainSteps`,
  )
}

/** Beyond four standard deviations float32 has no probability left for any level. */
function checkLognormal({ sigmaMin, sigmaMax, pMean, pStd }: Of<'consistency'>, expect: Expect): void {
  const [least, most] = [Math.log(sigmaMin) - 4 * pStd, Math.log(sigmaMax) + 4 * pStd]
  expect(
    pMean >= least && pMean <= most,
    'objective.pMean',
    `expected ${least.toFixed(2)} to ${most.toFixed(2)}, within 4 pStd of ln sigmaMin and ln sigmaMax, since no level would be drawn, got ${pMean}`,
  )
}

function checkUnet(network: Unet, expect: Expect): void {
  const { blockOutChannels, normNumGroups, attnNormNumGroups, attentionHeadDim } = network
  const numBlocks = blockOutChannels.length
  for (const field of ['downBlockTypes', 'upBlockTypes'] as const) {
    expect(
      network[field].length === numBlocks,
      `network.${field}`,
      `expected ${numBlocks} blocks, one for each of network.blockOutChannels, got ${network[field].length}`,
    )
  }
  blockOutChannels.forEach((channels, level) => {
    expect(
      channels % normNumGroups === 0,
      `network.blockOutChannels[${level}]`,
      `expected a multiple of network.normNumGroups (${normNumGroups}), got ${channels}`,
    )
  })
  const last = blockOutChannels[numBlocks - 1]
  expect(
    attnNormNumGroups === null || last % attnNormNumGroups === 0,
    'network.attnNormNumGroups',
    `expected a divisor of the last of network.blockOutChannels (${last}), got ${attnNormNumGroups}`,
  )
  // The middle block attends, whatever the others do; upBlockTypes begin at the last level.
  const attending = blockOutChannels.filter(
    (_, level) =>
      level === numBlocks - 1 ||
      network.downBlockTypes[level]?.startsWith('Attn') ||
      network.upBlockTypes[numBlocks - 1 - level]?.startsWith('Attn'),
  )
  const narrowest = Math.min(...attending)
  expect(
    attentionHeadDim === null || attentionHeadDim <= narrowest,
    'network.attentionHeadDim',
    `expected at most ${narrowest}, the channels of the narrowest level with attention, got ${attentionHeadDim}`,
  )
}

/** A sampler has the options of its objective; an objective of the user's own says in Python which sampler it has. */
function checkSampling({ objective, sampling, evaluation, conditioning }: TrainConfig, expect: Expect): void {
  const { kind } = objective
  const { timestepSpacing, numInferenceSteps, guidanceScale } = sampling
  const only = (owner: ObjectiveConfig['kind'], field: keyof typeof sampling, wanted: unknown, why: string): void => {
    const got = sampling[field]
    expect(
      got === wanted || kind === owner || kind === 'module',
      `sampling.${field}`,
      `expected ${quote(wanted)} with objective '${kind}', ${why}, got ${quote(got)}`,
    )
  }
  only('ddim', 'eta', 0, 'whose sampler has no such noise')
  only('ddim', 'timestepSpacing', 'leading', 'which has no DDIM timesteps')
  only('ddim', 'useClippedModelOutput', false, 'which derives no noise from a clipped image')
  only('flow', 'solver', 'euler', 'which is no differential equation to it')
  const limit = kind === 'ddim' ? objective.numTrainTimesteps : kind === 'consistency' ? MAX_CONSISTENCY_STEPS : Infinity
  const limitName = kind === 'ddim' ? 'objective.numTrainTimesteps' : "the scheduler's levels"
  const counts = [
    ['sampling.numInferenceSteps', numInferenceSteps] as const,
    ...evaluation.numInferenceSteps.map((count, at) => [`evaluation.numInferenceSteps[${at}]`, count] as const),
  ]
  for (const [path, count] of counts) {
    expect(count <= limit, path, `expected at most ${limitName} (${limit}), got ${count}`)
    expect(
      kind !== 'ddim' || count > 1 || timestepSpacing === 'trailing',
      path,
      `expected at least 2 with '${timestepSpacing}', whose only timestep would be 0, where there is no noise left, got 1`,
    )
  }
  expect(
    guidanceScale === 1 || (conditioning.classLabels && conditioning.labelDropout > 0),
    'sampling.guidanceScale',
    `expected 1 without conditioning.classLabels and a conditioning.labelDropout above 0, which teach the network to do without a label, got ${guidanceScale}`,
  )
}

function quote(value: unknown): string {
  return typeof value === 'string' ? `'${value}'` : String(value)
}

/** Levels of CMStochasticIterativeScheduler as openai's checkpoints have it. */
const MAX_CONSISTENCY_STEPS = 40
