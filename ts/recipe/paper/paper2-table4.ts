/** Paper 2, Table 4: flow matching on CIFAR-10 half way and at the end, with noise as drawn and the nearest of k. */
import { PAPER_RESULTS } from '../../index.ts'
import { assignmentArms } from '../arms.ts'
import type { Context, Recipe, Table } from '../recipe.ts'
import { FLOW } from '../settings.ts'
import { paperResult, speedTable, stepsTable } from '../tables.ts'
import { unknownAtPaperScale, UNKNOWN_FLOW } from '../unknown.ts'
import { plotCurves } from '../curves.ts'

const COLUMNS = ['100k', '200k']

export const paper2Table4: Recipe = {
  id: 'paper2-table4',
  title: 'Flow matching, half way and at the end',
  source: 'Li et al. 2025, arXiv 2505.18521, Table 4',
  unknown: (scale) => unknownAtPaperScale(scale, UNKNOWN_FLOW),
  arms: (scale) => assignmentArms(FLOW[scale], { base: 'independent', 'base with ID': 'paper-knn' }),
  async report(context) {
    const { maxTrainSteps } = FLOW[context.scale]
    const columns = COLUMNS.map((paper, at) => {
      const step = (maxTrainSteps * (at + 1)) / COLUMNS.length
      return { step, title: context.scale === 'paper' ? paper : `${step} steps`, paper }
    })
    const trained = stepsTable(context, 'By training steps', columns)
    return {
      tables: [{ ...trained, rows: [...trained.rows, ...rowsOfOthers(context, trained)] }, speedTable(context, () => 'base')],
      pictures: [await plotCurves(context)],
      notes: [
        'Other accelerators, alone and with ID: the table names them by numbers of a list of references that was not found, so they cannot be trained here.',
        'The authors\' README of the flow code has the figures of the last column, by Euler\'s method in 50 steps, after "20k" steps. An EMA of 0.9999 from the start would then still hold 13.5 % of the first weights: 200k is taken.',
        'By dopri5 that README has 3.49 without and 3.31 with the nearest of 4.',
      ],
    }
  },
}

/** What the paper has of methods that are none of the arms. */
function rowsOfOthers({ recipe }: Context, { rows }: Table): Table['rows'] {
  const mine = new Set(rows.map(({ label }) => label))
  const others = new Set(PAPER_RESULTS.filter((result) => result.recipe === recipe.id && !mine.has(result.row)).map(({ row }) => row))
  return [...others].map((label) => ({
    label,
    figures: COLUMNS.map((column) => ({ ours: null, paper: paperResult(recipe.id, label, column) })),
  }))
}
