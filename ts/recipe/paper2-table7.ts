/** Paper 2, Table 7: the best k by objective, and how much nearer the nearest of k noises is, on real and on Gaussian images. */
import { analyze, ANALYZED, describeImages, QUANTITIES, scaled, toPaperResult } from './assignment-table.ts'
import type { AnalysisDataset, AssignmentAnalysis } from '../index.ts'
import type { Figure, Recipe } from './recipe.ts'
import { unknownAtPaperScale } from './unknown.ts'

/** The best by objective, as the paper has them. */
const CANDIDATES = [4, 8, 64]
/** The change depends on an image through its length alone: at the scale of CIFAR-10 in [-1, 1], and at the one that fits the table. */
const GAUSSIAN: readonly AnalysisDataset[] = [
  { kind: 'gaussian', imageRms: 0.5 },
  { kind: 'gaussian', imageRms: 1 },
  { kind: 'gaussian', imageRms: 0.9, dims: 4096 },
]
/** Each image chooses by itself, so that the batch size does not matter. */
const BATCH_SIZE = 128

export const paper2Table7: Recipe = {
  id: 'paper2-table7',
  title: 'Distance of the nearest of k noises',
  source: 'Li et al. 2025, arXiv 2505.18521, Table 7',
  unknown: (scale) => unknownAtPaperScale(scale, 'the scale of the images: [-1, 1] is taken'),
  arms: () => [],
  async report(context) {
    const analyses: AssignmentAnalysis[] = []
    for (const dataset of [...ANALYZED[context.scale], ...GAUSSIAN]) {
      const strategies = CANDIDATES.map((candidates) => `nearest:candidates=${candidates}:precision=float16`)
      analyses.push(await analyze(context, { dataset, strategies, batchSizes: [BATCH_SIZE], numSeeds: 10 }))
    }
    const ofTable = analyses[0].comparisons.filter(({ theirs, ours }) => theirs.source.endsWith('Table 7') && ours.length > 0)
    const rows = ofTable.map((comparison) => {
      const { candidates, data } = comparison.theirs
      const label = `k = ${candidates}: ${data}`
      const figures = analyses.map((analysis, at): Figure => {
        const mine = analysis.rows.find(({ candidatesPerImage }) => candidatesPerImage === candidates)
        return {
          ours: mine ? scaled(mine.distanceChange, QUANTITIES.distanceChange.factor) : null,
          ...(at === 0 && { paper: toPaperResult(comparison, context.recipe.id, label) }),
        }
      })
      return { label, figures }
    })
    const names = analyses.map(({ dataset }) => describeImages(dataset))
    return {
      tables: [{ title: 'Distance change, %: means of 10 batches with 95 % intervals', columns: ['best k, and of what', ...names], rows }],
      pictures: [],
      notes: [
        "That these k are the best is the paper's finding, among powers of two: `paper2-table8` trains DDIM with several; nothing is trained here.",
        "The table's figures for CIFAR-10 are those of Gaussian images of RMS 1, not of CIFAR-10 in [-1, 1], whose RMS is about a half.",
      ],
    }
  },
}
