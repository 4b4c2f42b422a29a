/** What runs cost: passes of images through the network, the arithmetic behind them, and the time of a device that does so much of it. */
import { NETWORK_COSTS, type NetworkCost } from './network-costs.ts'
import type { Recipe, Scale, TrainSettings } from './recipe.ts'
import { networkShapeOf } from './shape.ts'

/** A pass back takes about twice one forward; consistency training goes forward twice, and back through one of them. */
const PASSES_OF_A_STEP = { consistency: 4, other: 3 }

/** What times are told for. Neither is a measurement of the machine at hand. */
export const DEVICES: Readonly<Record<Scale, { readonly name: string; readonly flopsPerSecond: number }>> = {
  // A round figure, below what the data sheet of an A100 says of dense TF32 products (156).
  paper: { name: 'one GPU at an assumed 60 TFLOP/s', flopsPerSecond: 60e12 },
  // 528,000 passes of 8.2 MFLOP in 118 s, two runs at a time: the cells of docs/study on two undisturbed cores.
  small: { name: 'two cores with --jobs 2, as docs/study took', flopsPerSecond: 73e9 },
}

export interface Cost {
  /** Images that go forward through the network; the way back of a training step counts as two. */
  readonly forwardPasses: number
  readonly petaflops: number
  /** On DEVICES of the scale. */
  readonly seconds: number
}

/** Of one run. */
export function costOf(settings: TrainSettings, scale: Scale, { forwardFlops }: Pick<NetworkCost, 'forwardFlops'>): Cost {
  const forwardPasses = countPasses(settings)
  const flops = forwardPasses * forwardFlops
  return { forwardPasses, petaflops: flops / 1e15, seconds: flops / DEVICES[scale].flopsPerSecond }
}

/** Of a recipe with so many seeds, without its report. */
export function recipeCost(recipe: Recipe, scale: Scale, numSeeds: number): Cost {
  const costs = recipe
    .arms(scale)
    .filter(({ blocked }) => blocked === undefined)
    .map(({ settings }) => costOf(settings, scale, findNetwork(settings)))
  const sum = (value: (cost: Cost) => number): number => numSeeds * costs.reduce((total, cost) => total + value(cost), 0)
  return {
    forwardPasses: sum((cost) => cost.forwardPasses),
    petaflops: sum((cost) => cost.petaflops),
    seconds: sum((cost) => cost.seconds),
  }
}

/** Training, and the samples that are judged. */
function countPasses({ globalBatchSize = 128, maxTrainSteps = 2000, evaluation, objective, sampling }: TrainSettings): number {
  const { everySteps = 0, numImages = 0, numInferenceSteps = [] } = evaluation ?? {}
  const calls = numInferenceSteps.length > 0 ? numInferenceSteps : [sampling?.numInferenceSteps ?? 50]
  const numEvaluations = everySteps > 0 ? Math.ceil(maxTrainSteps / everySteps) : 0
  const sampled = numEvaluations * numImages * calls.reduce((sum, count) => sum + count, 0)
  const kind = typeof objective === 'object' && 'kind' in objective ? objective.kind : objective
  const passes = PASSES_OF_A_STEP[kind === 'consistency' ? 'consistency' : 'other']
  return passes * globalBatchSize * maxTrainSteps + sampled
}

function findNetwork(settings: TrainSettings): NetworkCost {
  const wanted = JSON.stringify(networkShapeOf(settings))
  const found = NETWORK_COSTS.find(({ network, imageShape, numClasses }) => JSON.stringify({ network, imageShape, numClasses }) === wanted)
  if (!found) throw new Error(`network-costs.ts has no ${wanted}: run npm run network-costs`)
  return found
}
