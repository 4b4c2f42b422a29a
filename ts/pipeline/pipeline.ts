/** Prepares batches ahead of the worker: batch(step) for whoever asks next, computed in threads while the worker trains. */
import { availableParallelism } from 'node:os'
import { Worker } from 'node:worker_threads'
import type { TrainConfig } from '../../protocol/index.ts'
import type { AssignmentStrategy } from '../assignment/assignment.ts'
import type { Dataset } from '../dataset/dataset.ts'
import { ImmiscibleError } from '../errors.ts'
import { threadKernel } from '../kernel/simd/simd.ts'
import { createPoolSource, poolLayout, type Batch } from './source.ts'
import type { ThreadAnswer } from './thread.ts'

/** More pools than this ahead of the worker buy nothing, whatever the budget. */
const MAX_POOLS_AHEAD = 8
/** Of the cores that training leaves; more can be asked for by `pipeline.threads`. */
const MAX_DEFAULT_THREADS = 4

export interface Pipeline extends AsyncDisposable {
  /** The batch of a step. Steps may be asked for in any order; going on by one is fast. The caller owns the memory. */
  batch(step: number): Promise<Batch>
}

/** @param customStrategy runs on the calling thread, since an object cannot cross to another; the built-in ones run in `pipeline.threads` threads. */
export function openPipeline(config: TrainConfig, dataset: Dataset, customStrategy?: AssignmentStrategy): Pipeline {
  const { batchesPerPool, poolBytes } = poolLayout(config, dataset)
  const poolsAhead = Math.max(1, Math.min(MAX_POOLS_AHEAD, Math.floor(config.pipeline.byteBudget / poolBytes) - 1))
  const lastPool = Math.ceil(config.maxTrainSteps / batchesPerPool) - 1
  const solver = customStrategy ? solveHere(config, dataset, customStrategy) : solveInThreads(config)
  const pools = new Map<number, Promise<Batch[]>>()

  function request(index: number): Promise<Batch[]> {
    let pool = pools.get(index)
    if (!pool) {
      pool = solver.solve(index)
      // Whoever asks for the batch sees the failure; a pool that nobody asks for must not end the process.
      pool.catch(() => undefined)
      pools.set(index, pool)
    }
    return pool
  }

  return {
    async batch(step) {
      const index = Math.floor(step / batchesPerPool)
      for (const known of pools.keys()) if (known < index || known > index + poolsAhead) pools.delete(known)
      const pool = request(index)
      for (let ahead = index + 1; ahead <= Math.min(index + poolsAhead, lastPool); ahead++) void request(ahead)
      return (await pool)[step % batchesPerPool]
    },
    [Symbol.asyncDispose]: solver.close,
  }
}

interface Solver {
  solve(index: number): Promise<Batch[]>
  close(): Promise<void>
}

function solveHere(config: TrainConfig, dataset: Dataset, strategy: AssignmentStrategy): Solver {
  const source = createPoolSource(config, dataset, strategy, threadKernel())
  return {
    solve: (index) =>
      new Promise((resolve, reject) => {
        setImmediate(() => {
          try {
            resolve(source.pool(index))
          } catch (error) {
            reject(error)
          }
        })
      }),
    close: async () => undefined,
  }
}

/** Each thread solves whole pools; the next goes to the one with the least to do. */
function solveInThreads(config: TrainConfig): Solver {
  const threads = Array.from({ length: numThreads(config) }, () => startThread(config))
  return {
    solve(index) {
      const thread = threads.reduce((least, other) => (other.numWaiting() < least.numWaiting() ? other : least))
      return thread.solve(index)
    },
    async close() {
      await Promise.all(threads.map((thread) => thread.close()))
    },
  }
}

function numThreads({ pipeline }: TrainConfig): number {
  return pipeline.threads > 0 ? pipeline.threads : Math.max(1, Math.min(MAX_DEFAULT_THREADS, Math.floor(availableParallelism() / 2)))
}

function startThread(config: TrainConfig): Solver & { numWaiting(): number } {
  const waiting = new Map<number, PromiseWithResolvers<Batch[]>>()
  const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js'
  const thread = new Worker(new URL(`./thread.${extension}`, import.meta.url), { workerData: config })
  let failure: ImmiscibleError | undefined

  function fail(error: ImmiscibleError): void {
    failure ??= error
    for (const { reject } of waiting.values()) reject(failure)
    waiting.clear()
  }

  thread.on('message', ({ index, batches }: ThreadAnswer) => {
    waiting.get(index)?.resolve(batches)
    waiting.delete(index)
  })
  thread.on('error', (cause: Error) => fail(new ImmiscibleError('PIPELINE', `a preparing thread failed: ${cause.message}`, { cause })))
  thread.on('exit', (code) => fail(new ImmiscibleError('PIPELINE', `a preparing thread ended with code ${code}`)))

  return {
    numWaiting: () => waiting.size,
    solve(index) {
      if (failure) return Promise.reject(failure)
      const answer = Promise.withResolvers<Batch[]>()
      waiting.set(index, answer)
      thread.postMessage(index)
      return answer.promise
    },
    async close() {
      await thread.terminate()
    },
  }
}
