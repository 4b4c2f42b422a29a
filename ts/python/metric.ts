/** Metrics in Python over images on the disk: the user's own, and one that needs no download. */
import { resolve } from 'node:path'
import { datasetConfig, type TrainConfig } from '../../protocol/index.ts'
import { withDatasetFiles } from '../dataset-files.ts'
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

const DIGITS = datasetConfig.parse({ kind: 'digits' })
