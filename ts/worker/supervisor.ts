/** Keeps a run's worker alive: after a failure that another life may cure, the next generation goes on from the last checkpoint. */
import { WorkerError, type ImmiscibleError } from '../errors.ts'
import { systemTime } from './time.ts'
import { startWorker, WorkerFailure, type WorkerLife, type WorkerOptions } from './worker.ts'
import type { WorkerEventOf } from '../../protocol/index.ts'

const FIRST_BACKOFF_MS = 250

export interface SupervisorOptions extends Omit<WorkerOptions, 'generation'> {
  /** A generation that no life of this run has had. */
  readonly takeGeneration: () => number
  readonly onLife: (life: { state: 'starting' | 'gone'; generation: number; step: number | null; message: string }) => void
}

export interface Supervisor {
  readonly ended: Promise<WorkerEventOf<'stopped'>>
  stop(): void
  kill(): void
}

export function superviseWorker(options: SupervisorOptions): Supervisor {
  const { maxRestarts } = options.welcome.config.worker
  const { time = systemTime } = options
  let life: WorkerLife | undefined
  let isStopping = false

  async function live(): Promise<WorkerEventOf<'stopped'>> {
    let furthest = -1
    let restarts = 0
    for (;;) {
      const generation = options.takeGeneration()
      let lastStep: number | null = null
      options.onLife({ state: 'starting', generation, step: null, message: '' })
      life = await startWorker({
        ...options,
        generation,
        onEvent(event) {
          if (event.kind === 'stepDone') lastStep = event.step
          options.onEvent(event)
        },
      })
      if (isStopping) life.stop()
      try {
        return await life.ended
      } catch (error) {
        options.onLife({ state: 'gone', generation, step: lastStep, message: (error as Error).message })
        // Steps beyond the last failure are progress: the count starts again.
        if (lastStep !== null && lastStep > furthest) {
          furthest = lastStep
          restarts = 0
        }
        if (isStopping || !mayRetry(error)) throw error
        if (restarts >= maxRestarts) {
          throw new WorkerError(
            'WORKER_GONE',
            `the worker failed ${restarts + 1} times in a row without getting past step ${Math.max(furthest, 0)} (worker.maxRestarts): ${(error as Error).message}`,
            (error as Partial<WorkerError>).traceback,
            { cause: error },
          )
        }
        await time.sleep(FIRST_BACKOFF_MS * 2 ** restarts)
        restarts++
      }
    }
  }

  return {
    ended: live(),
    stop() {
      isStopping = true
      life?.stop()
    },
    kill() {
      isStopping = true
      life?.kill()
    },
  }
}

/** A dead or silent process may be started again; what the worker or the protocol calls wrong stays wrong. */
function mayRetry(error: unknown): boolean {
  if (error instanceof WorkerFailure) return error.isRetryable
  return (error as ImmiscibleError).code === 'WORKER_GONE'
}
