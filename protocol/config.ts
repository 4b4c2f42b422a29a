/** The configuration of a run: one schema per section. Every default of the project is here (those of data set, assignment, objective and network in their files) and nowhere else. */
import { z } from 'zod'
import { assignmentConfig, MAX_POOL_SIZE } from './assignment.ts'
import { datasetConfig } from './dataset.ts'
import { evaluationConfig } from './evaluation.ts'
import { networkConfig } from './network.ts'
import { objectiveConfig } from './objective.ts'

const positiveInt = z.int32().min(1)
const seconds = z.number().positive()

export const optimizerConfig = z
  .strictObject({
    kind: z.enum(['adam', 'adamw', 'radam']).default('adamw').describe('of PyTorch'),
    learningRate: z.number().positive().default(0.001).describe('at its peak'),
    lrScheduler: z
      .enum(['constant', 'constant_with_warmup', 'linear', 'cosine', 'cosine_with_restarts', 'polynomial'])
      .default('constant_with_warmup')
      .describe("by diffusers' names"),
    lrWarmupSteps: z.int32().min(0).default(100).describe('optimiser updates over which the rate rises from 0; not of constant'),
    lrDecaySteps: positiveInt
      .nullable()
      .default(null)
      .describe(
        'optimiser updates until a schedule that falls has ended, warm-up included. Default: maxTrainSteps; null for one that does not fall',
      ),
    lrNumCycles: positiveInt.default(1).describe('of cosine_with_restarts'),
    lrPower: z.number().positive().default(1).describe('of polynomial'),
    adamBeta1: z.number().min(0).lt(1).default(0.9).describe('decay of the mean gradient'),
    adamBeta2: z.number().min(0).lt(1).default(0.999).describe('decay of the mean squared gradient'),
    adamWeightDecay: z.number().min(0).default(0.0001).describe('decoupled in adamw; an L2 penalty in the others'),
    adamEpsilon: z.number().positive().default(1e-8).describe('added to the root of the mean squared gradient'),
    maxGradNorm: z.number().positive().default(1).describe('longer gradients are cut to this length'),
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
    useEmaWarmup: z.boolean().default(false).describe('1 - (1 + n / invGamma)^-power after n updates; else (1 + n) / (10 + n)'),
    invGamma: z.number().positive().default(1).describe('of the warm-up: optimiser updates that its curve is stretched by'),
    power: z
      .number()
      .positive()
      .default(2 / 3)
      .describe('of the warm-up: the exponent; 2/3 for runs beyond a million updates, 3/4 for shorter ones, as diffusers advises'),
  })
  .meta({ id: 'EmaConfig' })

export const samplingConfig = z
  .strictObject({
    everySteps: z.int32().min(0).default(500).describe('a sample grid every so many steps; 0: only at the end'),
    numImages: positiveInt.max(4096).default(64).describe('in a grid'),
    numInferenceSteps: positiveInt.default(50).describe('calls of the network for each image. Default: 50, for consistency 1'),
    seed: z.uint32().default(0).describe('of the noise that samples begin with, the same in every grid'),
    eta: z
      .number()
      .min(0)
      .max(1)
      .default(0)
      .describe('of ddim: fresh noise of the sampler; above 0 does not fit a model trained on assigned noise'),
    timestepSpacing: z
      .enum(['leading', 'linspace', 'trailing', 'quadratic'])
      .default('leading')
      .describe("of ddim, by diffusers' names; leading is the papers' linear selection, quadratic denser near the image"),
    useClippedModelOutput: z
      .boolean()
      .default(false)
      .describe('of ddim: derives the noise again from the clipped image, as ddpm-torch does'),
    solver: z.enum(['euler', 'dopri5']).default('euler').describe('of flow; dopri5 chooses its steps by itself, to a tolerance of 1e-5'),
    guidanceScale: z
      .number()
      .min(0)
      .default(1)
      .describe('classifier-free guidance of a class-conditional model: 1 is none, 0 the unconditional model'),
  })
  .meta({ id: 'SamplingConfig' })
  .describe('from the EMA weights')

export const conditioningConfig = z
  .strictObject({
    classLabels: z.boolean().default(false).describe("the network is told each image's class"),
    labelDropout: z.number().min(0).lt(1).default(0.1).describe('share of labels replaced by "none", for guidance while sampling'),
  })
  .meta({ id: 'ConditioningConfig' })

export const trainingConfig = z
  .strictObject({
    mixedPrecision: z.enum(['no', 'fp16', 'bf16']).default('no').describe('of the network; fp16 scales the loss and needs a GPU'),
    gradientAccumulationSteps: positiveInt
      .default(1)
      .describe('parts of a batch that go through the network one after the other; the assignment is over the whole batch'),
    gradientCheckpointing: z.boolean().default(false).describe('less memory, more time'),
    torchCompile: z.boolean().default(false).describe('compiles the network first: minutes at the start, faster steps afterwards'),
    allowTf32: z.boolean().default(false).describe('on NVIDIA GPUs from Ampere on: faster float32 products of 10 bits'),
    deterministic: z.boolean().default(true).describe('false lets torch choose faster kernels whose sums differ from run to run'),
  })
  .meta({ id: 'TrainingConfig' })

