/** drawDenoising(): what models answer to pure noise, as a picture and in numbers. */
import { resolve } from 'node:path'
import { findPipeline } from './sampling.ts'
import { runTool } from './worker/tool.ts'

export interface DenoisingModel {
  /** In the picture. */
  readonly label: string
  /** A run folder, or a pipeline folder wherever it is. */
  readonly folder: string
}

export interface DenoisingOptions {
  /** Columns of the picture; default 8. */
  readonly numImages?: number
  /** Of the starting noises, which are the same for every model; default 0. */
  readonly seed?: number
  /** Of the schedule whose first timestep is looked at, for ddim; default 20, as in the paper. */
  readonly numInferenceSteps?: number
  /** Noises behind the numbers, of which the first are shown; default 64. */
  readonly numNoises?: number
  /** Default: the first of cuda, mps and cpu that is there. */
  readonly device?: 'auto' | 'cuda' | 'mps' | 'cpu'
  readonly onSetup?: (line: string) => void
}

/** Of one model at its noise layer. `denoised` is the image that its prediction amounts to, x0-hat. */
export interface NoiseLayer {
  readonly label: string
  readonly sampler: 'ddim' | 'consistency' | 'flow'
  readonly predicts: 'predicted noise' | 'velocity'
  /** The timestep, sigma or time. */
  readonly level: string
  /** Of the fit of what is predicted by one mean image and a multiple of the noise: 1 is eq. 3 of the first paper, a model that sees no image in noise. */
  readonly noiseR2: number
  /** Shares of the variance of the denoised images, over noises and pixels; they add up to 1. The image that all have in common: */
  readonly meanShare: number
  /** A multiple of the noise: */
  readonly noiseShare: number
  /** The rest, which is where an image of this noise rather than another's can be. */
  readonly imageShare: number
}

export interface Denoising {
  readonly png: string
  readonly models: readonly NoiseLayer[]
}

/**
 * Figure 3 of Li et al. 2024 (arXiv 2406.12303): at the first step of sampling a vanilla model sees no image in the noise, an immiscible one does.
 * The picture has two rows for each model, what it predicts and the denoised image, each image scaled to its own range, since x0-hat has none of its own
 * there. The numbers are ours, not the paper's. Rejects with a WorkerError where the models are of different shapes.
 * @param output a PNG.
 */
export async function drawDenoising(models: readonly DenoisingModel[], output: string, options: DenoisingOptions = {}): Promise<Denoising> {
  const { numImages = 8, seed = 0, numInferenceSteps = 20, device = 'auto', onSetup = () => undefined } = options
  const { numNoises = Math.max(64, numImages) } = options
  const png = resolve(output)
  const pipelines = models.map(({ label, folder }) => {
    const { pipeline, trustRemoteCode } = findPipeline(folder)
    return { label, pipeline, trustRemoteCode }
  })
  const request = { models: pipelines, output: png, numImages, numNoises, numInferenceSteps, seed, device }
  const answer = (await runTool('denoise', request, { onSetup })) as { models: NoiseLayer[] }
  return { png, models: answer.models }
}
