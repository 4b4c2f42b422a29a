/** One schedule: the real orchestrator's side (supervisor, worker, session) against model workers, with the faults of its plan. */
import type { TrainConfig } from '../../../protocol/index.ts'
import { ImmiscibleError } from '../../../ts/errors.ts'
import type { Exit, Launched } from '../../../ts/process.ts'
import { decodeEvent } from '../../../ts/worker/codec.ts'
import { superviseWorker, type Supervisor } from '../../../ts/worker/supervisor.ts'
import { testConfig } from '../../fixture/config.ts'
import { listCheckpoints } from './checkpoint-model.ts'
import { createDisk, type Disk } from './disk.ts'
import { createFaults, type Machine, type Victim } from './faults.ts'
import type { Entry, History, Note } from './ledger.ts'
import { createNetwork, type Network } from './network.ts'
import { drawPlan, type Plan } from './plan.ts'
import { kindOf, makeBatch, stepOf } from './wire.ts'
import { startWorkerModel, type WorkerPlants } from './worker-model.ts'
import { createWorld, type Process } from './world.ts'

/** Faults of the system itself, which the checker must find. */
export interface Plants extends WorkerPlants {
  /** Another config than the one that the run has. */
  readonly orchestratorConfig?: (config: TrainConfig) => TrainConfig
  /** numTaken: of this orchestrator. */
  readonly takeGeneration?: (disk: Disk, numTaken: number) => number
  readonly batchStep?: (step: number, numAsked: number) => number
}

export interface Run {
  readonly plan: Plan
  readonly config: TrainConfig
  readonly history: History
  readonly digest: string
  readonly numEvents: number
  readonly virtualMs: number
}

const RUN_ID = 'ab'.repeat(16)
const TOKEN = 'cd'.repeat(32)
const CONFIG_HASH = 'hash'
/** No schedule needs as long: who is not done by then hangs. */
const LIMIT_MS = 3 * 3_600_000
/** What is still asleep or on its way when the run is over. */
const AFTERWARDS_MS = 700_000

