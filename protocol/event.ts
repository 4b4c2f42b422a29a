/** Events: what a worker says to the orchestrator, one msgpack map each. */
import { z } from 'zod'

const finiteOrNull = z.number().nullable().describe('null: not finite')

/** Where and with what a checkpoint was written: a resume on another fingerprint is exact in data only, and is said so. */
export const fingerprint = z
  .strictObject({
    python: z.string(),
    torch: z.string(),
    diffusers: z.string(),
    device: z.string().describe('cpu, cuda:NAME or mps'),
    cpuCapability: z.string().describe('the instruction set torch dispatches to'),
    numThreads: z.int32().min(1),
    platform: z.string(),
  })
  .meta({ id: 'Fingerprint' })

export const hello = z
  .strictObject({
    kind: z.literal('hello'),
    protocolVersion: z.int32(),
    runId: z.string(),
    generation: z.int32().min(0),
    rank: z.int32().min(0),
    token: z.string(),
    configHash: z.string().describe('of the config that it was started for'),
    pid: z.int32(),
  })
  .meta({ id: 'Hello' })
  .describe('first on the control channel')

export const attach = z
  .strictObject({ kind: z.literal('attach'), token: z.string() })
  .meta({ id: 'Attach' })
  .describe('first and only message of a worker on the data channel, so that the router knows its address')

export const ready = z
  .strictObject({
    kind: z.literal('ready'),
    step: z.uint32().describe('the first step it wants: that of the checkpoint it loaded, or 0'),
    resumedFrom: z.string().nullable().describe('checkpoint folder'),
    numParameters: z.uint32(),
    fingerprint,
    warnings: z.array(z.string()),
  })
  .meta({ id: 'Ready' })

export const credit = z
  .strictObject({
    kind: z.literal('credit'),
    step: z.uint32(),
    heldMs: z.number().min(0).describe("from the whole message in the worker's hands to this credit, by the worker's clock"),
  })
  .meta({ id: 'Credit' })
  .describe('the batch of this step is staged: its buffers are free and another may be sent. Always before the stepDone of that step')

export const stepDone = z
  .strictObject({
    kind: z.literal('stepDone'),
    step: z.uint32(),
    loss: finiteOrNull,
    gradNorm: finiteOrNull,
    learningRate: z.number(),
    emaDecay: z.number(),
    trainMs: z.number().min(0),
    waitMs: z
      .number()
      .min(0)
      .describe('idle until the whole message had come; the check of its frames, if it was waited for, is in stageMs alone'),
    stageMs: z.number().min(0).describe('checking the frames (beside training, in the I/O thread) and copying them'),
    batchSha256: z.string().describe('of the tensor frames as trained on, in frame order'),
  })
  .meta({ id: 'StepDone' })

export const sampled = z
  .strictObject({
    kind: z.literal('sampled'),
    step: z.uint32(),
    path: z.string(),
    durationMs: z.number().min(0),
  })
  .meta({ id: 'Sampled' })

export const validated = z
  .strictObject({
    kind: z.literal('validated'),
    step: z.uint32().describe('optimiser updates applied'),
    loss: finiteOrNull.describe("of the network on the held-out images, without the network's dropout"),
    emaLoss: finiteOrNull.describe('of the EMA weights'),
    numImages: z.int32().min(1),
    durationMs: z.number().min(0),
  })
  .meta({ id: 'Validated' })
  .describe('the loss on images that are never trained on')

export const measure = z
  .strictObject({
    name: z.string(),
    value: finiteOrNull,
    low: finiteOrNull.describe('of the 95 % interval; null: none was asked for'),
    high: finiteOrNull,
    floor: finiteOrNull.describe('the same of real images that are not in the reference; null: unknown'),
  })
  .meta({ id: 'MeasureValue' })

export const evaluated = z
  .strictObject({
    kind: z.literal('evaluated'),
    step: z.uint32().describe('optimiser updates applied'),
    numInferenceSteps: z.int32().min(1),
    numImages: z.int32().min(1).describe('samples judged'),
    features: z.string().describe('what the features are of'),
    featuresSha256: z.string().nullable().describe('of the weights behind them; null: pixels alone'),
    reference: z.string().describe('the real images that samples are compared with, and how many'),
    numReference: z.int32().min(1),
    measures: z.array(measure),
    durationMs: z.number().min(0),
  })
  .meta({ id: 'Evaluated' })
  .describe('how good samples are')

export const saved = z
  .strictObject({
    kind: z.literal('saved'),
    step: z.uint32(),
    path: z.string(),
    stateSha256: z.string().describe('of weights, optimiser and EMA, tensor by tensor'),
    durationMs: z.number().min(0),
  })
  .meta({ id: 'Saved' })

export const heartbeat = z
  .strictObject({
    kind: z.literal('heartbeat'),
    phase: z.enum(['starting', 'waiting', 'compiling', 'training', 'validating', 'sampling', 'evaluating', 'saving', 'ending']),
    step: z.uint32(),
    ageMs: z.number().min(0).describe('since the phase or the step last changed'),
  })
  .meta({ id: 'Heartbeat' })

export const warning = z.strictObject({ kind: z.literal('warning'), code: z.string(), message: z.string() }).meta({ id: 'Warning' })

export const stopped = z
  .strictObject({
    kind: z.literal('stopped'),
    step: z.uint32().describe('optimiser updates applied'),
    checkpoint: z.string().describe('folder'),
    stateSha256: z.string(),
    pipeline: z.string().describe('folder'),
  })
  .meta({ id: 'Stopped' })
  .describe('last words of a worker that ends well')

export const failed = z
  .strictObject({
    kind: z.literal('failed'),
    code: z.string(),
    message: z.string(),
    traceback: z.string(),
    step: z.uint32(),
    isRetryable: z.boolean(),
  })
  .meta({ id: 'Failed' })

export const event = z
  .discriminatedUnion('kind', [
    hello,
    attach,
    ready,
    credit,
    stepDone,
    validated,
    sampled,
    evaluated,
    saved,
    heartbeat,
    warning,
    stopped,
    failed,
  ])
  .meta({ id: 'Event' })

export type Fingerprint = z.infer<typeof fingerprint>
export type WorkerEvent = z.infer<typeof event>
export type WorkerEventOf<K extends WorkerEvent['kind']> = Extract<WorkerEvent, { kind: K }>
