/** The worker's main thread, message by message as py/immiscible_worker/{worker,held_out}.py: conformance.test.ts compares the two. */
import { PROTOCOL_VERSION, type Command, type TrainConfig, type WorkerEventOf } from '../../../protocol/index.ts'
import { createIoThread, type WorkerEnvironment } from './channel-model.ts'
import { createCheckpoints, nameOf, type Checkpoint, type CheckpointPlants, type Checkpoints, type Point } from './checkpoint-model.ts'
import { DiskError, type Disk } from './disk.ts'
import type { Note } from './ledger.ts'
import type { Network } from './network.ts'
import { checkContract, FIRST_STATE, nextState, WorkerFault } from './wire.ts'
import type { Process } from './world.ts'

export interface WorkerPlants extends CheckpointPlants {
  /** Takes any batch as the next. */
  readonly takesAnyStep?: boolean
  /** Goes on at the checkpoint's step with the weights of a new run. */
  readonly forgetsState?: boolean
}

export interface WorkerHost {
  readonly process: Process
  readonly network: Network
  readonly disk: Disk
  /** Time passes in the main thread: the name of the place, and the ms that it takes where nothing happens. */
  readonly point: Point
  readonly note: (note: Note) => void
  readonly exit: (code: number) => void
  readonly plants: WorkerPlants
}

export interface WorkerModel {
  /** The pipe from the orchestrator is at its end. */
  endStdin(): void
  /** The I/O thread gets nowhere any more, as when another one holds Python's lock. */
  mute(): void
  isMute(): boolean
  /** Updates applied. */
  step(): number
}

const FINGERPRINT = { python: '', torch: '', diffusers: '', device: 'cpu', cpuCapability: '', numThreads: 1, platform: '' }

