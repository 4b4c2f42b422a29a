/** How good samples are while a run trains: how often it is measured, on how many, and by features of what. */
import { z } from 'zod'
import { absolutePath } from './file.ts'

const positiveInt = z.int32().min(1)

export const inceptionConfig = z
  .strictObject({
    weights: z
      .string()
      .min(1)
      .describe("inception-2015-12-05.pt (torchscript), or torch-fidelity's weights-inception-2015-12-05-6726825d.pth"),
    sha256: z
      .string()
      .regex(/^[0-9a-f]{64}$/, 'expected 64 hexadecimal digits')
      .describe('of that file, checked before it is loaded'),
    backend: z.enum(['torchscript', 'torch-fidelity']).default('torchscript').describe('torch-fidelity is an optional package'),
    mode: z
      .enum(['legacy-tensorflow', 'pytorch-fid'])
      .default('legacy-tensorflow')
      .describe('how an image is resized and scaled for it: as clean-fid with legacy_tensorflow, or as pytorch-fid'),
  })
  .meta({ id: 'InceptionConfig' })
  .describe(
    'the Inception network of FID, from a file of yours; null: a small classifier trained on the data set, whose numbers are not FID',
  )

export const evaluationConfig = z
  .strictObject({
    everySteps: z
      .int32()
      .min(0)
      .default(0)
      .describe('updates between measurements of sample quality, and once more at the end of a finished run; 0: never'),
    numImages: positiveInt.min(16).default(1024).describe('samples that are judged each time; numbers of other counts are not comparable'),
    numInferenceSteps: z
      .array(positiveInt)
      .default([])
      .describe('calls of the network for each sample, one measurement for each entry; empty: as sampling.numInferenceSteps'),
    seed: z
      .uint32()
      .default(0)
      .describe('of the noise that samples begin with, of the small classifier and of the split of the real images'),
    numBootstrap: z.int32().min(0).default(0).describe('resamples behind each interval; 0: no intervals'),
    inception: inceptionConfig.nullable().default(null),
  })
  .meta({ id: 'EvaluationConfig' })
  .describe('sample quality while training, from the EMA weights, by the sampler of `sampling`')

export type EvaluationConfig = z.infer<typeof evaluationConfig>

/** What was written as a section, with the weights where they are; what makes no sense stays as it is, for the schema to report. */
export function expandEvaluation(written: unknown): unknown {
  if (typeof written !== 'object' || written === null || !('inception' in written)) return written
  const { inception } = written
  if (typeof inception !== 'object' || inception === null || !('weights' in inception)) return written
  return { ...written, inception: { ...inception, weights: absolutePath(inception.weights) } }
}
