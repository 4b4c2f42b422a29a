/** Paper 1, Figure 4: FID of consistency models over training steps, on three data sets. */
import { assignmentArms, PAPER_1_ASSIGNMENTS, vanillaOf } from '../arms.ts'
import type { Recipe, Scale, TrainSettings } from '../recipe.ts'
import {
  PAPER_CONSISTENCY,
  PAPER_CONSISTENCY_CELEBA,
  PAPER_CONSISTENCY_TINY_IMAGENET,
  SMALL_CONSISTENCY,
  SMALL_CONSISTENCY_EMOJI,
} from '../settings.ts'
import { armsOf, bestTable, speedTable } from '../tables.ts'
import { SPEED_IN_STEPS, unknownAtPaperScale, UNKNOWN_CONSISTENCY, UNKNOWN_CONSISTENCY_64 } from '../unknown.ts'
import { plotCurves } from '../curves.ts'

const DATASETS: Readonly<Record<Scale, Readonly<Record<string, TrainSettings>>>> = {
  paper: { 'CIFAR-10': PAPER_CONSISTENCY, CelebA: PAPER_CONSISTENCY_CELEBA, 'Tiny-ImageNet': PAPER_CONSISTENCY_TINY_IMAGENET },
  small: { digits: SMALL_CONSISTENCY, emoji: SMALL_CONSISTENCY_EMOJI },
}

export const paper1Figure4: Recipe = {
  id: 'paper1-figure4',
  title: 'Consistency models over training steps',
  source: 'Li et al. 2024, arXiv 2406.12303, Fig. 4',
  unknown: (scale) => unknownAtPaperScale(scale, UNKNOWN_CONSISTENCY, UNKNOWN_CONSISTENCY_64),
  arms: (scale) => Object.entries(DATASETS[scale]).flatMap(([name, settings]) => assignmentArms(settings, PAPER_1_ASSIGNMENTS, `${name} `)),
  async report(context) {
    const pictures = []
    for (const part of Object.keys(DATASETS[context.scale])) {
      const arms = armsOf(context).filter((arm) => arm.startsWith(`${part} `))
      pictures.push(await plotCurves(context, { part, arms }))
    }
    return {
      tables: [bestTable(context, 'Best value of each run'), speedTable(context, vanillaOf)],
      pictures,
      notes: ["The values of the paper's curves were not found: only how much faster they are said to be.", SPEED_IN_STEPS],
    }
  },
}
