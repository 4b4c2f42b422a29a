/** Paper 1, Figure 1: how small the change is, "only a 2% reduction in distance". */
import { analyze, analyzed, describeAnalysis, QUANTITIES, scaled, UNKNOWN_ANALYZED } from '../assignment-table.ts'
import type { Recipe, Table } from '../recipe.ts'
import { paperResult } from '../tables.ts'
import { unknownAtPaperScale } from '../unknown.ts'

const BATCH_SIZE = 256
const CHANGE = QUANTITIES.distanceChange

export const paper1Figure1: Recipe = {
  id: 'paper1-figure1',
  title: 'Distance of images and noise before and after the assignment',
  source: 'Li et al. 2024, arXiv 2406.12303, Fig. 1',
  unknown: (scale) => [`the batch size: ${BATCH_SIZE}, as of DDIM, is taken`, ...unknownAtPaperScale(scale, UNKNOWN_ANALYZED)],
  arms: () => [],
  datasets: analyzed,
  async report(context) {
    const tables: Table[] = []
    for (const dataset of context.datasets) {
      const analysis = await analyze(context, { dataset, strategies: ['paper-linear'], batchSizes: [BATCH_SIZE] })
      tables.push({
        title: describeAnalysis(analysis),
        columns: ['strategy', 'distance before', 'after', CHANGE.title, 'gain'],
        rows: analysis.rows.map(({ strategy, distanceBefore, distanceAfter, distanceChange, gain }) => ({
          label: strategy,
          figures: [
            { ours: distanceBefore },
            { ours: distanceAfter },
            { ours: scaled(distanceChange, CHANGE.factor), paper: paperResult(context.recipe.id, strategy, CHANGE.title) },
            { ours: gain },
          ],
        })),
      })
    }
    return {
      tables,
      pictures: [],
      notes: [
        'Gain: the mean projection of the noise on the direction of its image, in standard deviations. It is 0 for independent noise, and large where the distance hardly changes.',
        'The fewer numbers an image has, the larger the share of the distance that an assignment can take: the 64 of a digit are far from the 3,072 of CIFAR-10.',
      ],
    }
  },
}
