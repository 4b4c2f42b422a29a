/** Paper 2, Table 7: the best k by objective, and how much nearer the nearest of k noises is, on real and on Gaussian images. */
import type { AnalysisDataset, AssignmentAnalysis } from '../../index.ts'
import { analyze, analyzed, describeImages, QUANTITIES, scaled } from '../assignment-table.ts'
import type { Figure, Recipe } from '../recipe.ts'
import { paperResult } from '../tables.ts'
import { unknownAtPaperScale } from '../unknown.ts'

/** The best by objective, as the paper has them; SD: Stable Diffusion on latents of 4,096 numbers. */
const CANDIDATES = { DDIM: 8, FM: 4, CM: 4, SD: 64 }
/** The change depends on an image through its length alone: these fit the table. */
const GAUSSIAN: readonly AnalysisDataset[] = [
  { kind: 'gaussian', imageRms: 1 },
  { kind: 'gaussian', imageRms: 0.9, dims: 4096 },
]
/** Each image chooses by itself, so that the batch size does not matter. */
const BATCH_SIZE = 128
const NUM_SEEDS = 10
const { title, factor } = QUANTITIES.distanceChange

export const paper2Table7: Recipe = {
  id: 'paper2-table7',
  title: 'Distance of the nearest of k noises',
  source: 'Li et al. 2025, arXiv 2505.18521, Table 7',
  unknown: (scale) => unknownAtPaperScale(scale, 'the scale of the images: [-1, 1] is taken'),
  arms: () => [],
  datasets: (scale) => [...analyzed(scale), ...GAUSSIAN],
  async report(context) {
    const strategies = [...new Set(Object.values(CANDIDATES))].map((candidates) => `paper-knn:candidates=${candidates}`)
    const analyses: AssignmentAnalysis[] = []
    for (const dataset of context.datasets) {
      analyses.push(await analyze(context, { dataset, strategies, batchSizes: [BATCH_SIZE], numSeeds: NUM_SEEDS }))
    }
    const rows = Object.entries(CANDIDATES).map(([objective, candidates]) => {
      const label = `${objective}, k = ${candidates}`
      const figures = analyses.map(({ rows: measured }, at): Figure => {
        const mine = measured.find(({ candidatesPerImage }) => candidatesPerImage === candidates)
        return {
          ours: mine ? scaled(mine.distanceChange, factor) : null,
          ...(at === 0 && { paper: paperResult(context.recipe.id, label, title) }),
        }
      })
      return { label, figures }
    })
    const columns = analyses.map(({ dataset }) => describeImages(dataset))
    return {
      tables: [{ title: `${title}: means of ${NUM_SEEDS} batches with 95 % intervals`, columns: ['best k', ...columns], rows }],
      pictures: [],
      notes: [
        "That these k are the best is the paper's finding, among powers of two: `paper2-table8` trains DDIM with several; nothing is trained here.",
        "The paper's figures for CIFAR-10 are those of Gaussian images of RMS 1, not of CIFAR-10 in [-1, 1], whose RMS is about a half.",
      ],
    }
  },
}
