/** What a seed decides before anything runs: the run's settings, and what goes wrong when. */
import type { TrainConfigInput } from '../../../protocol/index.ts'
import type { Interference, SocketName } from './network.ts'
import { createRandom, type Random } from './world.ts'

/** What happens to the system. Durations in milliseconds. */
export type Fault =
  | { readonly kind: 'crash'; readonly exitCode: number | null }
  /** No progress, but heartbeats; with `killableAfter` the process cannot be killed for so long. */
  | { readonly kind: 'hang' | 'mute'; readonly killableAfter: number }
  /** SIGSTOP of the worker. */
  | { readonly kind: 'pause'; readonly ms: number }
  | { readonly kind: 'orchestratorCrash'; readonly downMs: number }
  /** SIGSTOP of the orchestrator, or its event loop is busy. */
  | { readonly kind: 'orchestratorPause'; readonly ms: number }
  | { readonly kind: 'bothCrash' | 'powerCut'; readonly downMs: number }
  /** The worker sleeps, its orchestrator dies, another one starts a successor, the worker wakes. */
  | { readonly kind: 'zombie'; readonly ms: number; readonly downMs: number }
  /** Ctrl-Z of both; suspend: the machine, whose monotonic clock stands still. */
  | { readonly kind: 'pauseAll' | 'suspend'; readonly ms: number }
  | { readonly kind: 'wallJump'; readonly ms: number }
  | { readonly kind: 'slowDisk'; readonly factor: number; readonly ms: number }
  | { readonly kind: 'fullDisk'; readonly ms: number }
  /** A bit of the newest checkpoint flips. */
  | { readonly kind: 'damage' }
  | { readonly kind: 'stop' }
  | { readonly kind: 'clog' | 'disconnect'; readonly socket: SocketName; readonly ms: number }
  | { readonly kind: 'batchFails' }
  | { readonly kind: 'slowBatches'; readonly ms: number }
  /** The worker dies whenever it trains on this step, so many times. */
  | { readonly kind: 'poison'; readonly step: number; readonly times: number }
  | { readonly kind: 'slowStart'; readonly ms: number }
  | { readonly kind: 'message'; readonly of: string; readonly number: number; readonly does: Interference }

export type FaultKind = Fault['kind']

/** A fault strikes at a time, or at the n-th place that workers pass, counted over all of them. */
export interface PlannedFault {
  readonly fault: Fault
  readonly atMs: number | null
  readonly atPoint: number | null
}

export interface Plan {
  readonly config: Partial<TrainConfigInput>
  /** Zombies find the way to the new orchestrator: an endpoint that stays, as a TCP port would. */
  readonly isEndpointFixed: boolean
  /** As on Linux: the kernel kills a worker with its orchestrator. Elsewhere the worker has to notice. */
  readonly hasDeathSignal: boolean
  readonly faults: readonly PlannedFault[]
}

const BATCH = 8
export const LEASE_SECONDS = 3
const STEP_SECONDS = 2
const START_SECONDS = 8

const MESSAGES = ['hello', 'attach', 'ready', 'credit', 'stepDone', 'saved', 'heartbeat', 'stopped', 'welcome', 'batch', 'stop', 'ping']

export function drawPlan(seed: number): Plan {
  const random = createRandom(seed)
  const maxTrainSteps = random.between(3, 12)
  const config = {
    globalBatchSize: BATCH,
    maxTrainSteps,
    checkpoint: { everySteps: random.between(1, 4), totalLimit: random.between(1, 3) },
    validation: { numImages: random.chance(0.3) ? random.between(1, 2 * BATCH) : 0, everySteps: random.between(1, 5) },
    sampling: { everySteps: random.chance(0.2) ? 3 : 0 },
    worker: {
      leaseSeconds: LEASE_SECONDS,
      stepSeconds: STEP_SECONDS,
      startSeconds: START_SECONDS,
      maxRestarts: random.pick([0, 1, 2, 3, 3, 3]),
    },
    pipeline: { credits: random.between(1, 4) },
  }
  const numFaults = random.pick([0, 1, 1, 2, 2, 3, 4, 6])
  // What ZeroMQ does not do, in a few schedules only: a run may then end with an error, and hides what else goes wrong.
  const isHostile = random.chance(0.2)
  const faults = Array.from({ length: numFaults }, () => {
    const fault = drawFault(random, isHostile, maxTrainSteps)
    const isAtPoint = random.chance(0.6)
    return {
      fault,
      atMs: isAtPoint ? null : random.between(0, 4000),
      atPoint: isAtPoint ? random.between(1, 20 + 12 * maxTrainSteps) : null,
    }
  })
  return { config, isEndpointFixed: random.chance(0.5), hasDeathSignal: random.chance(0.3), faults }
}

function drawFault(random: Random, isHostile: boolean, maxTrainSteps: number): Fault {
  const short = random.between(100, 1000 * LEASE_SECONDS - 800)
  const long = random.between(1000 * LEASE_SECONDS, 20_000)
  const downMs = random.pick([1, 100, 1000, 8000])
  const socket = random.pick(['control', 'data'] as const)
  const choices: readonly (() => Fault)[] = [
    () => ({ kind: 'crash', exitCode: random.pick([null, null, 1, 75, 139]) }),
    () => ({ kind: 'crash', exitCode: null }),
    () => ({ kind: 'hang', killableAfter: random.pick([0, 0, 5000]) }),
    () => ({ kind: 'mute', killableAfter: random.pick([0, 0, 5000]) }),
    () => ({ kind: 'pause', ms: random.pick([short, long]) }),
    () => ({ kind: 'orchestratorCrash', downMs }),
    () => ({ kind: 'orchestratorPause', ms: random.pick([short, long]) }),
    () => ({ kind: random.pick(['bothCrash', 'powerCut'] as const), downMs }),
    () => ({ kind: 'zombie', ms: random.between(500, 8000), downMs: random.pick([1, 100, 1000]) }),
    () => ({ kind: random.pick(['pauseAll', 'suspend'] as const), ms: random.pick([short, long, 600_000]) }),
    () => ({ kind: 'wallJump', ms: random.pick([-3 * 86_400_000, -5000, 5000, 2 * 365 * 86_400_000]) }),
    () => ({ kind: 'slowDisk', factor: random.pick([5, 30, 200]), ms: random.between(1000, 20_000) }),
    () => ({ kind: 'fullDisk', ms: random.pick([500, 3000, 3_600_000]) }),
    () => ({ kind: 'damage' }),
    () => ({ kind: 'stop' }),
    () => ({ kind: 'clog', socket, ms: random.pick([short, long]) }),
    () => ({ kind: 'slowBatches', ms: random.pick([300, 5000]) }),
    () => ({ kind: 'poison', step: random.below(maxTrainSteps), times: random.between(1, 6) }),
    () => ({ kind: 'slowStart', ms: random.pick([3000, 20_000]) }),
  ]
  const hostile: readonly (() => Fault)[] = [
    () => ({
      kind: 'message',
      of: random.pick(MESSAGES),
      number: random.between(1, 8),
      does: random.pick(['drop', 'duplicate', 'swap'] as const),
    }),
    () => ({ kind: 'disconnect', socket, ms: random.pick([10, 500, 6000]) }),
    () => ({ kind: 'batchFails' }),
  ]
  return random.pick(isHostile && random.chance(0.6) ? hostile : choices)()
}
