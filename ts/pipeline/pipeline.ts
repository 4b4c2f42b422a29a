/** Prepares batches ahead of the worker: batch(step) for whoever asks next, computed in threads while the worker trains. */
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'
import { hashConfig, type TrainConfig } from '../../protocol/index.ts'
import type { AssignmentStrategy } from '../assignment/assignment.ts'
import { loadStrategy } from '../assignment/table.ts'
import type { Dataset } from '../dataset/dataset.ts'
import { ImmiscibleError } from '../errors.ts'
import { threadKernel } from '../kernel/simd/simd.ts'
import { prepareAhead } from './ahead.ts'
import { keepNoise, type PoolTables } from './kept-noise.ts'
import { createPoolSource, poolLayout, type Batch } from './source.ts'
import type { ThreadAnswer, ThreadData, ThreadRequest } from './thread.ts'

/** More pools than this ahead of the worker, or than two for each thread, buy nothing, whatever the budget. */
const MAX_POOLS_AHEAD = 8
/** Of the cores that training leaves; more can be asked for by `pipeline.threads`. */
const MAX_DEFAULT_THREADS = 4

export interface Pipeline extends AsyncDisposable {
  /** The batch of a step. Steps may be asked for in any order; going on by one is fast. Its memory is good until `release(step)`. */
  batch(step: number): Promise<Batch>
  /**
   * The batch of this step is no longer read, by the socket neither. When all of a pool's are, its memory is freed there and then: left to the
   * garbage collector, buffers from other threads cost the event loop a full collection each few dozen MB.
   */
  release(step: number): void
  /** The held-out images, the same each time; computed anew, since a worker asks for them once. */
  heldOut(): AsyncGenerator<Batch>
}

export interface PipelineOptions {
  /** Where tables of kept noise are cached; without it they are computed again after a start. */
  readonly folder?: string
  /** Runs on the calling thread, since an object cannot cross to another; the built-in strategies run in `pipeline.threads` threads. */
  readonly strategy?: AssignmentStrategy | undefined
  /** The module that each thread runs, instead of thread.ts: for tests of threads that go wrong. */
  readonly threadModule?: URL
}

export function openPipeline(
  config: TrainConfig,
  dataset: Dataset,
  { folder, strategy, threadModule = THREAD }: PipelineOptions = {},
): Pipeline {
  const { batchesPerPool } = poolLayout(config, dataset)
  const solver = strategy
    ? solveHere(config, dataset, strategy)
    : solveInThreads({ config, stored: dataset.stored }, batchesPerPool, threadModule)
  const ahead = prepareAhead({
    capacity: 1 + poolsAhead(config, dataset),
    lastPool: Math.ceil(config.maxTrainSteps / batchesPerPool) - 1,
    solve: withKeptNoise(config, dataset, strategy, folder, solver),
  })
  const handedOut = new Map<number, { readonly released: Set<number>; batches?: readonly Batch[] }>()

  return {
    async batch(step) {
      const index = Math.floor(step / batchesPerPool)
      // What a life before this one left half released is the garbage collector's.
      for (const known of handedOut.keys()) if (known > index || known < index - config.pipeline.credits) handedOut.delete(known)
      const entry = handedOut.get(index) ?? { released: new Set() }
      handedOut.set(index, entry)
      entry.released.delete(step)
      entry.batches = await ahead.pool(index)
      return entry.batches[step % batchesPerPool]
    },
    release(step) {
      const index = Math.floor(step / batchesPerPool)
      const entry = handedOut.get(index)
      if (entry?.released.add(step).size !== batchesPerPool) return
      handedOut.delete(index)
      ahead.forget(index)
      for (const buffer of new Set(entry.batches?.flatMap(({ tensors }) => tensors.map(({ data }) => data.buffer)))) buffer.transfer(0)
    },
    async *heldOut() {
      const numPools = Math.ceil(config.validation.numImages / config.assignment.poolSize)
      for (let index = 0; index < numPools; index++) yield* await solver.solve({ split: 'heldOut', index, tables: undefined })
    },
    [Symbol.asyncDispose]: solver.close,
  }
}

/** What the byte budget holds beside the pool in use. */
export function poolsAhead(config: TrainConfig, dataset: Dataset): number {
  const affordable = Math.floor(config.pipeline.byteBudget / poolLayout(config, dataset).poolBytes) - 1
  return Math.max(1, Math.min(affordable, Math.max(MAX_POOLS_AHEAD, 2 * numThreads(config))))
}

interface Solver {
  solve(request: ThreadRequest): Promise<Batch[]>
  close(): Promise<void>
}

