/** Commands: what the orchestrator says to a worker on the control channel, one msgpack map each. */
import { z } from 'zod'
import { trainConfig } from './config.ts'

/** What the worker must know of the data: it never reads the data set itself. */
export const datasetInfo = z
  .strictObject({
    name: z.string(),
    sha256: z.string().describe('of shape, images and labels'),
    numImages: z.int32().min(1),
    imageShape: z.array(z.int32().min(1)).length(3).describe('channels, height, width'),
    numClasses: z.int32().min(0).describe('0: no labels'),
    dtype: z.enum(['uint8', 'float32']).describe('of the images on the wire. uint8: pixels; float32: latents, multiplied by scalingFactor'),
    scalingFactor: z.number().positive().nullable().describe('of latents; null: of pixels'),
  })
  .meta({ id: 'DatasetInfo' })

/** The data set as files on the machine of the worker, for what samples are compared with. */
export const realImages = z
  .strictObject({
    images: z.string().describe('a file of raw uint8 [N, C, H, W]'),
    labels: z.string().nullable().describe('a file of raw little-endian int32 [N]; null: no labels'),
  })
  .meta({ id: 'RealImages' })

export const welcome = z
  .strictObject({
    kind: z.literal('welcome'),
    runFolder: z.string(),
    configHash: z.string(),
    config: trainConfig,
    dataset: datasetInfo,
    realImages: realImages.nullable().describe('null: nothing is evaluated'),
  })
  .meta({ id: 'Welcome' })
  .describe('answers hello: the resolved run')

export const reject = z
  .strictObject({ kind: z.literal('reject'), code: z.string(), message: z.string() })
  .meta({ id: 'Reject' })
  .describe('answers hello: this worker may not take part')

export const stop = z
  .strictObject({ kind: z.literal('stop') })
  .meta({ id: 'Stop' })
  .describe('finish the step, save a checkpoint and the pipeline, say stopped, exit 0')

export const ping = z
  .strictObject({ kind: z.literal('ping') })
  .meta({ id: 'Ping' })
  .describe('the orchestrator lives; a worker that hears nothing for a lease exits 75')

export const command = z.discriminatedUnion('kind', [welcome, reject, stop, ping]).meta({ id: 'Command' })

export type DatasetInfo = z.infer<typeof datasetInfo>
export type Command = z.infer<typeof command>
