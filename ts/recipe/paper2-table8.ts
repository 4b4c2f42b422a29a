/** Paper 2, Table 8: how many noises each image chooses from (nearest of k), DDIM on CIFAR-10. */
import { assignmentArms } from './arms.ts'
import type { Recipe } from './recipe.ts'
import { PAPER_DDIM, SMALL_DDIM } from './settings.ts'
import { bestTable, speedTable } from './tables.ts'
import { unknownAtPaperScale, UNKNOWN_DDIM, UNKNOWN_INFERENCE_STEPS } from './unknown.ts'
import { plotCurves } from './curves.ts'

const CANDIDATES = [2, 4, 8, 16, 32]

export const paper2Table8: Recipe = {
  id: 'paper2-table8',
  title: 'DDIM by the number k of noises that each image chooses from',
  source: 'Li et al. 2025, arXiv 2505.18521, Table 8',
  unknown: (scale) => unknownAtPaperScale(scale, UNKNOWN_DDIM, UNKNOWN_INFERENCE_STEPS),
  arms: (scale) =>
    assignmentArms(scale === 'paper' ? PAPER_DDIM : SMALL_DDIM, {
      baseline: 'independent',
      ...Object.fromEntries(CANDIDATES.map((candidates) => [`k = ${candidates}`, { kind: 'paper-knn', candidates }])),
    }),
  async report(context) {
    return {
      tables: [bestTable(context, 'Best value of each run'), speedTable(context, () => 'baseline')],
      pictures: [await plotCurves(context)],
      notes: [],
    }
  },
}
