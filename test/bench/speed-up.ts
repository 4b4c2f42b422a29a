/** What two preparing threads bring over one, beside the same computation in bare threads: pools per second. */
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'
import type { TrainConfig } from '../../protocol/index.ts'
import { openDataset } from '../../ts/dataset/table.ts'
import { openPipeline } from '../../ts/pipeline/pipeline.ts'
import { testConfig } from '../fixture/config.ts'
import { quantile } from './loop-meter.ts'

export interface SpeedUp {
  /** Pools per second, medians over the rounds. */
  readonly pipeline: readonly [one: number, two: number]
  readonly control: readonly [one: number, two: number]
  /** Medians of each round's own quotients, so that what disturbs a whole round cancels. */
  readonly pipelineSpeedUp: number
  readonly controlSpeedUp: number
  readonly ratio: number
}

/** Interleaves the four (pipeline and control, one thread and two) in each round. */
export async function measureSpeedUp(size: number, { rounds, ms }: { rounds: number; ms: number }): Promise<SpeedUp> {
  const configs = [1, 2].map((threads) =>
    testConfig({ dataset: { kind: 'emoji' }, globalBatchSize: size, maxTrainSteps: 2 ** 31 - 1, pipeline: { threads } }),
  )
  await using one = await startPipeline(configs[0])
  await using two = await startPipeline(configs[1])
  await using bareOne = startThreads(configs[0], 1)
  await using bareTwo = startThreads(configs[1], 2)
  const entrants = [one, two, bareOne, bareTwo]
  for (const entrant of entrants) await entrant.run(ms)
  const results: number[][] = []
  for (let round = 0; round < rounds; round++) {
    const row: number[] = []
    for (const entrant of entrants) row.push(await entrant.run(ms))
    results.push(row)
  }
  const median = (of: (row: number[]) => number): number => quantile(results.map(of), 0.5)
  return {
    pipeline: [median(([a]) => a), median(([, b]) => b)],
    control: [median(([, , c]) => c), median(([, , , d]) => d)],
    pipelineSpeedUp: median(([a, b]) => b / a),
    controlSpeedUp: median(([, , c, d]) => d / c),
    ratio: median(([a, b, c, d]) => b / a / (d / c)),
  }
}

/** The pools ahead are still being solved when the clock has stopped: they must not disturb who comes next. */
const SETTLE_MS = 600

interface Entrant extends AsyncDisposable {
  /** Pools per second over so many milliseconds. */
  run(ms: number): Promise<number>
}

async function startPipeline(config: TrainConfig): Promise<Entrant> {
  const pipeline = openPipeline(config, await openDataset(config.dataset))
  let step = 0
  return {
    async run(ms) {
      // What lay prepared was made before the clock starts.
      for (let prepared = 0; prepared < 16; prepared++) await pipeline.batch(step++)
      const start = performance.now()
      const first = step
      while (performance.now() - start < ms) await pipeline.batch(step++)
      const rate = (step - first) / ((performance.now() - start) / 1000)
      await sleep(SETTLE_MS)
      return rate
    },
    [Symbol.asyncDispose]: () => pipeline[Symbol.asyncDispose](),
  }
}

function startThreads(config: TrainConfig, count: number): Entrant {
  const module = new URL('./compute-thread.ts', import.meta.url)
  const threads = Array.from({ length: count }, (_, first) => new Worker(module, { workerData: { config, first, stride: count } }))
  return {
    async run(ms) {
      const answers = threads.map(async (thread) => {
        thread.postMessage({ ms })
        const [{ pools, seconds }] = (await once(thread, 'message')) as [{ pools: number; seconds: number }]
        return pools / seconds
      })
      return (await Promise.all(answers)).reduce((sum, rate) => sum + rate, 0)
    },
    async [Symbol.asyncDispose]() {
      await Promise.all(threads.map((thread) => thread.terminate()))
    },
  }
}
