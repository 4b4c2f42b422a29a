/** Paper 1, Table 1: the settings of its experiments, beside those that train here. */
import { PAPER_SETTINGS } from '../../index.ts'
import type { Arm, Context, Figure, Recipe, Scale, Table, TrainSettings } from '../recipe.ts'
import {
  DDIM,
  PAPER_CONSISTENCY,
  PAPER_CONSISTENCY_CELEBA,
  PAPER_CONSISTENCY_TINY_IMAGENET,
  PAPER_LATENTS,
  SMALL_CONSISTENCY,
  SMALL_CONSISTENCY_EMOJI,
} from '../settings.ts'
import { bestTable } from '../tables.ts'
import { unknownAtPaperScale, UNKNOWN_CONSISTENCY, UNKNOWN_CONSISTENCY_64, UNKNOWN_DDIM, UNKNOWN_INFERENCE_STEPS } from '../unknown.ts'

const NO_NETWORK =
  'a UNet2DConditionModel that is told the class by a line of text is not among the networks here; class-conditional latents (docs/latents.md) are the nearest'

interface Experiment {
  readonly settings: Readonly<Record<Scale, TrainSettings>>
  /** Why it cannot be run, at either scale or at the small one alone. */
  readonly blocked?: string
  readonly blockedSmall?: string
}

const SD_UNCONDITIONAL = { ...PAPER_LATENTS, conditioning: {}, globalBatchSize: 512, maxTrainSteps: 70_000 }
const SD_FINE_TUNED = {
  ...PAPER_LATENTS,
  optimizer: { ...PAPER_LATENTS.optimizer, learningRate: 0.00001 },
  globalBatchSize: 512,
  maxTrainSteps: 5000,
}

/** By the names of PAPER_SETTINGS. */
const EXPERIMENTS: Readonly<Record<string, Experiment>> = {
  'CM CIFAR-10': { settings: { paper: PAPER_CONSISTENCY, small: SMALL_CONSISTENCY } },
  'CM CelebA': { settings: { paper: PAPER_CONSISTENCY_CELEBA, small: SMALL_CONSISTENCY_EMOJI } },
  'CM Tiny-ImageNet': {
    settings: { paper: PAPER_CONSISTENCY_TINY_IMAGENET, small: PAPER_CONSISTENCY_TINY_IMAGENET },
    blockedSmall: 'there are two embedded data sets, and both stand for another',
  },
  'DDIM CIFAR-10': { settings: DDIM },
  'SD unconditional': { settings: { paper: SD_UNCONDITIONAL, small: SD_UNCONDITIONAL }, blocked: NO_NETWORK },
  'SD class-conditional': { settings: { paper: PAPER_LATENTS, small: PAPER_LATENTS }, blocked: NO_NETWORK },
  'SD fine-tuned': { settings: { paper: SD_FINE_TUNED, small: SD_FINE_TUNED }, blocked: NO_NETWORK },
}

export const paper1Table1: Recipe = {
  id: 'paper1-table1',
  title: 'Settings of the experiments',
  source: 'Li et al. 2024, arXiv 2406.12303, Table 1',
  unknown: (scale) => unknownAtPaperScale(scale, UNKNOWN_DDIM, UNKNOWN_INFERENCE_STEPS, UNKNOWN_CONSISTENCY, UNKNOWN_CONSISTENCY_64),
  arms: (scale) => Object.entries(EXPERIMENTS).map(([label, experiment]) => armOf(label, experiment, scale)),
  async report(context) {
    return {
      tables: [settingsTable(context), bestTable(context, 'Best value of each run, with noise assigned')],
      pictures: [],
      notes: [
        "Trust: [S] from a third party's reading of the paper; [P] batch and hardware read in the authors' repository, as all code bases were.",
        'The FID of class-conditional Stable Diffusion from scratch depends on the tool: 22.43 and 20.90 (vanilla, assigned) in the first release of the code, 17.92 and 16.43 by pytorch-fid in its README.',
        'Its 50,000 samples are 49,870 files: batches of 128 leave 49,920, and two classes of one name overwrite 50 of each other.',
      ],
    }
  },
}

function armOf(label: string, { settings, blocked, blockedSmall }: Experiment, scale: Scale): Arm {
  const reason = blocked ?? (scale === 'small' ? blockedSmall : undefined)
  return { label, settings: { ...settings[scale], assignment: 'paper-linear' }, ...(reason !== undefined && { blocked: reason }) }
}

function settingsTable({ recipe, scale }: Context): Table {
  const arms = new Map(recipe.arms(scale).map((arm) => [arm.label, arm]))
  const rows = PAPER_SETTINGS.map(({ experiment, data, resolution, batch, hardware, codeBase, trust }) => {
    const theirs = [data, resolution ?? 'not found', batch, hardware, codeBase, `[${trust}]`]
    const arm = arms.get(experiment)
    const ours = arm?.blocked === undefined && arm ? describe(arm.settings) : ['not trained', '-', '-', '-']
    return { label: experiment, figures: [...theirs, ...ours].map((text): Figure => ({ ours: text })) }
  })
  const columns = ['data', 'resolution', 'batch', 'hardware', 'code base', 'trust', 'here: data', 'batch', 'network', 'steps']
  return { title: "The paper's, and those here", columns: ['', ...columns], rows }
}

function describe({ dataset, globalBatchSize, network, maxTrainSteps }: TrainSettings): string[] {
  const { kind, ...options } = dataset as { kind: string; repo?: string; resolution?: number }
  const data = [options.repo ?? kind, ...(options.resolution === undefined ? [] : [`at ${options.resolution}`])].join(' ')
  const preset = typeof network === 'string' ? network : (network as { preset: string }).preset
  return [data, String(globalBatchSize), preset, String(maxTrainSteps)]
}
