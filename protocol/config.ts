/** The configuration of a run: one schema per section. Every default of the project is here (the strategies' in assignment.ts) and nowhere else. */
import { z } from 'zod'
import { assignmentConfig, MAX_POOL_SIZE } from './assignment.ts'

const positiveInt = z.int32().min(1)
const seconds = z.number().positive()

const horizontalFlip = z.boolean().default(false).describe('mirror each sample with probability 1/2')

const imageScale = z
  .number()
  .positive()
  .default(1)
  .describe('multiplies the images, not the noise (Improved Immiscible Diffusion): the log-SNR of every timestep rises by 2 ln imageScale')

export const digitsDataset = z
  .strictObject({ kind: z.literal('digits'), horizontalFlip, imageScale })
  .meta({ id: 'DigitsDataset' })
  .describe('1,797 grey 8x8 images of 10 classes, embedded')

export const emojiDataset = z
  .strictObject({
    kind: z.literal('emoji'),
    resolution: z.int32().min(1).max(32).default(32).describe('height and width; below 32 by area averaging'),
    horizontalFlip,
    imageScale,
  })
  .meta({ id: 'EmojiDataset' })
  .describe('1,412 colour images of 7 classes on white, 32x32, embedded')

export const datasetConfig = z.discriminatedUnion('kind', [digitsDataset, emojiDataset]).meta({ id: 'DatasetConfig' })

export const ddimObjective = z
  .strictObject({
    kind: z.literal('ddim'),
    predictionType: z.enum(['epsilon']).default('epsilon'),
    numTrainTimesteps: positiveInt.default(1000),
    betaSchedule: z.enum(['linear', 'scaled_linear', 'squaredcos_cap_v2']).default('linear'),
    betaStart: z.number().positive().lt(1).default(0.0001),
    betaEnd: z.number().positive().lt(1).default(0.02),
  })
  .meta({ id: 'DdimObjective' })

const unetBlockDown = z.enum(['DownBlock2D', 'AttnDownBlock2D', 'ResnetDownsampleBlock2D'])
const unetBlockUp = z.enum(['UpBlock2D', 'AttnUpBlock2D', 'ResnetUpsampleBlock2D'])

export const networkConfig = z
  .strictObject({
    preset: z.enum(['tiny']).describe('the values of the fields that are not given'),
    blockOutChannels: z.array(positiveInt).min(1),
    layersPerBlock: positiveInt,
    downBlockTypes: z.array(unetBlockDown).min(1),
    upBlockTypes: z.array(unetBlockUp).min(1),
    attentionHeadDim: positiveInt,
    normNumGroups: positiveInt,
    dropout: z.number().min(0).lt(1),
  })
  .meta({ id: 'NetworkConfig' })
  .describe('a diffusers UNet2DModel, in its own words')

type NetworkPreset = z.infer<typeof networkConfig>['preset']
/** The values behind each network preset. */
export const NETWORK_PRESETS: Record<NetworkPreset, Omit<z.infer<typeof networkConfig>, 'preset'>> = {
  tiny: {
    blockOutChannels: [32, 64],
    layersPerBlock: 1,
    downBlockTypes: ['DownBlock2D', 'AttnDownBlock2D'],
    upBlockTypes: ['AttnUpBlock2D', 'UpBlock2D'],
    attentionHeadDim: 8,
    normNumGroups: 8,
    dropout: 0,
  },
}

export const optimizerConfig = z
  .strictObject({
    kind: z.enum(['adamw']).default('adamw'),
    learningRate: z.number().positive().default(0.001),
    lrScheduler: z.enum(['constant_with_warmup']).default('constant_with_warmup'),
    lrWarmupSteps: z.int32().min(0).default(100),
    adamBeta1: z.number().min(0).lt(1).default(0.9),
    adamBeta2: z.number().min(0).lt(1).default(0.999),
    adamWeightDecay: z.number().min(0).default(0.0001),
    adamEpsilon: z.number().positive().default(1e-8),
    maxGradNorm: z.number().positive().default(1),
  })
  .meta({ id: 'OptimizerConfig' })