/** Solves by way of the noise tables where the strategy keeps noise, which only the strategy itself knows. */
function withKeptNoise(
  config: TrainConfig,
  dataset: Dataset,
  ownStrategy: AssignmentStrategy | undefined,
  folder: string | undefined,
  solver: Solver,
): (index: number) => Promise<Batch[]> {
  async function choose(): Promise<(index: number) => Promise<Batch[]>> {
    const { keptNoise } = ownStrategy ?? (await loadStrategy(config.assignment))
    const solve = (index: number, tables?: PoolTables): Promise<Batch[]> => solver.solve({ split: 'train', index, tables })
    if (!keptNoise) return solve
    const { poolSize } = config.assignment
    const poolsPerEpoch = Math.floor((dataset.numImages - config.validation.numImages) / poolSize)
    const stepsPerEpoch = (poolsPerEpoch * poolSize) / config.globalBatchSize
    const stepsBack = (config.checkpoint.totalLimit + 1) * config.checkpoint.everySteps
    const layout = {
      identity: `${hashConfig(config)} ${dataset.sha256}`,
      numImages: dataset.numImages,
      poolsPerEpoch,
      noisesPerImage: keptNoise.noisesPerImage,
      epochsKept: Math.ceil(stepsBack / stepsPerEpoch),
      width: numThreads(config),
    }
    return keepNoise(layout, folder && join(folder, 'noise-keys'), solve)
  }
  let chosen: ReturnType<typeof choose> | undefined
  return async (index) => (await (chosen ??= choose()))(index)
}

function solveHere(config: TrainConfig, dataset: Dataset, strategy: AssignmentStrategy): Solver {
  const source = createPoolSource(config, dataset, strategy, threadKernel())
  return {
    async solve({ split, index, tables }) {
      await nextTurn() // sockets and timers go first
      return split === 'train' ? source.pool(index, tables) : source.heldOutPool(index)
    },
    close: async () => undefined,
  }
}

/** Each thread solves whole pools; the next goes to the one with the least to do. */
function solveInThreads(data: ThreadData, batchesPerPool: number, module: URL): Solver {
  const threads = Array.from({ length: numThreads(data.config) }, () => startThread(data, batchesPerPool, module))
  return {
    solve(request) {
      const thread = threads.reduce((least, other) => (other.numWaiting() < least.numWaiting() ? other : least))
      return thread.solve(request)
    },
    async close() {
      await Promise.all(threads.map((thread) => thread.close()))
    },
  }
}

export function numThreads({ pipeline }: TrainConfig): number {
  return pipeline.threads > 0 ? pipeline.threads : Math.max(1, Math.min(MAX_DEFAULT_THREADS, Math.floor(availableParallelism() / 2)))
}

const THREAD = new URL(`./thread.${import.meta.url.endsWith('.ts') ? 'ts' : 'js'}`, import.meta.url)

function startThread(data: ThreadData, batchesPerPool: number, module: URL): Solver & { numWaiting(): number } {
  const { poolSeconds } = data.config.pipeline
  /** In the order in which the thread takes them: the first is the one that it works on. */
  const waiting: { readonly request: ThreadRequest; readonly answer: PromiseWithResolvers<Batch[]> }[] = []
  const thread = new Worker(module, { workerData: data })
  let clock: NodeJS.Timeout | undefined
  let failure: ImmiscibleError | undefined

  function fail(error: ImmiscibleError): void {
    clearTimeout(clock)
    failure ??= error
    for (const { answer } of waiting.splice(0)) answer.reject(failure)
  }

  /** Starts the clock of the pool that the thread works on now. */
  function watch(): void {
    clearTimeout(clock)
    const [current] = waiting
    if (current === undefined) return
    // Answers are read before the verdict: one may have come while this thread was busy.
    clock = setTimeout(() => setImmediate(giveUp, current.request), poolSeconds * 1000)
  }

  function giveUp(request: ThreadRequest): void {
    if (waiting[0]?.request !== request) return
    const { split, index } = request
    const use = split === 'train' ? `steps ${index * batchesPerPool} to ${(index + 1) * batchesPerPool - 1}` : 'held-out images'
    fail(new ImmiscibleError('PIPELINE', `pool ${index} (${use}) was not ready within ${poolSeconds} s (pipeline.poolSeconds)`))
    void thread.terminate()
  }

  thread.on('message', ({ batches }: ThreadAnswer) => {
    waiting.shift()?.answer.resolve(batches)
    watch()
  })
  thread.on('error', (cause: Error) => fail(new ImmiscibleError('PIPELINE', `a preparing thread failed: ${cause.message}`, { cause })))
  thread.on('exit', (code) => fail(new ImmiscibleError('PIPELINE', `a preparing thread ended with code ${code}`)))

  return {
    numWaiting: () => waiting.length,
    solve(request) {
      if (failure) return Promise.reject(failure)
      const answer = Promise.withResolvers<Batch[]>()
      waiting.push({ request, answer })
      if (waiting.length === 1) watch()
      thread.postMessage(request)
      return answer.promise
    },
    async close() {
      await thread.terminate()
    },
  }
}
