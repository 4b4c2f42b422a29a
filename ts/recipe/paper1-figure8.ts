/** Paper 1, Figure 8: batch sizes, DDIM on CIFAR-10. */
import { assignmentArms, PAPER_1_ASSIGNMENTS, vanillaOf } from './arms.ts'
import type { Recipe, Scale } from './recipe.ts'
import { PAPER_DDIM, SMALL_DDIM } from './settings.ts'
import { bestTable, speedTable } from './tables.ts'
import { unknownAtPaperScale, UNKNOWN_DDIM, UNKNOWN_INFERENCE_STEPS } from './unknown.ts'
import { plotCurves } from './curves.ts'

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
      assignmentArms(
        { ...(scale === 'paper' ? PAPER_DDIM : SMALL_DDIM), globalBatchSize },
        PAPER_1_ASSIGNMENTS,
        `batch ${globalBatchSize} `,
      ),
    ),
  async report(context) {
    return {
      tables: [bestTable(context, 'Best value of each run'), speedTable(context, vanillaOf)],
      pictures: [await plotCurves(context)],
      notes: [
        "The values of the paper's curves were not found: these are ours alone. Its caption has the assigned runs ahead at every batch size.",
        'All runs have the same number of steps, so a larger batch sees more images.',
      ],
    }
  },
}
