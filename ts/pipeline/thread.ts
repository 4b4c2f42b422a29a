/** A preparing thread: solves the pools that it is asked for and hands their memory over. */
import { parentPort, workerData } from 'node:worker_threads'
import type { TrainConfig } from '../../protocol/index.ts'
import { loadStrategy } from '../assignment/table.ts'
import { loadDataset } from '../dataset/table.ts'
import { threadKernel } from '../kernel/simd/simd.ts'
import type { PoolTables } from './kept-noise.ts'
import { createPoolSource, type Batch } from './source.ts'

export interface ThreadRequest {
  readonly index: number
  /** In shared memory: written here, read by all. */
  readonly tables: PoolTables | undefined
}

export interface ThreadAnswer {
  readonly index: number
  readonly batches: Batch[]
}

const port = parentPort
if (!port) throw new Error('ts/pipeline/thread.ts runs as a worker thread only')

const config = workerData as TrainConfig
const source = createPoolSource(config, loadDataset(config.dataset), await loadStrategy(config.assignment), threadKernel())

port.on('message', ({ index, tables }: ThreadRequest) => {
  const batches = source.pool(index, tables)
  const buffers = new Set(batches.flatMap(({ tensors }) => tensors.map(({ data }) => data.buffer)))
  port.postMessage({ index, batches } satisfies ThreadAnswer, [...buffers])
})
