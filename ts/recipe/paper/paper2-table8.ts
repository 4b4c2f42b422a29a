/** Paper 2, Table 8: how many noises each image chooses from (nearest of k), DDIM on CIFAR-10. */
import { assignmentArms } from '../arms.ts'
import { bestReport } from '../best-report.ts'
import type { Recipe } from '../recipe.ts'
import { DDIM } from '../settings.ts'
import { unknownAtPaperScale, UNKNOWN_DDIM, UNKNOWN_INFERENCE_STEPS } from '../unknown.ts'

const CANDIDATES = [2, 4, 8, 16, 32]

export const paper2Table8: Recipe = {
  id: 'paper2-table8',
  title: 'DDIM by the number k of noises that each image chooses from',
  source: 'Li et al. 2025, arXiv 2505.18521, Table 8',
  unknown: (scale) => unknownAtPaperScale(scale, UNKNOWN_DDIM, UNKNOWN_INFERENCE_STEPS),
  arms: (scale) =>
    assignmentArms(DDIM[scale], {
      baseline: 'independent',
      ...Object.fromEntries(CANDIDATES.map((candidates) => [`k = ${candidates}`, { kind: 'paper-knn', candidates }])),
    }),
  report: (context) => bestReport(context, () => 'baseline'),
}
