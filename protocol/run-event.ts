/** What a run tells its user: one line of events.jsonl each, and what `for await (const event of run)` yields. */
import { z } from 'zod'
import { evaluated, measure } from './event.ts'

const base = { time: z.number().describe('milliseconds since 1970; for reading only') }

/** How the noise of one pool, as assigned, differs from independent standard normal numbers. Deviations are in standard errors, with their sign. */
export const noiseDrift = z
  .strictObject({
    norm: z.number().describe('mean squared length of the noise over its dimensions; 1 for standard normal noise'),
    normDeviation: z.number().describe('of norm from 1; its standard error is sqrt(2 / (dims * images)), from the chi-squared law'),
    meanDeviation: z
      .number()
      .nullable()
      .describe(
        "of the mean along the data set's top principal directions from 0, the largest of them; null: no data set, or it has no directions",
      ),
    varianceDeviation: z
      .number()
      .nullable()
      .describe('of the variance along them from 1, the largest of them; null as above, or one image'),
    classMean: z
      .number()
      .nullable()
      .describe(
        'mean of the noise along the direction of its class (class mean - overall mean), over images, in standard deviations; ' +
          'an assignment that does not look at labels raises it; null: no labels',
      ),
    classMeanDeviation: z.number().nullable().describe('of classMean from 0; null: no labels'),
  })
  .meta({ id: 'NoiseDrift' })

/** What an assignment did to one batch. All distances are in the model's scale: pixels in [-1, 1], times the data set's imageScale. */
export const assignmentMetrics = z
  .strictObject({
    numMoved: z.int32().min(0).describe('images whose noise is not the one drawn for them'),
    preCost: z.number().describe('mean image-noise distance (L2 norm) before the assignment'),
    postCost: z.number().describe('and after it'),
    preGain: z.number().describe('mean projection of the noise on the direction of its image before, in standard deviations'),
    gain: z.number().describe('and after it; 0 for independent noise'),
    dualGap: z.number().nullable().describe('certified bound on the share of the optimal gain that was missed; null: not certified'),
    drift: noiseDrift,
  })
  .meta({ id: 'AssignmentMetrics' })

export const runEvent = z
  .discriminatedUnion('kind', [
    z.strictObject({
      ...base,
      kind: z.literal('run'),
      runId: z.string(),
      runFolder: z.string(),
      maxTrainSteps: z.int32(),
    }),
    z.strictObject({
      ...base,
      kind: z.literal('worker'),
      state: z.enum(['starting', 'ready', 'gone']),
      generation: z.int32(),
      step: z.int32().nullable().describe('first step (ready), last step heard of (gone)'),
      pid: z.int32().nullable().describe('null: starting'),
      message: z.string(),
    }),
    z.strictObject({
      ...base,
      kind: z.literal('step'),
      generation: z.int32(),
      step: z.int32().describe('optimiser updates before this one'),
      epoch: z.int32(),
      loss: z.number().nullable(),
      gradNorm: z.number().nullable(),
      learningRate: z.number(),
      emaDecay: z.number(),
      timeline: z
        .strictObject({
          noiseMs: z.number().describe('drawing the noise of the pool, per batch'),
          assignMs: z.number().describe('packing and solving the pool, per batch'),
          measureMs: z.number().describe('measuring what the assignment did, per batch'),
          wireMs: z
            .number()
            .describe('batch there and credit back: from the socket until the credit was heard, less what the worker held it'),
          stageMs: z.number().describe('checking (beside training) and copying in the worker'),
          waitMs: z.number().describe('worker idle for want of a batch'),
          trainMs: z.number(),
        })
        .describe('milliseconds'),
      assignment: assignmentMetrics,
      batchSha256: z.string(),
    }),
    z.strictObject({
      ...base,
      kind: z.literal('validation'),
      step: z.int32().describe('optimiser updates applied'),
      loss: z.number().nullable().describe('of the network on the held-out images'),
      emaLoss: z.number().nullable().describe('of the EMA weights'),
      numImages: z.int32(),
    }),
    z.strictObject({ ...base, ...evaluated.omit({ kind: true }).shape, kind: z.literal('evaluation') }),
    z.strictObject({ ...base, kind: z.literal('sample'), step: z.int32(), path: z.string() }),
    z.strictObject({ ...base, kind: z.literal('checkpoint'), step: z.int32(), path: z.string(), stateSha256: z.string() }),
    z.strictObject({ ...base, kind: z.literal('warning'), code: z.string(), message: z.string() }),
    z.strictObject({
      ...base,
      kind: z.literal('end'),
      outcome: z.enum(['finished', 'stopped', 'failed']),
      step: z.int32().describe('optimiser updates applied'),
      message: z.string(),
    }),
  ])
  .meta({ id: 'RunEvent' })

export type NoiseDrift = z.infer<typeof noiseDrift>
export type AssignmentMetrics = z.infer<typeof assignmentMetrics>
export type MeasureValue = z.infer<typeof measure>
export type RunEvent = z.infer<typeof runEvent>
export type RunEventOf<K extends RunEvent['kind']> = Extract<RunEvent, { kind: K }>
