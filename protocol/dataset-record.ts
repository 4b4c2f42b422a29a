/** dataset.json: what a decoded data set in the cache is, beside its images.bin. Written once, with the folder. */
import { z } from 'zod'

const sha256 = z.string().regex(/^[0-9a-f]{64}$/)

export const datasetRecord = z
  .strictObject({
    format: z.literal('immiscible-dataset/1'),
    name: z.string().min(1),
    source: z.string().describe('where it was decoded from: a file, a folder, or who gave it'),
    licence: z.string().describe('of the data, as far as it is known'),
    numImages: z.int32().min(1),
    imageShape: z
      .tuple([z.int32().min(1), z.int32().min(1), z.int32().min(1)])
      .describe('channels, height, width: the layout of each image'),
    dtype: z.enum(['uint8', 'float32']).describe('uint8: pixels; float32: latents, as the network sees them'),
    scalingFactor: z.number().positive().nullable().describe('what latents were multiplied by; null: of pixels'),
    hasStd: z.boolean().describe('of latents: each mean is followed by its standard deviation'),
    hasMirrored: z.boolean().describe('of latents: each image is followed by its mirror image, encoded for itself'),
    classNames: z.array(z.string()).describe('in the order of their numbers; empty without labels'),
    notes: z.array(z.string()).describe('what decoding changed, with counts: "3 gray images became rgb"'),
    sha256: sha256.describe('of shape, images and labels'),
    files: z.record(z.string(), z.strictObject({ bytes: z.number().int().min(0), sha256 })).describe('by name'),
    identity: z.unknown().describe('what the decoded bytes depend on: files with sizes and times, options, version'),
    createdAt: z.string(),
  })
  .meta({ id: 'DatasetRecord' })

export type DatasetRecord = z.infer<typeof datasetRecord>
