/** Paper 1, Figure 8: batch sizes, DDIM on CIFAR-10. */
import { assignmentArms, PAPER_1_ASSIGNMENTS, vanillaOf } from '../arms.ts'
import { bestReport } from '../best-report.ts'
import type { Recipe, Scale } from '../recipe.ts'
import { DDIM } from '../settings.ts'
import { CURVES_NOT_FOUND, unknownAtPaperScale, UNKNOWN_DDIM, UNKNOWN_INFERENCE_STEPS } from '../unknown.ts'

const BATCH_SIZES: Readonly<Record<Scale, readonly number[]>> = { paper: [128, 256, 512], small: [32, 64, 128] }

export const paper1Figure8: Recipe = {
  id: 'paper1-figure8',
  title: 'DDIM by batch size',
  source: 'Li et al. 2024, arXiv 2406.12303, Fig. 8',
  unknown: (scale) =>
    unknownAtPaperScale(
      scale,
      UNKNOWN_DDIM,
      UNKNOWN_INFERENCE_STEPS,
      'whether the learning rate follows the batch size: one rate is taken',
    ),
  arms: (scale) =>
    BATCH_SIZES[scale].flatMap((globalBatchSize) =>
      assignmentArms({ ...DDIM[scale], globalBatchSize }, PAPER_1_ASSIGNMENTS, `batch ${globalBatchSize} `),
    ),
  report: (context) =>
    bestReport(context, vanillaOf, [
      CURVES_NOT_FOUND,
      "The paper's caption has the assigned runs ahead at every batch size.",
      'All runs have the same number of steps, so a larger batch sees more images.',
    ]),
}
