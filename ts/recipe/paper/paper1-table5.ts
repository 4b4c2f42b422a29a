/** Paper 1, Table 5: noise assigned by the L1 or the L2 norm, DDIM on CIFAR-10, at five checkpoints. */
import { assignmentArms } from '../arms.ts'
import type { Recipe } from '../recipe.ts'
import { PAPER_DDIM, SMALL_DDIM } from '../settings.ts'
import { stepsTable } from '../tables.ts'
import { NUMBERS_NOT_FOUND, unknownAtPaperScale, UNKNOWN_DDIM, UNKNOWN_INFERENCE_STEPS } from '../unknown.ts'
import { plotCurves } from '../curves.ts'

/** The table has the last five of seven measurements. */
const MEASUREMENTS = [3, 4, 5, 6, 7]
const SETTINGS = {
  paper: PAPER_DDIM,
  small: { ...SMALL_DDIM, maxTrainSteps: 980, evaluation: { ...SMALL_DDIM.evaluation, everySteps: 140 } },
}

export const paper1Table5: Recipe = {
  id: 'paper1-table5',
  title: 'DDIM, assigned by the L1 or the L2 norm',
  source: 'Li et al. 2024, arXiv 2406.12303, Table 5',
  unknown: (scale) => [
    'the precision of L1 distances: float16, as of L2 norms, is taken',
    ...unknownAtPaperScale(scale, UNKNOWN_DDIM, UNKNOWN_INFERENCE_STEPS),
  ],
  arms: (scale) =>
    assignmentArms(SETTINGS[scale], {
      vanilla: 'independent',
      'immiscible L1': { kind: 'linear', metric: 'l1', precision: 'float16' },
      'immiscible L2': 'paper-linear',
    }),
  async report(context) {
    const { everySteps } = SETTINGS[context.scale].evaluation
    const columns = MEASUREMENTS.map((count) => ({ step: count * everySteps, title: titleOf(count * everySteps) }))
    return {
      tables: [stepsTable(context, 'By training steps', columns)],
      pictures: [await plotCurves(context)],
      notes: [NUMBERS_NOT_FOUND],
    }
  },
}

function titleOf(step: number): string {
  return step < 1000 ? `${step} steps` : `${(step / 1000).toFixed(1)}k`
}
