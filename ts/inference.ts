/** What can be done with a trained pipeline: sample it, and say how good its samples are. */
import { join, resolve } from 'node:path'
import { withDatasetFiles } from './dataset-files.ts'
import { describeReal, resolveJudging, type JudgingOptions, type Quality } from './judging.ts'
import { readRunFolder } from './report/run-folder.ts'
import { findPipeline, hasOwnNetwork, toSettings, type Pipeline, type SamplingOptions } from './sampling.ts'
import { runTool } from './worker/tool.ts'

export interface SampleOptions extends SamplingOptions {
  /** Of a class-conditional model: cycled over the images. Default: every class in turn. */
  readonly classLabels?: readonly number[]
  /** Default: a process warning, which Node prints on stderr. */
  readonly onWarning?: (message: string, code: string) => void
}

export interface SampleFilesOptions extends SampleOptions {
  /** A PNG for the grid of the same images. Default: none. */
  readonly grid?: string
}

/**
 * Draws a grid of images.
 * @param folder a run folder, or a pipeline folder wherever it is: one of ours knows how its run sampled.
 * @returns the path of the PNG.
 */
export async function sampleRun(folder: string, output: string, options: SampleOptions = {}): Promise<string> {
  await draw(folder, { grid: output }, options)
  return resolve(output)
}

/**
 * Draws images, each a PNG of its own and as large as it is; with the same options those of the grid that sampleRun() draws.
 * @param output an empty folder, or one to make.
 * @returns the paths, in the order of the grid.
 */
export async function sampleFiles(folder: string, output: string, { grid, ...options }: SampleFilesOptions = {}): Promise<string[]> {
  return draw(folder, { files: output, ...(grid !== undefined && { grid }) }, options)
}

/** Answers the paths of the single files. */
async function draw(folder: string, { grid, files }: { grid?: string; files?: string }, options: SampleOptions): Promise<string[]> {
  const outputs = { grid: grid === undefined ? null : resolve(grid), files: files === undefined ? null : resolve(files) }
  const input = { ...toRequest(findPipeline(folder), options), classLabels: options.classLabels ?? null, ...outputs }
  const answer = (await runTool('sample', input, { onSetup: options.onSetup ?? ignore })) as {
    files: string[]
    warnings: { code: string; message: string }[]
  }
  const { onWarning = (message, code) => process.emitWarning(message, { code }) } = options
  for (const { code, message } of answer.warnings) onWarning(message, code)
  return answer.files
}

/** What every tool that samples is asked: null is as the record in the pipeline folder has it. */
function toRequest(defaults: Pipeline, options: SamplingOptions): object {
  const { numImages = defaults.numImages, trustRemoteCode = defaults.trustRemoteCode, seed = 0 } = options
  return { pipeline: defaults.pipeline, trustRemoteCode, numImages, seed, ...toSettings(options) }
}

/** How samples look to a small classifier trained on the real images. Not a standard metric: compare only numbers of the same data set and version. */
export interface Evaluation {
  /** Share of samples that the classifier, which also knows "not a digit", takes for one class with at least `threshold` probability. */
  readonly confidentShare: number
  /** The same for the same network before training. */
  readonly untrainedShare: number
  /** The classifier's accuracy on real images that it was not trained on. */
  readonly heldOutAccuracy: number
  /** Of a class-conditional model: share of samples that the classifier takes for the class asked for, every class in turn; else null. */
  readonly labelAgreement: number | null
  readonly threshold: number
  readonly numImages: number
}

const NUM_JUDGED = 512

/** Trains the classifier (seconds) and judges `numImages` samples (512) of a run's pipeline. */
export async function evaluateRun(runFolder: string, options: SamplingOptions = {}): Promise<Evaluation> {
  const { path, config } = readRunFolder(runFolder)
  return withDatasetFiles(config.dataset, async ({ images, labels, imageShape, numClasses }) => {
    const defaults = { pipeline: join(path, 'pipeline'), numImages: NUM_JUDGED, trustRemoteCode: hasOwnNetwork(config) }
    return (await runTool(
      'evaluate',
      { ...toRequest(defaults, options), images, labels, imageShape, numClasses },
      { onSetup: options.onSetup ?? ignore },
    )) as Evaluation
  })
}

export interface MeasureOptions extends SamplingOptions, JudgingOptions {
  /** Samples; 1,024. Numbers of other counts are not comparable. */
  readonly numImages?: number
  /** Of the noise, the split of the real images and the small classifier; 0. */
  readonly seed?: number
  /** Default: a process warning, which Node prints on stderr. */
  readonly onWarning?: (message: string, code: string) => void
}

/**
 * Draws samples of a run's pipeline and measures them beside its data set, by FID and its like where there is an Inception network for it, and else by
 * metrics of their own names.
 * Rejects with a ConfigError for a wrong option, a DATASET error for latents, a WorkerError where the Inception file is not what was named.
 */
export async function measureRun(runFolder: string, options: MeasureOptions = {}): Promise<Quality> {
  const { path, config } = readRunFolder(runFolder)
  const { numImages, ...judging } = resolveJudging(options)
  const { onSetup = ignore, onWarning = (message, code) => process.emitWarning(message, { code }) } = options
  const { warnings, ...quality } = await withDatasetFiles(config.dataset, async (files) => {
    const defaults = { pipeline: join(path, 'pipeline'), numImages, trustRemoteCode: hasOwnNetwork(config) }
    const request = { ...toRequest(defaults, options), ...judging, ...describeReal(config.dataset, files) }
    const extras = judging.inception?.backend === 'torch-fidelity' ? ['fid'] : []
    return (await runTool('measure', request, { onSetup, extras })) as Quality & {
      warnings: readonly { code: string; message: string }[]
    }
  })
  for (const { code, message } of warnings) onWarning(message, code)
  return quality
}

const ignore = (): void => undefined
