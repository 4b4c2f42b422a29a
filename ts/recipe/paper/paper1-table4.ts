/** Paper 1, Table 4: how much the assignment improves the FID of DDIM on CIFAR-10, by the number of inference steps. */
import { assignmentArms, PAPER_1_ASSIGNMENTS } from '../arms.ts'
import type { Recipe, Scale } from '../recipe.ts'
import { DDIM } from '../settings.ts'
import { inferenceTable } from '../tables.ts'
import { NUMBERS_NOT_FOUND, unknownAtPaperScale, UNKNOWN_DDIM } from '../unknown.ts'

/** On 8x8 images more than a hundred make samples no better. */
const INFERENCE_STEPS: Readonly<Record<Scale, readonly number[]>> = { paper: [1000, 500, 100, 50, 20], small: [100, 50, 20, 10, 5] }

export const paper1Table4: Recipe = {
  id: 'paper1-table4',
  title: 'DDIM by inference steps',
  source: 'Li et al. 2024, arXiv 2406.12303, Table 4',
  unknown: (scale) => unknownAtPaperScale(scale, UNKNOWN_DDIM),
  arms(scale) {
    const settings = DDIM[scale]
    const { evaluation, maxTrainSteps } = settings
    const atTheEnd = { ...evaluation, everySteps: maxTrainSteps, numInferenceSteps: [...INFERENCE_STEPS[scale]] }
    return assignmentArms({ ...settings, evaluation: atTheEnd }, PAPER_1_ASSIGNMENTS)
  },
  async report(context) {
    return {
      tables: [inferenceTable(context, 'At the end of training', ['vanilla', 'immiscible'], INFERENCE_STEPS[context.scale])],
      pictures: [],
      notes: [NUMBERS_NOT_FOUND],
    }
  },
}
