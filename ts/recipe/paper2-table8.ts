/** Paper 2, Table 8: how many noises each image chooses from (nearest of k), DDIM on CIFAR-10. */
import type { Arm, Recipe } from './recipe.ts'
import { PAPER_DDIM, SMALL_DDIM } from './settings.ts'
import { bestTable, speedTable } from './tables.ts'
import { plotCurves } from './curves.ts'

const CANDIDATES = [2, 4, 8, 16, 32]

export const paper2Table8: Recipe = {
  id: 'paper2-table8',
  title: 'Nearest of k noises, by k: best FID of DDIM on CIFAR-10',
  source: 'Li et al. 2025, arXiv 2505.18521, Table 8',
  unknown: (scale) =>
    scale === 'paper'
      ? [
          'the number of training steps: those of paper 1, Table 5 are taken',
          'the number of inference steps behind the FID: 50, the default of the code base, is taken',
          'the number of seeds',
        ]
      : [],
  arms(scale) {
    const settings = scale === 'paper' ? PAPER_DDIM : SMALL_DDIM
    const nearest = CANDIDATES.map((candidates): Arm => {
      return { label: `k = ${candidates}`, settings: { ...settings, assignment: { kind: 'nearest', candidates, precision: 'float16' } } }
    })
    return [{ label: 'baseline', settings: { ...settings, assignment: 'independent' } }, ...nearest]
  },
  async report(context) {
    return {
      tables: [bestTable(context, 'Best value of each run'), speedTable(context, 'baseline')],
      pictures: [await plotCurves(context)],
      notes: [],
    }
  },
}
