/** How good images are beside a data set: what can be asked, and what is answered. measureRun() and measureFolder() ask it. */
import { resolveConfig, type EvaluationConfig, type MeasureValue, type TrainConfig, type TrainConfigInput } from '../protocol/index.ts'
import type { DatasetFiles } from './dataset-files.ts'
import { ConfigError } from './errors.ts'

/** Metrics of images, and what they are metrics of: they compare only where all but the measures is the same. */
export interface Quality {
  /** What the features are of: `classifier`, `inception (...)`, or `none` where there are only metrics in pixels. */
  readonly features: string
  /** Of that network's weights. */
  readonly featuresSha256: string | null
  /** Images that were judged. */
  readonly numImages: number
  /** Real images that they are compared with. */
  readonly numReference: number
  /** Those, in words. */
  readonly reference: string
  readonly measures: readonly MeasureValue[]
}

export interface JudgingOptions {
  /** The Inception network of FID: a file of yours, known by its SHA-256. Default: none, and no metric is called FID. */
  readonly inception?: NonNullable<TrainConfigInput['evaluation']>['inception']
  /** Of the split of the real images and of the small classifier; 0. */
  readonly seed?: number
  /** Resamples behind each 95 % interval, 0 for none; 100. */
  readonly numBootstrap?: number
  /** Of the networks. Default: the first of cuda, mps and cpu that is there. */
  readonly device?: 'auto' | 'cuda' | 'mps' | 'cpu'
}

type Judging = Pick<EvaluationConfig, 'inception' | 'numImages' | 'seed' | 'numBootstrap'> & { device: string }

const NUM_BOOTSTRAP = 100

/** The options as a run's `evaluation` has them, checked and complete. Throws a ConfigError. */
export function resolveJudging(options: JudgingOptions & { readonly numImages?: number }): Judging {
  const { inception = null, numImages, seed = 0, numBootstrap = NUM_BOOTSTRAP, device = 'auto' } = options
  const evaluation = { inception, seed, numBootstrap, ...(numImages !== undefined && { numImages }) }
  const resolved = resolveConfig({ dataset: 'digits', outputDir: 'unused', evaluation })
  if ('problems' in resolved) throw new ConfigError(resolved.problems)
  const { evaluation: checked } = resolved.config
  return { inception: checked.inception, numImages: checked.numImages, seed, numBootstrap, device }
}

/** The data set as Python reads it, by a name that says which part of it that is. */
export function describeReal(
  section: TrainConfig['dataset'],
  { images, labels, imageShape, numClasses, name }: DatasetFiles,
): Pick<DatasetFiles, 'images' | 'imageShape' | 'numClasses' | 'name'> & { labels: string | null } {
  const split = 'split' in section ? `, split ${section.split}` : ''
  return { images, labels: numClasses > 0 ? labels : null, imageShape, numClasses, name: `${name}${split}` }
}
