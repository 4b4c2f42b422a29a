/** Paper 1, Figure 7: whether it is the optimal transport that helps. Noise assigned and then negated keeps each image's area of noise and is nowhere near it. */
import { assignmentArms } from '../arms.ts'
import { bestReport } from '../best-report.ts'
import type { Recipe } from '../recipe.ts'
import { DDIM } from '../settings.ts'
import { CURVES_NOT_FOUND, unknownAtPaperScale, UNKNOWN_DDIM, UNKNOWN_INFERENCE_STEPS } from '../unknown.ts'

export const paper1Figure7: Recipe = {
  id: 'paper1-figure7',
  title: 'DDIM, assigned, and assigned and negated',
  source: 'Li et al. 2024, arXiv 2406.12303, Fig. 7',
  unknown: (scale) => unknownAtPaperScale(scale, UNKNOWN_DDIM, UNKNOWN_INFERENCE_STEPS),
  arms: (scale) =>
    assignmentArms(DDIM[scale], {
      vanilla: 'independent',
      'immiscible OT': 'quantized',
      'immiscible non-OT': 'negated',
    }),
  report: (context) =>
    bestReport(context, () => 'vanilla', [
      CURVES_NOT_FOUND,
      'The paper has both assigned curves end near each other, ahead of vanilla.',
      "Which model it was: the figure's legend says DDIM, a third party's reading of the table beside it consistency model. The legend is followed.",
      'Both assignments are those of `quantized`, within 0.1 % of the largest gain, so that the sign is all they differ in.',
    ]),
}