export async function runSchedule(
  seed: number,
  { plants = {}, plan = drawPlan(seed), onTrace }: { readonly plants?: Plants; plan?: Plan; onTrace?: (line: string) => void } = {},
): Promise<Run> {
  const world = createWorld(seed, onTrace)
  const config = testConfig(plan.config)
  const disk = createDisk(world.random)
  const entries: Entry[] = []
  const lives: Victim[] = []
  let orchestrator: { readonly process: Process; readonly supervisor: Supervisor } | undefined
  let isOver = false
  let numStarted = 0
  let numAsked = 0

  const note = (entry: Note): void => {
    const full = { at: world.now, ...entry } as Entry
    entries.push(full)
    world.trace(JSON.stringify(full))
  }

  const machine: Machine = {
    world,
    disk,
    note,
    isOver: () => isOver,
    workers: () => lives.filter(({ process }) => process.isAlive),
    orchestrator: () => orchestrator?.process,
    crashOrchestrator,
    startOrchestrator,
    stop() {
      note({ kind: 'stopAsked' })
      orchestrator?.supervisor.stop()
    },
    network: () => network,
  }
  const faults = createFaults(plan, machine)
  const generationOf = (address: string): number => Number(address.split('.')[1])
  const network: Network = createNetwork(world, {
    interfere: faults.interfere,
    onSent(address, frames) {
      if (kindOf(frames) === 'batch') note({ kind: 'sent', generation: generationOf(address), ...pickStep(stepOf(frames)) })
    },
    onArrived(address, frames) {
      const event = decodeEvent(frames[0])
      if (event.kind === 'credit') note({ kind: 'credited', generation: generationOf(address), step: event.step })
    },
  })

  function crashOrchestrator(): void {
    if (!orchestrator?.process.isAlive) return
    orchestrator.process.kill()
    note({ kind: 'crashed' })
    orphan()
  }

  /** What the end of the orchestrator's process does to its children. */
  function orphan(): void {
    for (const { process, model, exit } of lives) {
      if (!process.isAlive) continue
      const notice = plan.hasDeathSignal ? (): void => exit({ exitCode: null, signal: 'SIGKILL' }) : model.endStdin
      world.after(world.random.between(0, 5), notice)
    }
  }

  function startOrchestrator(): void {
    if (isOver || orchestrator?.process.isAlive) return
    const process = world.spawn(`orchestrator ${numStarted}`, 1)
    const endpoint = plan.isEndpointFixed ? 'fixed' : `endpoint ${numStarted}`
    numStarted++
    note({ kind: 'started' })
    const channel = network.open(endpoint, process)
    let numTaken = 0
    const supervisor = superviseWorker({
      channel,
      time: process.time,
      launch: async (_command, _args, options) => launchModel(process, options?.env ?? {}),
      python: { path: 'python', env: {} },
      runId: RUN_ID,
      token: TOKEN,
      takeGeneration: () => plants.takeGeneration?.(disk, numTaken++) ?? disk.nextGeneration++,
      welcome: {
        kind: 'welcome',
        runFolder: '/run',
        configHash: CONFIG_HASH,
        config: plants.orchestratorConfig?.(config) ?? config,
        dataset: {
          name: 'digits',
          sha256: '',
          numImages: 1797,
          imageShape: [1, 8, 8],
          numClasses: 10,
          dtype: 'uint8',
          scalingFactor: null,
        },
        realImages: null,
      },
      workerLog: '/nowhere/worker.log',
      describeBatch: (step) => `batch ${step}`,
      async batch(step) {
        await process.sleep(world.random.between(0, 30) + faults.batchDelay())
        if (faults.takeBatchFailure()) throw new ImmiscibleError('PIPELINE', 'a preparing thread failed')
        return { ...makeBatch(0, 'train', plants.batchStep?.(step, numAsked++) ?? step, config.globalBatchSize), step }
      },
      async *heldOut() {
        for (let left = config.validation.numImages, at = 0; left > 0; left -= config.globalBatchSize, at++) {
          await process.sleep(5)
          yield makeBatch(0, 'heldOut', at, Math.min(left, config.globalBatchSize))
        }
      },
      onEvent(event) {
        if (event.kind === 'ready') note({ kind: 'heardReady', generation: lastGeneration(), step: event.step })
        if (event.kind === 'stepDone') note({ kind: 'heardDone', generation: lastGeneration(), step: event.step })
      },
      onDelivered: () => undefined,
      onLife: ({ state, ...life }) => note({ kind: state, ...life }),
    })
    orchestrator = { process, supervisor }
    supervisor.ended.then(
      (stopped) => {
        if (!process.isAlive) return
        note({ kind: 'finished', step: stopped.step, state: stopped.stateSha256, checkpoint: stopped.checkpoint })
        end(process)
      },
      (error: Error) => {
        if (!process.isAlive) return
        const code = error instanceof ImmiscibleError ? error.code : 'UNTYPED'
        note({ kind: 'failed', code, message: error.message })
        supervisor.kill()
        end(process)
      },
    )
  }

  function end(process: Process): void {
    isOver = true
    // The process ends by itself: its children are killed or read the end of their stdin.
    process.after(1, () => {
      process.kill()
      orphan()
    })
  }

  const lastGeneration = (): number => lives.at(-1)?.generation ?? -1

  function launchModel(owner: Process, env: Readonly<Record<string, string>>): Launched {
    const generation = Number(env['IMMISCIBLE_GENERATION'])
    const process = world.spawn(`worker ${generation}`, 250)
    const exited = Promise.withResolvers<Exit>()
    const exit: Victim['exit'] = ({ exitCode, signal }) => {
      if (!process.isAlive) return
      process.kill()
      note({ kind: 'exited', generation, how: signal ?? `exit code ${exitCode}` })
      const failure = exitCode === 0 ? null : 'failed'
      owner.receive(world.random.between(0, 20), () => exited.resolve({ exitCode, signal, failure, errorCode: null }))
    }
    const model = startWorkerModel(
      {
        endpoint: env['IMMISCIBLE_CONTROL'],
        token: env['IMMISCIBLE_TOKEN'],
        runId: env['IMMISCIBLE_RUN_ID'],
        generation,
        configHash: env['IMMISCIBLE_CONFIG_HASH'],
        leaseSeconds: Number(env['IMMISCIBLE_LEASE_SECONDS']),
      },
      {
        process,
        network,
        disk,
        note,
        plants,
        point: (name, ms) => faults.pass(life, name, ms),
        exit: (code) => exit({ exitCode: code, signal: null }),
      },
    )
    const life: Victim = { process, generation, model, exit }
    lives.push(life)
    return {
      pid: lives.length,
      exited: exited.promise,
      kill(signal) {
        if (signal === 'SIGUSR1') return
        if (signal === 'SIGCONT') return process.wakeUp()
        world.after(faults.killableIn(life), () => exit({ exitCode: null, signal: 'SIGKILL' }))
      },
    }
  }

  startOrchestrator()
  faults.arm()
  await world.run(() => isOver, LIMIT_MS)
  const virtualMs = world.now
  const hasEnded = isOver
  await world.run(() => lives.every(({ process }) => !process.isAlive), world.now + AFTERWARDS_MS)
  return {
    plan,
    config,
    history: {
      entries,
      checkpoints: listCheckpoints(disk),
      // Where nobody kills it, nothing can end a process that hangs with Python's lock held.
      numLeftAlive: lives.filter(({ process, model }) => process.isAlive && (plan.hasDeathSignal || !model.isMute())).length,
      isOver: hasEnded,
    },
    digest: world.digest(),
    numEvents: world.numEvents,
    virtualMs,
  }
}

function pickStep({ split, step }: { readonly split: string; readonly step: number }): { split: string; step: number } {
  return { split, step }
}
