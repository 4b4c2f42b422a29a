/** Paper 1, Figure 5: FID of DDIM on CIFAR-10 over training steps, sampled in 20, 50 and 100 inference steps. */
import { assignmentArms, PAPER_1_ASSIGNMENTS, vanillaOf } from '../arms.ts'
import type { Recipe, Scale } from '../recipe.ts'
import { DDIM } from '../settings.ts'
import { inferenceTable, speedTable } from '../tables.ts'
import { CURVES_NOT_FOUND, unknownAtPaperScale, UNKNOWN_DDIM } from '../unknown.ts'
import { plotCurves } from '../curves.ts'

const INFERENCE_STEPS: Readonly<Record<Scale, readonly number[]>> = { paper: [20, 50, 100], small: [5, 10, 20] }

export const paper1Figure5: Recipe = {
  id: 'paper1-figure5',
  title: 'DDIM over training steps, by inference steps',
  source: 'Li et al. 2024, arXiv 2406.12303, Fig. 5',
  unknown: (scale) => unknownAtPaperScale(scale, UNKNOWN_DDIM),
  arms(scale) {
    const settings = DDIM[scale]
    const evaluation = { ...settings.evaluation, numInferenceSteps: [...INFERENCE_STEPS[scale]] }
    return assignmentArms({ ...settings, evaluation }, PAPER_1_ASSIGNMENTS)
  },
  async report(context) {
    const counts = INFERENCE_STEPS[context.scale]
    const pictures = []
    for (const numInferenceSteps of counts) pictures.push(await plotCurves(context, { numInferenceSteps }))
    return {
      tables: [
        inferenceTable(context, 'At the end of training', ['vanilla', 'immiscible'], counts),
        ...counts.map((count) => speedTable(context, vanillaOf, count)),
      ],
      pictures,
      notes: [
        CURVES_NOT_FOUND,
        "The paper's text has the assignment gain more, the fewer the inference steps.",
        'The first version of the paper claims "up to 3x faster training" for DDIM on CIFAR too, in steps; the later abstract claims it for consistency models alone.',
      ],
    }
  },
}