export function startWorkerModel(environment: WorkerEnvironment, host: WorkerHost): WorkerModel {
  const { process, point, note, exit, plants } = host
  const { runId, generation, token, configHash } = environment
  const channel = createIoThread(environment, host)
  let step = 0
  let state = FIRST_STATE

  async function serve(): Promise<number> {
    const welcome = await receiveWelcome()
    if (welcome.kind === 'reject') return 78
    const { config } = welcome
    const checkpoints = createCheckpoints({
      ...plants,
      disk: host.disk,
      point,
      generation,
      totalLimit: config.checkpoint.totalLimit,
      onVisible: (checkpoint) => note({ kind: 'visible', generation, ...checkpoint }),
      onCommitted: (checkpoint) => note({ kind: 'committed', generation, ...checkpoint }),
      warn: () => undefined,
    })
    await point('import', 400)
    const loaded = await checkpoints.loadNewest()
    if (loaded) ({ step, state } = plants.forgetsState ? { ...loaded, state: FIRST_STATE } : loaded)
    note({ kind: 'loaded', generation, step, state: loaded?.state ?? FIRST_STATE })
    let saved = loaded
    channel.setProgress('waiting', step)
    await point('ready', 2)
    const resumedFrom = loaded ? nameOf(loaded.step) : null
    channel.say({ kind: 'ready', step, resumedFrom, numParameters: 1, fingerprint: FINGERPRINT, warnings: [] })

    const save = async (): Promise<Checkpoint> => {
      channel.setProgress('saving', step)
      await checkpoints.save({ step, state })
      saved = { step, state }
      channel.say({ kind: 'saved', step, path: nameOf(step), stateSha256: state, durationMs: 0 })
      return saved
    }
    let isStopped = !(await receiveHeldOut(config))
    while (!isStopped && step < config.maxTrainSteps && !channel.isStopping()) {
      isStopped = !(await trainOne(config))
      if (isStopped || step >= config.maxTrainSteps) continue
      if (step % config.checkpoint.everySteps === 0) await tryToSave(save)
      if (config.validation.numImages > 0 && step % config.validation.everySteps === 0) await validate(config)
      if (config.sampling.everySteps > 0 && step % config.sampling.everySteps === 0) await writeSamples()
    }
    await finish(config, checkpoints, saved, save)
    return 0
  }

  async function receiveWelcome(): Promise<Extract<Command, { kind: 'welcome' | 'reject' }>> {
    for (;;) {
      const item = await channel.receive()
      if (item.kind === 'welcome') {
        if (item.configHash !== configHash) throw new WorkerFault('CONFIG_MISMATCH', "welcome's config hash", 78)
        channel.setLease(item.config.worker.leaseSeconds)
        return item
      }
      if (item.kind === 'reject') return item
      if (item.kind === 'batch') throw new WorkerFault('PROTOCOL', 'first message: expected welcome or reject, got a batch', 70)
    }
  }

  /** False: stop came instead. */
  async function receiveHeldOut({ validation, globalBatchSize }: TrainConfig): Promise<boolean> {
    let count = 0
    for (let left = validation.numImages; left > 0; count++) {
      const item = await channel.receive()
      if (item.kind === 'stop') return false
      if (item.kind !== 'batch') throw new WorkerFault('PROTOCOL', 'message before the first step', 70)
      const size = Math.min(left, globalBatchSize)
      checkContract(item, 0, size, 'heldOut')
      await point('heldOut', 2)
      left -= size
    }
    note({ kind: 'heldOut', generation, count })
    return true
  }

  /** False: stop came instead. */
  async function trainOne({ globalBatchSize }: TrainConfig): Promise<boolean> {
    channel.setProgress('waiting', step)
    await point('wait', 0)
    const item = await channel.receive()
    if (item.kind === 'stop') return false
    if (item.kind !== 'batch') throw new WorkerFault('PROTOCOL', 'message while training: expected a batch or stop', 70)
    channel.setProgress('training', step)
    if (!plants.takesAnyStep) checkContract(item, step, globalBatchSize, 'train')
    await point('stage', 3)
    channel.say({ kind: 'credit', step, heldMs: 0 })
    await point('train', 60)
    state = nextState(state, item.sha256)
    note({ kind: 'applied', generation, step, batch: item.sha256, state })
    const figures = { loss: 1, gradNorm: 1, learningRate: 0, emaDecay: 0, trainMs: 0, waitMs: 0, stageMs: 0 }
    const done: WorkerEventOf<'stepDone'> = { kind: 'stepDone', step, ...figures, batchSha256: item.sha256 }
    step++
    await point('done', 0)
    channel.say(done)
    return true
  }

  /** A periodic save. Where it fails training goes on. */
  async function tryToSave(save: () => Promise<Checkpoint>): Promise<void> {
    try {
      await save()
    } catch (error) {
      if (!(error instanceof DiskError)) throw error
      channel.say({ kind: 'warning', code: 'CHECKPOINT_FAILED', message: error.message })
    }
  }

  async function validate({ validation }: TrainConfig): Promise<void> {
    channel.setProgress('validating', step)
    await point('validate', 30)
    channel.say({ kind: 'validated', step, loss: 1, emaLoss: 1, numImages: validation.numImages, durationMs: 0 })
  }

  async function writeSamples(): Promise<void> {
    channel.setProgress('sampling', step)
    await point('sample', 50)
    if (host.disk.isFull) channel.say({ kind: 'warning', code: 'SAMPLE_FAILED', message: 'no sample grid' })
    else channel.say({ kind: 'sampled', step, path: `samples/${nameOf(step)}.png`, durationMs: 0 })
  }

  async function finish(
    config: TrainConfig,
    checkpoints: Checkpoints,
    saved: Checkpoint | undefined,
    save: () => Promise<Checkpoint>,
  ): Promise<void> {
    let last: Checkpoint
    try {
      last = saved?.step === step ? saved : await save()
    } catch (error) {
      if (!(error instanceof DiskError)) throw error
      throw new WorkerFault('CHECKPOINT_FAILED', `the last checkpoint, of step ${step}, could not be written: ${error.message}`, 1)
    }
    if (step >= config.maxTrainSteps) {
      if (config.validation.numImages > 0) await validate(config)
      await writeSamples()
    }
    checkpoints.checkGeneration()
    channel.setProgress('ending', step)
    await point('pipeline', 40)
    if (host.disk.isFull) throw new WorkerFault('PIPELINE_FAILED', 'the pipeline could not be written', 1)
    channel.say({ kind: 'stopped', step, checkpoint: nameOf(last.step), stateSha256: last.state, pipeline: 'pipeline' })
  }

  async function run(): Promise<void> {
    let exitCode: number
    try {
      exitCode = await serve()
    } catch (error) {
      const fault = error instanceof DiskError ? new WorkerFault('INTERNAL', error.message, 1) : error
      if (!(fault instanceof WorkerFault)) throw fault
      exitCode = fault.exitCode
      channel.say({ kind: 'failed', code: fault.code, message: fault.message, traceback: '', step, isRetryable: exitCode === 75 })
    }
    await channel.close()
    exit(exitCode)
  }

  channel.say({
    kind: 'hello',
    protocolVersion: PROTOCOL_VERSION,
    runId,
    generation,
    rank: 0,
    token,
    configHash,
    pid: generation + 1000,
  })
  void process.sleep(1).then(run)
  return { endStdin: channel.endStdin, mute: channel.mute, isMute: channel.isMute, step: () => step }
}
