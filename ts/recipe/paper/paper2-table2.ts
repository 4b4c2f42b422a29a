/** Paper 2, Table 2: how long the linear assignment (LA) and the nearest of k noises (KNN) take, by batch size. */
import { analyzed, assignmentTables } from '../assignment-table.ts'
import type { Recipe } from '../recipe.ts'
import { unknownAtPaperScale } from '../unknown.ts'

export const paper2Table2: Recipe = {
  id: 'paper2-table2',
  title: 'Time of the linear assignment and of the nearest of k noises',
  source: 'Li et al. 2025, arXiv 2505.18521, Table 2',
  unknown: (scale) => [
    'the number k of noises that was timed: 8, the best for DDIM, is taken',
    ...unknownAtPaperScale(scale, 'the images: CIFAR-10 is taken'),
  ],
  arms: () => [],
  datasets: analyzed,
  async report(context) {
    return {
      tables: await assignmentTables(
        context,
        [128, 256, 512, 1024],
        [
          { strategy: 'paper-linear', quantity: 'assignMs', paper: 'LA, ms' },
          { strategy: 'paper-knn', quantity: 'assignMs', paper: 'KNN, ms' },
          { strategy: 'quantized', quantity: 'assignMs' },
        ],
      ),
      pictures: [],
      notes: [
        "The paper's times are of a GPU: an A6000 by the README, an A5000 by a third party's reading of the paper. Ours are of one CPU thread.",
        'Drawing the noises is not part of our times; the nearest of k needs k times as many.',
      ],
    }
  },
}
