/** Metrics in Python over images on the disk: the user's own, and ready ones. */
import { resolve } from 'node:path'
import { datasetConfig, type TrainConfig } from '../../protocol/index.ts'
import { withDatasetFiles } from '../dataset-files.ts'
import { describeReal, resolveJudging, type JudgingOptions, type Quality } from '../judging.ts'
import type { CallOptions, Python } from './open.ts'

/**
 * Calls a metric: a Python function `metric(path, **options)` of a folder of images, or of one image; `immiscible_worker.images` has
 * `read_images(path)`, which makes uint8 [N, H, W, C] of either.
 * @param metric `module:function` or `path.py:function`.
 * @param options the function's keyword arguments.
 * @returns what it returned.
 */
export function computeMetric(
  python: Python,
  metric: string,
  path: string,
  options: Readonly<Record<string, unknown>> = {},
  call: Omit<CallOptions, 'keywords'> = {},
): Promise<unknown> {
  return python.call(metric, [resolve(path)], { ...call, keywords: options })
}

export interface Judgement {
  /** Share of the images that the classifier, which also knows "none of them", takes for one class with at least 90 % probability. */
  readonly confidentShare: number
  /** The classifier's accuracy on real images that it was not trained on. */
  readonly heldOutAccuracy: number
}

export interface JudgeOptions extends Omit<CallOptions, 'keywords'> {
  /** With labels; digits. Its images must have the size of those in the folder. */
  readonly dataset?: TrainConfig['dataset']
  /** Of the classifier's training; 0. */
  readonly seed?: number
}

/** Trains evaluateRun()'s small classifier on a data set (seconds) and judges the images of a folder by it. Not a standard metric. */
export async function judgeFolder(python: Python, folder: string, options: JudgeOptions = {}): Promise<Judgement> {
  const { dataset = DIGITS, seed = 0, ...call } = options
  return withDatasetFiles(dataset, async ({ images, labels, imageShape, numClasses }) => {
    const args = { folder: resolve(folder), images, labels, image_shape: imageShape, num_classes: numClasses, seed }
    return (await python.call('immiscible_worker.ready:judge_folder', args, call)) as Judgement
  })
}

export interface MeasureFolderOptions extends JudgingOptions, Omit<CallOptions, 'keywords'> {
  /** What the images are compared with; digits. Its images must have the size of those in the folder. */
  readonly dataset?: TrainConfig['dataset']
}

/**
 * Measures all images of a folder beside a data set, as measureRun() does a run's samples. The backend torch-fidelity needs its package in this Python.
 * Rejects with a ConfigError for a wrong option, a PythonError where the images do not fit or the Inception file is not what was named.
 */
export async function measureFolder(python: Python, folder: string, options: MeasureFolderOptions = {}): Promise<Quality> {
  const { dataset = DIGITS } = options
  const { inception, seed, numBootstrap, device } = resolveJudging(options)
  return withDatasetFiles(dataset, async (files) => {
    const { images, labels, imageShape, numClasses, name } = describeReal(dataset, files)
    const args = {
      folder: resolve(folder),
      images,
      labels,
      image_shape: imageShape,
      num_classes: numClasses,
      name,
      inception,
      seed,
      num_bootstrap: numBootstrap,
      device,
    }
    return (await python.call('immiscible_worker.ready:measure_folder', args, options)) as Quality
  })
}

const DIGITS = datasetConfig.parse({ kind: 'digits' })
