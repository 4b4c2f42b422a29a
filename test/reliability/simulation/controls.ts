/** Faults planted into the system: the checker must find each within so many schedules, in all of which happens what brings it out. */
import { check } from './checker.ts'
import { drawPlan, type Fault, type PlannedFault } from './plan.ts'
import { runSchedule, type Plants } from './schedule.ts'
import { createRandom, type Random } from './world.ts'

export interface PlantedFault {
  readonly name: string
  readonly plants: Plants
  /** What happens in its schedules beside what their plans have. */
  readonly happens: (random: Random) => readonly Fault[]
  /** At one of the places that workers pass, from the first to the last of these. */
  readonly points?: readonly [number, number]
}

const CRASH: Fault = { kind: 'crash', exitCode: null }
const zombie = (random: Random): readonly Fault[] => [{ kind: 'zombie', ms: random.between(1000, 3000), downMs: 1 }]
const crash = (): readonly Fault[] => [CRASH]

export const PLANTED: readonly PlantedFault[] = [
  {
    name: 'generations are counted from 0 by each orchestrator',
    plants: {
      takeGeneration(disk, numTaken) {
        disk.nextGeneration = numTaken + 1
        return numTaken
      },
    },
    happens: zombie,
  },
  { name: 'a worker commits without looking at the generation', plants: { isUnfenced: true }, happens: zombie },
  {
    name: "a worker's start sweeps away what its successor writes",
    plants: { sweepsAll: true },
    happens: (random) => [
      { kind: 'slowDisk', factor: 5, ms: 60_000 },
      { kind: 'zombie', ms: random.between(800, 4000), downMs: 1 },
    ],
    points: [1, 1],
  },
  {
    name: 'a worker trains on a batch that comes twice',
    plants: { takesAnyStep: true },
    happens: (random) => [{ kind: 'message', of: 'batch', number: random.between(1, 4), does: 'duplicate' }],
  },
  { name: 'a resume goes on with new weights', plants: { forgetsState: true }, happens: crash },
  { name: 'a checkpoint is written in place and not verified', plants: { isTorn: true }, happens: crash },
  { name: 'old checkpoints go before the new one is written', plants: { retainsFirst: true }, happens: crash },
  { name: 'nothing is synced', plants: { syncsNothing: true }, happens: () => [{ kind: 'powerCut', downMs: 1 }] },
  { name: 'a batch depends on what was asked before', plants: { batchStep: (_step, numAsked) => numAsked }, happens: crash },
  {
    name: 'two credits too many',
    plants: { orchestratorConfig: (config) => ({ ...config, pipeline: { ...config.pipeline, credits: config.pipeline.credits + 2 } }) },
    happens: () => [],
  },
  {
    name: 'no lease',
    plants: { orchestratorConfig: (config) => ({ ...config, worker: { ...config.worker, leaseSeconds: 1e9 } }) },
    happens: () => [{ kind: 'mute', killableAfter: 0 }],
  },
  {
    name: 'no progress clock',
    plants: { orchestratorConfig: (config) => ({ ...config, worker: { ...config.worker, stepSeconds: 1e9 } }) },
    happens: () => [{ kind: 'hang', killableAfter: 0 }],
  },
  {
    name: 'no limit on restarts',
    plants: { orchestratorConfig: (config) => ({ ...config, worker: { ...config.worker, maxRestarts: 1e9 } }) },
    happens: () => [{ kind: 'poison', step: 1, times: 1e9 }],
  },
]

/** How many schedules it took; undefined: it was not found in `limit` of them. */
export async function schedulesToFind(
  { plants, happens, points: [first, last] = [4, 60] }: PlantedFault,
  seedOf: (index: number) => number,
  limit: number,
): Promise<number | undefined> {
  for (let index = 0; index < limit; index++) {
    const seed = seedOf(index)
    const drawn = drawPlan(seed)
    const random = createRandom(seed + 1)
    const atPoint = random.between(first, last)
    const added = happens(random).map((fault): PlannedFault => ({ fault, atMs: null, atPoint }))
    const config = { ...drawn.config, checkpoint: { ...drawn.config.checkpoint, everySteps: 1 } }
    const plan = { ...drawn, config, hasDeathSignal: false, faults: [...drawn.faults, ...added] }
    if (check(await runSchedule(seed, { plants, plan })).length > 0) return index + 1
  }
  return undefined
}
