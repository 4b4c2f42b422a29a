/** A recipe without its data and its days: every arm resolved, two real training steps on random images of the right shape, and what the whole would cost. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describeTraining, ImmiscibleError, trainImmiscible, type OwnDataset, type TrainingCost } from '../index.ts'
import { costOf, type Cost } from './cost.ts'
import type { Arm, Recipe, Scale, TrainSettings } from './recipe.ts'
import { overriddenArms, type Overrides } from './reproduce.ts'
import { networkShapeOf } from './shape.ts'

const NUM_STEPS = 2
/** Images of a reduced batch, and of the random data set. */
const BATCH = 4

export interface DryRunOptions extends Overrides {
  readonly scale: Scale
  readonly signal?: AbortSignal
  readonly log?: (line: string) => void
}

export interface DryRunRow {
  readonly arm: string
  /** Losses of the two steps; undefined where nothing was trained. */
  readonly losses?: readonly (number | null)[]
  /** Why it was not trained, or the arm with whose network it was. */
  readonly note?: string
  readonly isBlocked: boolean
  readonly training?: TrainingCost
  readonly cost?: Cost
}

export interface DryRun {
  readonly scale: Scale
  readonly batchSize: number
  readonly rows: readonly DryRunRow[]
}

/** Never rejects for an arm that cannot run: its row says why. Rejects with ABORTED by the signal. */
export async function dryRun(recipe: Recipe, options: DryRunOptions): Promise<DryRun> {
  const { scale, signal, log = () => undefined } = options
  const rows: DryRunRow[] = []
  const trained = new Map<string, DryRunRow & { training: TrainingCost }>()
  for (const arm of overriddenArms(recipe, scale, options)) {
    if (signal?.aborted) throw new ImmiscibleError('ABORTED', 'interrupted', { cause: signal.reason })
    const { key, settings, note } = reduce(arm.settings)
    const twin = trained.get(key)
    if (arm.blocked !== undefined) rows.push({ arm: arm.label, isBlocked: true, note: arm.blocked })
    else if (twin) {
      const cost = costOf(arm.settings, scale, twin.training)
      rows.push({ ...twin, arm: arm.label, cost, note: `the same network as of "${twin.arm}"` })
    } else {
      log(`${arm.label}: ${NUM_STEPS} steps`)
      const row = await tryArm(arm, scale, settings, note, { ...(signal && { signal }), log })
      if (row.training) trained.set(key, { ...row, training: row.training })
      rows.push(row)
    }
  }
  return { scale, batchSize: BATCH, rows }
}

async function tryArm(
  arm: Arm,
  scale: Scale,
  settings: TrainSettings,
  note: string | undefined,
  { signal, log }: { signal?: AbortSignal; log: (line: string) => void },
): Promise<DryRunRow> {
  const folder = mkdtempSync(join(tmpdir(), 'immiscible-dry-run-'))
  try {
    const training = await describeTraining({ ...settings, outputDir: folder }, { onSetup: log })
    const run = trainImmiscible({ ...settings, outputDir: join(folder, 'run') }, { ...(signal && { signal }), onSetup: log })
    const losses: (number | null)[] = []
    for await (const event of run) if (event.kind === 'step') losses.push(event.loss)
    await run
    return {
      arm: arm.label,
      losses,
      isBlocked: false,
      training,
      cost: costOf(arm.settings, scale, training),
      ...(note !== undefined && { note }),
    }
  } catch (error) {
    if (signal?.aborted) throw error
    return { arm: arm.label, isBlocked: true, note: (error as Error).message }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

/** Two steps of a small batch on random images; and what arms that build the same network for the same images have in common. */
function reduce(settings: TrainSettings): { key: string; settings: TrainSettings; note: string | undefined } {
  const { network, conditioning } = settings
  const objective = settings.objective ?? 'ddim'
  const isWithoutWeights = typeof objective === 'object' && 'loss' in objective && objective.loss === 'lpips' && !objective.lpipsWeights
  const dataset = randomImages(settings)
  const reduced: TrainSettings = {
    ...settings,
    dataset,
    objective: isWithoutWeights ? { ...objective, loss: 'l2' } : objective,
    assignment: withoutPool(settings.assignment),
    globalBatchSize: BATCH,
    maxTrainSteps: NUM_STEPS,
    sampling: { ...settings.sampling, everySteps: 0, numImages: 1, numInferenceSteps: objective === 'consistency' ? 1 : 2 },
    evaluation: { everySteps: 0 },
    checkpoint: { everySteps: NUM_STEPS },
    tracking: { reportTo: [] },
  }
  const note = isWithoutWeights ? 'trained with l2 here: LPIPS needs its weights (--lpips)' : undefined
  return { key: JSON.stringify([network, objective, conditioning, dataset.imageShape]), settings: reduced, note }
}

function withoutPool(assignment: TrainSettings['assignment']): TrainSettings['assignment'] {
  if (typeof assignment !== 'object' || !('poolSize' in assignment)) return assignment
  const { poolSize: _, ...rest } = assignment
  return rest
}

function randomImages(settings: TrainSettings): OwnDataset {
  const { kind, ...options } = settings.dataset as { kind: string }
  const { imageShape, numClasses } = networkShapeOf(settings)
  const size = imageShape.reduce((product, length) => product * length)
  const augmentation = Object.fromEntries(Object.entries(options).filter(([key]) => AUGMENTATION.has(key)))
  const images = Array.from({ length: BATCH }, (_, at) => ({
    pixels: Uint8Array.from({ length: size }, (_pixel, index) => (index * 2_654_435_761 + at * 40_503) >>> 13),
    ...(numClasses > 0 && { label: at % numClasses }),
  }))
  return { name: `random ${kind}`, imageShape, numClasses, images, ...augmentation }
}

const AUGMENTATION = new Set(['horizontalFlip', 'randomCropPadding', 'paddingMode', 'randomResizedCrop', 'imageScale'])
