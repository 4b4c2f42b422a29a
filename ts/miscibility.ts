/** measureMiscibility(): how far apart the noises lie that a trained model turns into images of different classes. */
import { join } from 'node:path'
import { withDatasetFiles } from './dataset-files.ts'
import { ImmiscibleError } from './errors.ts'
import { readRunFolder } from './report/run-folder.ts'
import { hasOwnNetwork } from './sampling.ts'
import { runTool } from './worker/tool.ts'

export interface MiscibilityOptions {
  /** Noises that are sampled; default 2,000. */
  readonly numImages?: number
  /** Of the noises, the classifier and the permutations; default 0. */
  readonly seed?: number
  /** Default: as the run sampled. */
  readonly numInferenceSteps?: number
  /** Of the classes over the noises; default 200. */
  readonly numPermutations?: number
  /** Where the model samples. Default: the first of cuda, mps and cpu that is there. */
  readonly device?: 'auto' | 'cuda' | 'mps' | 'cpu'
  readonly onSetup?: (line: string) => void
}

/** A value with a 95 % interval. */
export interface Interval {
  readonly value: number
  readonly low: number
  readonly high: number
}

export interface Miscibility {
  /** Mean over pairs of classes of the L2 distance between the means of their noises. */
  readonly distance: number
  /** The same with the classes permuted over the noises: what as many noises give by chance. It falls as the root of their number. */
  readonly floor: Interval
  /** Share of permutations with at least `distance`; of 200 never below 1/201. */
  readonly pValue: number
  /** Root mean squared distance without what finite classes add to it: 0 where noises are fully mixed, however many there are. */
  readonly corrected: Interval
  /** Samples of each class. */
  readonly sizes: readonly number[]
  /** Classes of fewer than 10 samples, which do not count. */
  readonly leftOut: readonly number[]
  /** Share of samples that the classifier takes for a class with at least 90 % probability: clusters of others mean little. */
  readonly confidentShare: number
  readonly heldOutAccuracy: number
  readonly numImages: number
  readonly numInferenceSteps: number
  readonly seed: number
}

/**
 * Draws noises, samples each without fresh noise (DDIM with eta 0, a flow's own sampler, one step of a consistency model), sorts them by the class that
 * evaluateRun()'s small classifier sees in the sample, and measures the clusters.
 *
 * That miscibility is a mean L2 distance between clusters of noise is the second paper's (Li et al. 2025, arXiv 2505.18521, sections 4.2 and 6: vanilla
 * DDIM 0.92 ± 0.06, linear assignment 4.11 ± 0.37, nearest noise 2.17 ± 0.35 of 10,000 noises). What its clusters are is not known: classes, the
 * permutations and the correction are ours, so its numbers can be compared in their order only.
 *
 * Rejects with a DATASET error for data without labels, a WorkerError for a class-conditional model or where all samples are of one class.
 */
export async function measureMiscibility(runFolder: string, options: MiscibilityOptions = {}): Promise<Miscibility> {
  const {
    numImages = 2000,
    seed = 0,
    numInferenceSteps = null,
    numPermutations = 200,
    device = 'auto',
    onSetup = () => undefined,
  } = options
  const { path, config } = readRunFolder(runFolder)
  return withDatasetFiles(config.dataset, async ({ name, images, labels, imageShape, numClasses }) => {
    if (numClasses === 0)
      throw new ImmiscibleError('DATASET', `${name}: expected labels, since a noise belongs to the class of its sample, got none`)
    const model = { pipeline: join(path, 'pipeline'), trustRemoteCode: hasOwnNetwork(config) }
    const data = { images, labels, imageShape, numClasses }
    const request = { ...model, ...data, numImages, numInferenceSteps, numPermutations, seed, device }
    return (await runTool('miscibility', request, { onSetup })) as Miscibility
  })
}
