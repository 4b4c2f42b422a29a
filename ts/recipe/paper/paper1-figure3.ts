/** Paper 1, Figure 3: what a vanilla and an immiscible DDIM see in pure noise, at the first of 20 inference steps. */
import { join } from 'node:path'
import { drawDenoising, estimate, type NoiseLayer } from '../../index.ts'
import { assignmentArms, PAPER_1_ASSIGNMENTS } from '../arms.ts'
import type { Recipe, Report, Table } from '../recipe.ts'
import { DDIM } from '../settings.ts'
import { armsOf } from '../tables.ts'
import { unknownAtPaperScale, UNKNOWN_DDIM } from '../unknown.ts'

const NUM_INFERENCE_STEPS = 20

export const paper1Figure3: Recipe = {
  id: 'paper1-figure3',
  title: 'DDIM: what is seen in pure noise',
  source: 'Li et al. 2024, arXiv 2406.12303, Fig. 3',
  unknown: (scale) => unknownAtPaperScale(scale, 'the data set: CIFAR-10 is taken', UNKNOWN_DDIM),
  arms: (scale) => assignmentArms(DDIM[scale], PAPER_1_ASSIGNMENTS),
  async report(context) {
    const pictures: Report['pictures'][number][] = []
    const layers: NoiseLayer[] = []
    for (const seed of context.seeds) {
      const file = `denoising-seed-${seed}.png`
      const models = context.runs.filter((run) => run.seed === seed).map(({ arm, runFolder }) => ({ label: arm, folder: runFolder }))
      const drawn = await drawDenoising(models, join(context.folder, file), {
        numInferenceSteps: NUM_INFERENCE_STEPS,
        onSetup: context.log,
      })
      layers.push(...drawn.models)
      pictures.push({ file, caption: `What each model predicts from noise, and the image that this amounts to: seed ${seed}` })
    }
    return {
      tables: [sharesTable(armsOf(context), layers)],
      pictures,
      notes: [
        "The numbers are ours: the paper has pictures, on which vanilla's prediction shows no image, and the immiscible one a reasonable one.",
        'Shares of the variance of the denoised images: what all of them have in common, what is a multiple of the noise, and the rest, in which an image of one noise rather than another can be.',
        'Fit by noise: how much of what is predicted is a mean image and a multiple of the noise; 1 is the eq. 3 of the paper, a model that sees no image in noise.',
      ],
    }
  },
}

function sharesTable(arms: readonly string[], layers: readonly NoiseLayer[]): Table {
  const rows = arms.map((arm) => {
    const mine = layers.filter(({ label }) => label === arm)
    const columns = (['imageShare', 'meanShare', 'noiseShare', 'noiseR2'] as const).map((name) => mine.map((layer) => layer[name]))
    return { label: arm, figures: columns.map((values) => ({ ours: estimate(values), digits: 4 })) }
  })
  return { title: 'The first step of sampling', columns: ['', 'image', 'mean image', 'noise', 'fit by noise'], rows }
}
