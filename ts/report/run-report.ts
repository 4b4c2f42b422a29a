/** Turns what the worker says and what the pipeline measured into run events: to events.jsonl, and to whoever iterates over the run. */
import { availableParallelism, cpus } from 'node:os'
import type { AssignmentMetrics, RunEvent, WorkerEvent, WorkerEventOf } from '../../protocol/index.ts'
import type { RunFolder } from './run-folder.ts'

const LOSS_WINDOW = 100

/** What the pipeline knows of a batch. */
interface Prepared {
  readonly step: number
  readonly epoch: number
  readonly noiseMs: number
  readonly assignMs: number
  readonly measureMs: number
  readonly assignment: AssignmentMetrics
}

/** Over the steps of one call: mean loss of the last hundred, means of the assignment over all. */
export interface RunMetrics {
  readonly loss: number
  readonly gain: number
  readonly preGain: number
  readonly distanceChange: number
  /** Mean of the noise's squared length over its dimensions: 1 unless the strategy prefers short noise. */
  readonly noiseNorm: number
  /** Mean of the noise along the direction of its class, in standard deviations; null without labels. */
  readonly classMean: number | null
  /** The last ones measured on the held-out images, by the network and by its EMA weights; null where none were. */
  readonly heldOutLoss: number | null
  readonly heldOutEmaLoss: number | null
}

type Untimed<T> = T extends unknown ? Omit<T, 'time'> : never

export interface RunReport {
  begin(): void
  prepared(batch: Prepared): void
  delivered(step: number, wireMs: number): void
  heard(event: WorkerEvent): void
  life(life: {
    readonly state: 'starting' | 'gone'
    readonly generation: number
    readonly step: number | null
    readonly message: string
  }): void
  /** Of this side. */
  warn(code: string, message: string): void
  end(outcome: 'finished' | 'stopped' | 'failed', message: string): void
  /** Optimiser updates that were heard of. */
  readonly step: number
  readonly samplePath: string | undefined
  /** Over the steps heard of; undefined before the first. */
  metrics(): RunMetrics | undefined
}

export function createRunReport(folder: RunFolder, publish: (event: RunEvent) => void): RunReport {
  const inFlight = new Map<number, Prepared & { wireMs: number }>()
  const losses: number[] = []
  const sums = { steps: 0, gain: 0, preGain: 0, preCost: 0, postCost: 0, noiseNorm: 0, classMean: 0, numClassed: 0 }
  let generation = 0
  let pid: number | null = null
  let numSteps = 0
  let samplePath: string | undefined
  let validated: WorkerEventOf<'validated'> | undefined
  let hasDiskWarning = false

  function emit(event: Untimed<RunEvent>): void {
    const timed = { time: Date.now(), ...event }
    publish(timed)
    const error = folder.append(timed)
    if (error && !hasDiskWarning) {
      hasDiskWarning = true
      publish({
        kind: 'warning',
        time: Date.now(),
        code: 'EVENTS_NOT_WRITTEN',
        message: `events.jsonl is no longer complete: ${error.message}`,
      })
    }
  }

  function stepDone(done: WorkerEventOf<'stepDone'>): void {
    const batch = inFlight.get(done.step)
    if (!batch) return
    for (const step of inFlight.keys()) if (step <= done.step) inFlight.delete(step)
    numSteps = done.step + 1
    if (done.loss !== null) losses.push(done.loss)
    if (losses.length > LOSS_WINDOW) losses.shift()
    const { assignment } = batch
    sums.steps++
    sums.gain += assignment.gain
    sums.preGain += assignment.preGain
    sums.preCost += assignment.preCost
    sums.postCost += assignment.postCost
    sums.noiseNorm += assignment.drift.norm
    if (assignment.drift.classMean !== null) {
      sums.classMean += assignment.drift.classMean
      sums.numClassed++
    }
    const { step, loss, gradNorm, learningRate, emaDecay, stageMs, waitMs, trainMs, batchSha256 } = done
    const timeline = {
      noiseMs: batch.noiseMs,
      assignMs: batch.assignMs,
      measureMs: batch.measureMs,
      wireMs: batch.wireMs,
      stageMs,
      waitMs,
      trainMs,
    }
    emit({ kind: 'step', generation, step, epoch: batch.epoch, loss, gradNorm, learningRate, emaDecay, timeline, assignment, batchSha256 })
  }

  function ready(event: WorkerEventOf<'ready'>): void {
    numSteps = event.step
    inFlight.clear()
    const message = event.resumedFrom ? `resumed from ${event.resumedFrom}` : 'from the start'
    emit({
      kind: 'worker',
      state: 'ready',
      generation,
      step: event.step,
      pid,
      message: `${message}; ${event.numParameters} parameters on ${event.fingerprint.device}`,
    })
    for (const warning of event.warnings) emit({ kind: 'warning', code: 'WORKER', message: warning })
    folder.writeEnvironment({
      worker: event.fingerprint,
      orchestrator: {
        node: process.version,
        v8: process.versions.v8,
        platform: `${process.platform}-${process.arch}`,
        cpu: cpus()[0]?.model ?? 'unknown',
        numCpus: availableParallelism(),
      },
    })
  }

  return {
    begin: () => emit({ kind: 'run', runId: folder.manifest.runId, runFolder: folder.path, maxTrainSteps: folder.config.maxTrainSteps }),
    prepared(batch) {
      // Field by field: the batch itself carries its tensors, whose memory must go when its credit comes back.
      const { step, epoch, noiseMs, assignMs, measureMs, assignment } = batch
      inFlight.set(step, { step, epoch, noiseMs, assignMs, measureMs, assignment, wireMs: 0 })
    },
    delivered(step, wireMs) {
      const batch = inFlight.get(step)
      if (batch) batch.wireMs = wireMs
    },
    life(life) {
      generation = life.generation
      emit({ kind: 'worker', ...life, pid: life.state === 'starting' ? null : pid })
    },
    heard(event) {
      switch (event.kind) {
        case 'hello':
          pid = event.pid
          return
        case 'ready':
          return ready(event)
        case 'stepDone':
          return stepDone(event)
        case 'validated': {
          validated = event
          const { step, loss, emaLoss, numImages } = event
          return emit({ kind: 'validation', step, loss, emaLoss, numImages })
        }
        case 'sampled':
          samplePath = event.path
          return emit({ kind: 'sample', step: event.step, path: event.path })
        case 'evaluated': {
          const { kind: _kind, ...evaluation } = event
          return emit({ kind: 'evaluation', ...evaluation })
        }
        case 'saved':
          return emit({ kind: 'checkpoint', step: event.step, path: event.path, stateSha256: event.stateSha256 })
        case 'warning':
          return emit({ kind: 'warning', code: event.code, message: event.message })
        default:
      }
    },
    warn: (code, message) => emit({ kind: 'warning', code, message }),
    end: (outcome, message) => emit({ kind: 'end', outcome, step: numSteps, message }),
    get step() {
      return numSteps
    },
    get samplePath() {
      return samplePath
    },
    metrics() {
      if (sums.steps === 0) return undefined
      return {
        loss: losses.reduce((sum, loss) => sum + loss, 0) / losses.length,
        gain: sums.gain / sums.steps,
        preGain: sums.preGain / sums.steps,
        distanceChange: sums.postCost / sums.preCost - 1,
        noiseNorm: sums.noiseNorm / sums.steps,
        classMean: sums.numClassed > 0 ? sums.classMean / sums.numClassed : null,
        heldOutLoss: validated?.loss ?? null,
        heldOutEmaLoss: validated?.emaLoss ?? null,
      }
    },
  }
}
