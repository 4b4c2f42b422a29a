/** Paper 1, Table 2: how much nearer the noise is after the linear assignment, and how long that takes, by batch size. */
import { analyzed, assignmentTables, UNKNOWN_ANALYZED } from '../assignment-table.ts'
import type { Recipe } from '../recipe.ts'
import { unknownAtPaperScale } from '../unknown.ts'

export const paper1Table2: Recipe = {
  id: 'paper1-table2',
  title: 'Distance and time of the linear assignment',
  source: 'Li et al. 2024, arXiv 2406.12303, Table 2',
  unknown: (scale) => unknownAtPaperScale(scale, UNKNOWN_ANALYZED),
  arms: () => [],
  datasets: analyzed,
  async report(context) {
    return {
      tables: await assignmentTables(
        context,
        [128, 256, 512, 1024],
        [
          { strategy: 'paper-linear', quantity: 'distanceChange', paper: 'distance change, %' },
          { strategy: 'quantized', quantity: 'distanceChange' },
          { strategy: 'paper-linear', quantity: 'assignMs', paper: 'assignment, ms' },
          { strategy: 'quantized', quantity: 'assignMs' },
        ],
      ),
      pictures: [],
      notes: [
        "The paper's times are of a GPU and its host: an A6000 by the abstract and the README, an A5000 by a third party's reading of the paper. Ours are of one CPU thread.",
        '`paper-linear` is exact, on L2 norms in float16 as in the official code; `quantized` is the default here.',
      ],
    }
  },
}
