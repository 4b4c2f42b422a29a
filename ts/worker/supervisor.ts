/** Keeps a run's worker alive: after a failure that another life may cure, the next generation goes on from the last checkpoint. */
import { WorkerError, type ImmiscibleError } from '../errors.ts'
import { systemTime } from './time.ts'
import { startWorker, WorkerFailure, type WorkerLife, type WorkerOptions } from './worker.ts'
import type { WorkerEventOf } from '../../protocol/index.ts'

const FIRST_BACKOFF_MS = 250
const LAST_BACKOFF_MS = 30_000

export interface SupervisorOptions extends Omit<WorkerOptions, 'generation'> {
  /** A generation that no life of this run has had. */
  readonly takeGeneration: () => number
  /** What is in the batch of a step, for the diagnosis of a worker that dies of it. */
  readonly describeBatch: (step: number) => string
  readonly onLife: (life: { state: 'starting' | 'gone'; generation: number; step: number | null; message: string }) => void
}

export interface Supervisor {
  readonly ended: Promise<WorkerEventOf<'stopped'>>
  /** Finish the step, save, end. A worker that dies before it has is started once more, to end well from its last checkpoint. */
  stop(): void
  kill(): void
}

export function superviseWorker(options: SupervisorOptions): Supervisor {
  const { maxRestarts } = options.welcome.config.worker
  const { time = systemTime } = options
  let life: WorkerLife | undefined
  let isStopping = false
  let isKilled = false

  async function live(): Promise<WorkerEventOf<'stopped'>> {
    let furthest = 0
    let failures = 0
    for (;;) {
      const generation = options.takeGeneration()
      let lastStep: number | null = null
      /** The step whose batch the worker has, or waits for. */
      let atStep: number | undefined
      options.onLife({ state: 'starting', generation, step: null, message: '' })
      life = await startWorker({
        ...options,
        generation,
        onEvent(event) {
          if (event.kind === 'ready') atStep = event.step
          if (event.kind === 'stepDone') atStep = (lastStep = event.step) + 1
          options.onEvent(event)
        },
      })
      if (isKilled) life.kill()
      else if (isStopping) life.stop()
      try {
        return await life.ended
      } catch (error) {
        options.onLife({ state: 'gone', generation, step: lastStep, message: (error as Error).message })
        // Steps beyond the last failure are progress: the count starts again.
        if (lastStep !== null && lastStep >= furthest) failures = 0
        furthest = Math.max(furthest, atStep ?? 0)
        failures++
        if (isKilled || !mayRetry(error)) throw error
        if (failures > maxRestarts) throw giveUp(failures, atStep === undefined ? undefined : furthest, error as Error)
        await time.sleep(Math.min(LAST_BACKOFF_MS, FIRST_BACKOFF_MS * 2 ** (failures - 1)))
      }
    }
  }

  function giveUp(numFailures: number, step: number | undefined, cause: Error): WorkerError {
    const times = numFailures === 1 ? 'failed' : `failed ${numFailures} times in a row`
    const where = step === undefined ? 'and did not get ready' : `without getting past step ${step} (${options.describeBatch(step)})`
    const { traceback } = cause as Partial<WorkerError>
    return new WorkerError(
      'WORKER_GONE',
      `the worker ${times} ${where}; worker.maxRestarts is ${maxRestarts}: ${cause.message}`,
      traceback,
      { cause },
    )
  }

  return {
    ended: live(),
    stop() {
      isStopping = true
      life?.stop()
    },
    kill() {
      isKilled = true
      life?.kill()
    },
  }
}

/** A dead or silent process may be started again; what the worker or the protocol calls wrong stays wrong. */
function mayRetry(error: unknown): boolean {
  if (error instanceof WorkerFailure) return error.isRetryable
  return (error as ImmiscibleError).code === 'WORKER_GONE'
}