export const validationConfig = z
  .strictObject({
    numImages: z
      .int32()
      .min(0)
      .default(0)
      .describe(
        'images never trained on, the same for a seed and data set, more of them the same and others; shown as they are, once each; 0: none',
      ),
    everySteps: positiveInt
      .default(500)
      .describe(
        'updates between measurements of their loss, and once more at the end of the run. Each keeps its noise, timestep and time: noise that no ' +
          'training sample has, assigned by the strategy of the run over assignment.poolSize held-out images (the last pool is what is left), ' +
          'as it is from startStep on; persistent has kept none for them, and assigns as in its first epoch',
      ),
  })
  .meta({ id: 'ValidationConfig' })

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
    everySteps: positiveInt.default(500).describe('optimiser updates between checkpoints'),
    totalLimit: positiveInt.default(2).describe('verified checkpoints kept'),
  })
  .meta({ id: 'CheckpointConfig' })

export const listenConfig = z
  .strictObject({
    address: z
      .string()
      .regex(
        /^tcp:\/\/(\*|[\d.]+|\[[\da-fA-F:.]+\]):(\*|\d{1,5})$/,
        'expected tcp://HOST:PORT, where HOST is an IP address of this machine or * for all',
      )
      .describe('tcp://HOST:PORT: events at PORT, batches at PORT + 1; * for any two free ports'),
    keyFile: z.string().min(1).nullable().default(null).describe('the secret file of the key pair of this side, from `immiscible keys`'),
    clientKeys: z
      .array(z.string().min(1))
      .default([])
      .describe('files with the public keys of those who may connect, from `immiscible keys`; nobody else gets in'),
  })
  .meta({ id: 'ListenConfig' })
  .describe('TCP with CURVE, for workers on other hosts; keys may be left out on a loopback address only')

export const workerConfig = z
  .strictObject({
    device: z.enum(['auto', 'cuda', 'mps', 'cpu']).default('auto').describe('auto: the first of cuda, mps and cpu that is there'),
    numThreads: z
      .int32()
      .min(0)
      .default(0)
      .describe('torch threads within an operation; 0: on the CPU all cores but one, which is for the orchestrator'),
    startSeconds: seconds.default(120).describe('from launch to ready'),
    leaseSeconds: seconds.default(10).describe('silence after which the other side counts as gone'),
    stepSeconds: seconds.default(120).describe('the longest a step may go without progress; ten times that while saving or sampling'),
    maxRestarts: z
      .int32()
      .min(0)
      .default(2)
      .describe('restarts in a row without a step beyond the last failure: by default a step is tried three times'),
    listen: listenConfig.nullable().default(null).describe('where `serve` waits for clients; null: a socket that only this user can open'),
  })
  .meta({ id: 'WorkerConfig' })

export const pipelineConfig = z
  .strictObject({
    byteBudget: positiveInt.default(268_435_456).describe('bytes of pools in memory; never less than the one in use and one ahead'),
    threads: z.int32().min(0).max(64).default(0).describe('threads that prepare pools; 0: half the cores, four at most'),
    // setTimeout takes no more than 24.8 days, and beyond that fires at once.
    poolSeconds: seconds.max(86_400).default(600).describe('the longest that a thread may take for one pool, its start included'),
    datasetBytes: z
      .number()
      .int()
      .min(0)
      .default(2 ** 31)
      .describe('a decoded data set up to so many bytes is held in memory, once for all threads; a larger one is read from its file'),
    credits: positiveInt.default(2).describe('batches sent to a worker that it has not staged yet'),
    noiseDtype: z.enum(['float16', 'float32']).default('float16').describe('noise on the wire'),
  })
  .meta({ id: 'PipelineConfig' })

export const trackingConfig = z
  .strictObject({
    reportTo: z
      .array(z.enum(['tensorboard', 'wandb', 'mlflow', 'trackio', 'comet_ml', 'aim', 'clearml', 'dvclive', 'swanlab']))
      .default(['tensorboard'])
      .describe(
        "trackers that get every step, by accelerate's names; tensorboard comes with the worker, wandb is installed when asked for, any other you install for the worker",
      ),
  })
  .meta({ id: 'TrackingConfig' })

/** A resolved run: complete, nothing left to default. It crosses the wire, and is written as config.json. */
export const trainConfig = z
  .strictObject({
    dataset: datasetConfig,
    objective: objectiveConfig,
    assignment: assignmentConfig,
    network: networkConfig,
    optimizer: optimizerConfig.prefault({}),
    ema: emaConfig.prefault({}),
    conditioning: conditioningConfig.prefault({}),
    training: trainingConfig.prefault({}),
    validation: validationConfig.prefault({}),
    sampling: samplingConfig.prefault({}),
    evaluation: evaluationConfig.prefault({}),
    gate: gateConfig.prefault({}),
    checkpoint: checkpointConfig.prefault({}),
    tracking: trackingConfig.prefault({}),
    worker: workerConfig.prefault({}),
    pipeline: pipelineConfig.prefault({}),
    globalBatchSize: positiveInt.max(MAX_POOL_SIZE).default(128).describe('images per optimiser step over all devices, never per device'),
    maxTrainSteps: positiveInt.default(2000).describe('optimiser updates in all'),
    seed: z.uint32().default(0).describe('of everything random: order, noise, timesteps, first weights'),
    outputDir: z.string().min(1).describe('the run folder'),
  })
  .meta({ id: 'TrainConfig' })

export type TrainConfig = z.infer<typeof trainConfig>
