/** Paper 2, Section 4.2: how miscible the noises of trained models are, DDIM on CIFAR-10. */
import { measureMiscibility, type Miscibility } from '../../index.ts'
import { assignmentArms, PAPER_2_ASSIGNMENTS } from '../arms.ts'
import type { ArmRun, Context, Recipe, Scale, Table } from '../recipe.ts'
import { DDIM } from '../settings.ts'
import { armsOf, overSeeds, paperResult, runsOf } from '../tables.ts'
import { unknownAtPaperScale, UNKNOWN_DDIM, UNKNOWN_INFERENCE_STEPS } from '../unknown.ts'

const NUM_NOISES: Readonly<Record<Scale, number>> = { paper: 10_000, small: 2000 }

export const paper2Section42: Recipe = {
  id: 'paper2-section4-2',
  title: 'DDIM: miscibility of noise after training',
  source: 'Li et al. 2025, arXiv 2505.18521, Sec. 4.2',
  unknown: (scale) => [
    'what the clusters of noises are: the class that a small classifier sees in the sample of each is taken',
    ...unknownAtPaperScale(scale, UNKNOWN_DDIM, UNKNOWN_INFERENCE_STEPS),
  ],
  arms: (scale) => assignmentArms(DDIM[scale], PAPER_2_ASSIGNMENTS),
  async report(context) {
    const measured = new Map<ArmRun, Miscibility>()
    for (const run of context.runs) {
      context.log(`miscibility of ${run.arm}, seed ${run.seed}`)
      const options = { numImages: NUM_NOISES[context.scale], seed: run.seed, onSetup: context.log }
      measured.set(run, await measureMiscibility(run.runFolder, options))
    }
    return {
      tables: [distanceTable(context, measured)],
      pictures: [],
      notes: [
        "The paper's numbers are means over 10,000 noises, ± 0.06, 0.35 and 0.37 in the order of the rows. Its clusters are others, so that the order of the rows can be compared, not the numbers.",
        'Distance: mean over pairs of classes of the L2 distance between the means of their noises. By chance: the same with the classes permuted over the noises. Corrected: root mean squared distance without what chance adds, 0 where noises are mixed.',
        'Confident: samples that the classifier takes for one class with at least 90 % probability; clusters of others mean little.',
      ],
    }
  },
}

function distanceTable(context: Context, measured: ReadonlyMap<ArmRun, Miscibility>): Table {
  const rows = armsOf(context).map((arm) => {
    const over = (value: (miscibility: Miscibility) => number): ReturnType<typeof overSeeds> =>
      overSeeds(runsOf(context, arm), (run) => {
        const miscibility = measured.get(run)
        return miscibility && value(miscibility)
      })
    return {
      label: arm,
      figures: [
        { ours: over(({ distance }) => distance), paper: paperResult(context.recipe.id, arm, 'distance') },
        { ours: over(({ floor }) => floor.value) },
        { ours: over(({ corrected }) => corrected.value) },
        { ours: over(({ confidentShare }) => 100 * confidentShare), digits: 1 },
      ],
    }
  })
  return { title: 'Distance of the noises of different classes', columns: ['', 'distance', 'by chance', 'corrected', 'confident, %'], rows }
}
