/** What can be done with a trained pipeline: sample it, and say how good its samples are. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { loadDataset } from './dataset/table.ts'
import { readRunFolder } from './report/run-folder.ts'
import { runTool } from './worker/tool.ts'

interface SamplingOptions {
  readonly numImages?: number
  readonly numInferenceSteps?: number
  readonly seed?: number
  readonly onSetup?: (line: string) => void
}

/** Draws a grid of images from a run's pipeline by DDIM (eta = 0). @returns the path of the PNG. */
export async function sampleRun(runFolder: string, output: string, options: SamplingOptions = {}): Promise<string> {
  const { path, config } = readRunFolder(runFolder)
  const { numImages = config.sampling.numImages, numInferenceSteps = config.sampling.numInferenceSteps, seed = 0, onSetup } = options
  const input = { pipeline: join(path, 'pipeline'), numImages, numInferenceSteps, seed, output: resolve(output) }
  const answer = (await runTool('sample', input, onSetup ?? ignore)) as { path: string }
  return answer.path
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
