/** What can be done with a trained pipeline: sample it, and say how good its samples are. */
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { samplingConfig, type TrainConfig } from '../protocol/index.ts'
import { loadDataset } from './dataset/table.ts'
import { readRunFolder } from './report/run-folder.ts'
import { runTool, type Tool } from './worker/tool.ts'

type Sampling = TrainConfig['sampling']

/** Where an option is not given it is as the run sampled (the seed: 0). One that the model's sampler does not have is refused. */
interface SamplingOptions {
  readonly numImages?: number
  readonly numInferenceSteps?: number
  readonly seed?: number
  /** Of ddim: 0 is DDIM, 1 is DDPM. Above 0 does not fit a model that was trained on assigned noise: that is a warning. */
  readonly eta?: number
  /** Of ddim. */
  readonly timestepSpacing?: Sampling['timestepSpacing']
  /** Of ddim. */
  readonly useClippedModelOutput?: boolean
  /** Of flow. */
  readonly solver?: Sampling['solver']
  /** Of a class-conditional model: 1 is none, 0 the unconditional model. */
  readonly guidanceScale?: number
  /** Run the code of the user's own network that lies in a pipeline folder. Default: in a run folder whose config has such a network yes; elsewhere no. */
  readonly trustRemoteCode?: boolean
  readonly onSetup?: (line: string) => void
}

export interface SampleOptions extends SamplingOptions {
  /** Of a class-conditional model: cycled over the images. Default: every class in turn. */
  readonly classLabels?: readonly number[]
  /** Default: a process warning, which Node prints on stderr. */
  readonly onWarning?: (message: string, code: string) => void
}

/**
 * Draws a grid of images.
 * @param folder a run folder, or a pipeline folder wherever it is: one of ours knows how its run sampled.
 * @returns the path of the PNG.
 */
export async function sampleRun(folder: string, output: string, options: SampleOptions = {}): Promise<string> {
  return (await draw<{ path: string }>('sample', folder, output, options)).path
}

/**
 * Draws images, each a PNG of its own and as large as it is; with the same options those of the grid that sampleRun() draws.
 * @param output an empty folder, or one to make.
 * @returns the paths, in the order of the grid.
 */
export async function sampleFiles(folder: string, output: string, options: SampleOptions = {}): Promise<string[]> {
  return (await draw<{ files: string[] }>('sample-files', folder, output, options)).files
}

async function draw<T>(tool: Tool, folder: string, output: string, options: SampleOptions): Promise<T> {
  const input = { ...toRequest(findPipeline(folder), options), classLabels: options.classLabels ?? null, output: resolve(output) }
  const answer = (await runTool(tool, input, options.onSetup ?? ignore)) as T & { warnings: { code: string; message: string }[] }
  const { onWarning = (message, code) => process.emitWarning(message, { code }) } = options
  for (const { code, message } of answer.warnings) onWarning(message, code)
  return answer
}

/** trustRemoteCode: unless told otherwise. */
interface Pipeline {
  readonly pipeline: string
  readonly numImages: number
  readonly trustRemoteCode: boolean
}

function findPipeline(folder: string): Pipeline {
  if (existsSync(join(folder, 'model_index.json'))) {
    return { pipeline: resolve(folder), numImages: samplingConfig.parse({}).numImages, trustRemoteCode: false }
  }
  const { path, config } = readRunFolder(folder)
  return { pipeline: join(path, 'pipeline'), numImages: config.sampling.numImages, trustRemoteCode: hasOwnNetwork(config) }
}

/** Then its code is what the run was told to run; no other run has code in its pipeline. */
const hasOwnNetwork = ({ network }: TrainConfig): boolean => network.kind === 'module'

/** What both tools are asked: null is as the record in the pipeline folder has it. */
function toRequest(defaults: Pipeline, options: SamplingOptions): object {
  const {
    numImages = defaults.numImages,
    trustRemoteCode = defaults.trustRemoteCode,
    seed = 0,
    numInferenceSteps = null,
    eta = null,
    timestepSpacing = null,
  } = options
  const { useClippedModelOutput = null, solver = null, guidanceScale = null } = options
  const settings = { numInferenceSteps, eta, timestepSpacing, useClippedModelOutput, solver, guidanceScale }
  return { pipeline: defaults.pipeline, trustRemoteCode, numImages, seed, ...settings }
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
  const dataset = loadDataset(config.dataset)
  const dims = dataset.imageShape.reduce((product, size) => product * size, 1)
  const pixels = new Uint8Array(dataset.numImages * dims)
  for (let index = 0; index < dataset.numImages; index++) dataset.read(index, pixels, index * dims)
  const folder = mkdtempSync(join(tmpdir(), 'immiscible-evaluate-'))
  try {
    const [images, labels] = [join(folder, 'images'), join(folder, 'labels')]
    writeFileSync(images, pixels)
    writeFileSync(labels, dataset.labels ?? new Int32Array(0))
    const { imageShape, numClasses } = dataset
    const input = {
      ...toRequest({ pipeline: join(path, 'pipeline'), numImages: NUM_JUDGED, trustRemoteCode: hasOwnNetwork(config) }, options),
      images,
      labels,
      imageShape,
      numClasses,
    }
    return (await runTool('evaluate', input, options.onSetup ?? ignore)) as Evaluation
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

const ignore = (): void => undefined