export const emaConfig = z
  .strictObject({
    decay: z.number().min(0).lt(1).default(0.999).describe('the most it reaches; diffusers EMAModel warms up to it by itself'),
    minDecay: z
      .number()
      .min(0)
      .lt(1)
      .default(0)
      .describe('equal to decay: constant from the second update on; the first copies the weights'),
  })
  .meta({ id: 'EmaConfig' })

export const samplingConfig = z
  .strictObject({
    everySteps: z.int32().min(0).default(500).describe('a sample grid every so many steps; 0: only at the end'),
    numImages: positiveInt.max(4096).default(64),
    numInferenceSteps: positiveInt.default(50),
    seed: z.uint32().default(0),
    eta: z.number().min(0).max(1).default(0).describe('fresh noise of the sampler; above 0 does not fit a model trained on assigned noise'),
  })
  .meta({ id: 'SamplingConfig' })
  .describe('DDIM from the EMA weights')

export const gateConfig = z
  .strictObject({
    everySteps: z
      .int32()
      .min(0)
      .default(100)
      .describe(
        'compares by hash what enters network and loss with what was received: at the first step of a process, then so often; 0: never',
      ),
  })
  .meta({ id: 'GateConfig' })

export const checkpointConfig = z
  .strictObject({
    everySteps: positiveInt.default(500),
    totalLimit: positiveInt.default(2).describe('verified checkpoints kept'),
  })
  .meta({ id: 'CheckpointConfig' })

export const workerConfig = z
  .strictObject({
    device: z.enum(['auto', 'cuda', 'mps', 'cpu']).default('auto'),
    numThreads: z
      .int32()
      .min(0)
      .default(0)
      .describe('torch threads within an operation; 0: on the CPU all cores but one, which is for the orchestrator'),
    startSeconds: seconds.default(120).describe('from launch to ready'),
    leaseSeconds: seconds.default(10).describe('silence after which the other side counts as gone'),
    stepSeconds: seconds.default(120).describe('the longest a step may go without progress; ten times that while saving or sampling'),
    maxRestarts: z.int32().min(0).default(3).describe('restarts in a row without a step beyond the last failure'),
  })
  .meta({ id: 'WorkerConfig' })

export const pipelineConfig = z
  .strictObject({
    byteBudget: positiveInt.default(268_435_456).describe('bytes of pools in memory; never less than the one in use and one ahead'),
    threads: z.int32().min(0).max(64).default(0).describe('threads that prepare pools; 0: half the cores, four at most'),
    // setTimeout takes no more than 24.8 days, and beyond that fires at once.
    poolSeconds: seconds.max(86_400).default(600).describe('the longest that a thread may take for one pool, its start included'),
    credits: positiveInt.default(2).describe('batches sent to a worker that it has not staged yet'),
    noiseDtype: z.enum(['float16', 'float32']).default('float16').describe('noise on the wire'),
  })
  .meta({ id: 'PipelineConfig' })

export const trackingConfig = z
  .strictObject({
    reportTo: z
      .array(z.enum(['tensorboard', 'wandb']))
      .default([])
      .describe('trackers that get every step; their packages must be installed for the worker'),
  })
  .meta({ id: 'TrackingConfig' })

/** A resolved run: complete, nothing left to default. It crosses the wire, and is written as config.json. */
export const trainConfig = z
  .strictObject({
    dataset: datasetConfig,
    objective: ddimObjective.prefault({ kind: 'ddim' }),
    assignment: assignmentConfig,
    network: networkConfig,
    optimizer: optimizerConfig.prefault({}),
    ema: emaConfig.prefault({}),
    sampling: samplingConfig.prefault({}),
    gate: gateConfig.prefault({}),
    checkpoint: checkpointConfig.prefault({}),
    tracking: trackingConfig.prefault({}),
    worker: workerConfig.prefault({}),
    pipeline: pipelineConfig.prefault({}),
    globalBatchSize: positiveInt.max(MAX_POOL_SIZE).default(128).describe('images per optimiser step over all devices, never per device'),
    maxTrainSteps: positiveInt.default(2000),
    seed: z.uint32().default(0),
    outputDir: z.string().min(1).describe('the run folder'),
  })
  .meta({ id: 'TrainConfig' })

export type TrainConfig = z.infer<typeof trainConfig>
export type DatasetConfig = TrainConfig['dataset']
