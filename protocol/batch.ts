/** A batch on the data channel: a fixed binary prefix, a msgpack header, then one raw frame per tensor. */
import { z } from 'zod'
import { tensorSpec } from './tensor.ts'

/**
 * The prefix, 64 bytes, little-endian. Nothing after it is decoded before both of its checksums hold.
 *
 *     0  4  magic "IMSC"           36  4  header length (bytes)
 *     4  2  protocol version       40  4  number of tensor frames
 *     6  2  0 (reserved)           44  8  tensor bytes in all (u64)
 *     8 16  run id                 52  4  CRC-32 of the header
 *    24  4  generation             56  4  0 (reserved)
 *    28  8  step (u64)             60  4  CRC-32 of bytes 0..59
 */
export const PREFIX_BYTES = 64
export const PREFIX_MAGIC = 'IMSC'

/** Columns of the `uniforms` frame, float32 in [0, 1): every random number that belongs to a sample, drawn by the orchestrator. */
export const UNIFORM_COLUMNS = ['timestep', 'labelDropout', 'time'] as const

export const telemetryValue = z.strictObject({ name: z.string(), value: z.number() }).meta({ id: 'TelemetryValue' })

export const batchHeader = z
  .strictObject({
    kind: z.literal('batch'),
    split: z
      .enum(['train', 'heldOut'])
      .describe('heldOut: the images of validation, sent once before the first step; their step and epoch are 0'),
    step: z.uint32().describe('optimiser updates before this one'),
    epoch: z.uint32(),
    numImages: z.int32().min(1),
    tensors: z.array(tensorSpec).describe('in frame order: images, noise, labels, uniforms'),
    telemetry: z.array(telemetryValue).describe('what the orchestrator knows of the batch, for trackers; empty without any'),
  })
  .meta({ id: 'BatchHeader' })

export type TelemetryValue = z.infer<typeof telemetryValue>
export type BatchHeader = z.infer<typeof batchHeader>
