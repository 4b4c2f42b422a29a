/** Paper 2, Section 4.3: whether assigned noise is Gaussian still, by its divergence from a standard normal distribution. */
import { measureGaussianity, type AnalysisDataset } from '../../index.ts'
import type { Figure, Recipe, Scale, Table } from '../recipe.ts'
import { paperResult } from '../tables.ts'
import { unknownAtPaperScale } from '../unknown.ts'

const NUM_NOISES = 50_000
/** Numbers of an image of CIFAR-10, which the paper's divergences are of: they grow with the square of that. */
const PAPER_DIMS = 3072
const BATCH_SIZE = 256
const STRATEGIES = { independent: 'independent', 'linear assignment': 'paper-linear', 'nearest of 8': 'paper-knn:candidates=8' }
const GAUSSIAN = { kind: 'gaussian', imageRms: 0.5, dims: PAPER_DIMS } as const
const DATASETS: Readonly<Record<Scale, readonly AnalysisDataset[]>> = {
  paper: [{ kind: 'cifar10' }, GAUSSIAN],
  small: [{ kind: 'digits' }, GAUSSIAN],
}

export const paper2Section43: Recipe = {
  id: 'paper2-section4-3',
  title: 'Divergence of assigned noise from Gaussian noise',
  source: 'Li et al. 2025, arXiv 2505.18521, Sec. 4.3',
  unknown: (scale) => [
    `the batch size of the linear assignment: ${BATCH_SIZE} is taken`,
    ...unknownAtPaperScale(scale, 'the images, and their scale: CIFAR-10 in [-1, 1] is taken'),
  ],
  arms: () => [],
  datasets: (scale) => DATASETS[scale],
  async report({ recipe, datasets, log }) {
    const tables: Table[] = []
    for (const dataset of datasets) {
      const gaussianity = await measureGaussianity({
        dataset,
        batchSize: BATCH_SIZE,
        strategies: Object.values(STRATEGIES),
        numNoises: NUM_NOISES,
        onRow: ({ strategy }) => log(`${dataset.kind}: ${strategy}`),
        onSetup: log,
      })
      const { dims, expectedKl, rows } = gaussianity
      const labels = Object.keys(STRATEGIES)
      tables.push({
        title: `${gaussianity.dataset}, ${dims} numbers each, ${NUM_NOISES.toLocaleString('en')} noises`,
        columns: ['noise', 'KL, nats', 'deviations', 'squared norm / numbers'],
        rows: [
          { label: 'Gaussian, expected', figures: [{ ours: expectedKl, digits: 3 }] },
          ...rows.map(({ kl, deviation, meanSquaredNorm }, at) => {
            const figures: Figure[] = [
              { ours: kl, digits: 3 },
              { ours: deviation, digits: 1 },
              { ours: meanSquaredNorm / dims, digits: 4 },
            ]
            if (dims === PAPER_DIMS) figures[0] = { ours: kl, digits: 3, paper: paperResult(recipe.id, labels[at], 'KL') }
            return { label: labels[at], figures }
          }),
        ],
      })
    }
    return {
      tables,
      pictures: [],
      notes: [
        'The divergence of N(mean, covariance) of all noises from N(0, I). That of a sample is never 0: what is expected of as much true Gaussian noise is exact, and deviations are from it, in its standard deviations.',
        'A permutation moves noise and changes none of it, so that all of it together is what was drawn; what holds within a class is not seen here.',
      ],
    }
  },
}
