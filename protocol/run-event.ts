/** What a run tells its user: one line of events.jsonl each, and what `for await (const event of run)` yields. */
import { z } from 'zod'

const base = { time: z.number().describe('milliseconds since 1970; for reading only') }

/** What an assignment did to one batch. All distances are in the model's scale: pixels in [-1, 1], times the data set's imageScale. */
export const assignmentMetrics = z
  .strictObject({
    numMoved: z.int32().min(0).describe('images whose noise is not the one drawn for them'),
    preCost: z.number().describe('mean image-noise distance (L2 norm) before the assignment'),
    postCost: z.number().describe('and after it'),
    preGain: z.number().describe('mean projection of the noise on the direction of its image before, in standard deviations'),
    gain: z.number().describe('and after it; 0 for independent noise'),
    dualGap: z.number().nullable().describe('certified bound on the share of the optimal gain that was missed; null: not certified'),
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
          assignMs: z.number().describe('solving the pool, per batch'),
          stageMs: z.number().describe('checking and copying in the worker'),
          waitMs: z.number().describe('worker idle for want of a batch'),
          trainMs: z.number(),
        })
        .describe('milliseconds'),
      assignment: assignmentMetrics,
      batchSha256: z.string(),
    }),
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

export type AssignmentMetrics = z.infer<typeof assignmentMetrics>
export type RunEvent = z.infer<typeof runEvent>
export type RunEventOf<K extends RunEvent['kind']> = Extract<RunEvent, { kind: K }>
