/** What can be done with a trained pipeline: sample it, and say how good its samples are. */
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { samplingConfig, type TrainConfig } from '../protocol/index.ts'
import { loadDataset } from './dataset/table.ts'
import { readRunFolder } from './report/run-folder.ts'
import { runTool } from './worker/tool.ts'

interface SamplingOptions {
  readonly numImages?: number
  readonly numInferenceSteps?: number
  readonly seed?: number
  readonly onSetup?: (line: string) => void
}

export interface SampleOptions extends SamplingOptions {
  /** 0 is DDIM, 1 is DDPM. Above 0 does not fit a model that was trained on assigned noise: that is a warning. */
  readonly eta?: number
  /** Default: a process warning, which Node prints on stderr. */
  readonly onWarning?: (message: string, code: string) => void
}

/**
 * Draws a grid of images, by the sampling section of the run's config where an option is not given (the seed: 0).
 * @param folder a run folder, or a pipeline folder of ours wherever it is.
 * @returns the path of the PNG.
 */
export async function sampleRun(folder: string, output: string, options: SampleOptions = {}): Promise<string> {
  const { pipeline, sampling } = findPipeline(folder)
  const { numImages = sampling.numImages, numInferenceSteps = sampling.numInferenceSteps, eta = sampling.eta, seed = 0 } = options
  const input = { pipeline, numImages, numInferenceSteps, seed, eta, output: resolve(output) }
  const answer = (await runTool('sample', input, options.onSetup ?? ignore)) as {
    path: string
    warnings: { code: string; message: string }[]
  }
  const { onWarning = (message, code) => process.emitWarning(message, { code }) } = options
  for (const { code, message } of answer.warnings) onWarning(message, code)
  return answer.path
}

function findPipeline(folder: string): { pipeline: string; sampling: TrainConfig['sampling'] } {
  if (existsSync(join(folder, 'model_index.json'))) return { pipeline: resolve(folder), sampling: samplingConfig.parse({}) }
  const { path, config } = readRunFolder(folder)
  return { pipeline: join(path, 'pipeline'), sampling: config.sampling }
}

/** How samples look to a small classifier trained on the real images. Not a standard metric: compare only numbers of the same data set and version. */
export interface Evaluation {
  /** Share of samples that the classifier, which also knows "not a digit", takes for one class with at least `threshold` probability. */
  readonly confidentShare: number
  /** The same for the same network before training. */
  readonly untrainedShare: number
  /** The classifier's accuracy on real images that it was not trained on. */
  readonly heldOutAccuracy: number
  readonly threshold: number
  readonly numImages: number
}

/** Trains the classifier (seconds) and judges `numImages` samples of a run's pipeline. */
export async function evaluateRun(runFolder: string, options: SamplingOptions = {}): Promise<Evaluation> {
  const { path, config } = readRunFolder(runFolder)
  const dataset = loadDataset(config.dataset)
  const { numImages = 512, numInferenceSteps = config.sampling.numInferenceSteps, seed = 0, onSetup } = options
  const dims = dataset.imageShape.reduce((product, size) => product * size, 1)
  const pixels = new Uint8Array(dataset.numImages * dims)
  for (let index = 0; index < dataset.numImages; index++) dataset.read(index, pixels, index * dims)
  const folder = mkdtempSync(join(tmpdir(), 'immiscible-evaluate-'))
  try {
    const [images, labels] = [join(folder, 'images'), join(folder, 'labels')]
    writeFileSync(images, pixels)
    writeFileSync(labels, dataset.labels ?? new Int32Array(0))
    const { imageShape, numClasses } = dataset
    const input = { pipeline: join(path, 'pipeline'), images, labels, imageShape, numClasses, numImages, numInferenceSteps, seed }
    return (await runTool('evaluate', input, onSetup ?? ignore)) as Evaluation
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

const ignore = (): void => undefined
