/** What a run costs: passes of images through the network, the arithmetic behind them, and the time on a device that does so much of it. */
import type { TrainingCost } from '../index.ts'
import type { Recipe, Scale, TrainSettings } from './recipe.ts'

/** A pass back takes about twice one forward; consistency training goes forward twice, and back through one of them. */
const PASSES_OF_A_STEP = { consistency: 4, other: 3 }
/** Of the device that days are counted in: a round figure, below what the data sheet of an A100 says of dense TF32 products (156). */
export const ASSUMED_TERAFLOPS = 60

export interface Cost {
  /** Images that go forward through the network; the way back of a training step counts as two. */
  readonly forwardPasses: number
  readonly petaflops: number
  /** Days of one device of ASSUMED_TERAFLOPS. */
  readonly deviceDays: number
}

/** Of one run. */
export function costOf(settings: TrainSettings, { forwardFlops }: Pick<TrainingCost, 'forwardFlops'>): Cost {
  const forwardPasses = countPasses(settings)
  const flops = forwardPasses * forwardFlops
  return { forwardPasses, petaflops: flops / 1e15, deviceDays: flops / (ASSUMED_TERAFLOPS * 1e12) / 86_400 }
}

/** Training, and the samples that are judged. */
export function countPasses({ globalBatchSize = 128, maxTrainSteps = 2000, evaluation, objective, sampling }: TrainSettings): number {
  const { everySteps = 0, numImages = 0, numInferenceSteps = [] } = evaluation ?? {}
  const calls = numInferenceSteps.length > 0 ? numInferenceSteps : [sampling?.numInferenceSteps ?? 50]
  const numEvaluations = everySteps > 0 ? Math.ceil(maxTrainSteps / everySteps) : 0
  const sampled = numEvaluations * numImages * calls.reduce((sum, count) => sum + count, 0)
  const kind = typeof objective === 'object' && 'kind' in objective ? objective.kind : objective
  const passes = PASSES_OF_A_STEP[kind === 'consistency' ? 'consistency' : 'other']
  return passes * globalBatchSize * maxTrainSteps + sampled
}

/** Of a recipe with so many seeds. */
export function countRecipePasses(recipe: Recipe, scale: Scale, seeds: number): number {
  const arms = recipe.arms(scale).filter(({ blocked }) => blocked === undefined)
  return seeds * arms.reduce((sum, { settings }) => sum + countPasses(settings), 0)
}
