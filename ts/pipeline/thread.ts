/** A preparing thread: solves the pools that it is asked for and hands their memory over. */
import { parentPort, workerData } from 'node:worker_threads'
import type { BatchHeader, TrainConfig } from '../../protocol/index.ts'
import { loadStrategy } from '../assignment/table.ts'
import { loadDataset } from '../dataset/table.ts'
import { threadKernel } from '../kernel/simd/simd.ts'
import type { PoolTables } from './kept-noise.ts'
import { createPoolSource, type Batch } from './source.ts'

export type Split = BatchHeader['split']

export interface ThreadRequest {
  readonly split: Split
  readonly index: number
  /** In shared memory: written here, read by all. */
  readonly tables: PoolTables | undefined
}

export interface ThreadAnswer {
  readonly split: Split
  readonly index: number
  readonly batches: Batch[]
}

const port = parentPort
if (!port) throw new Error('ts/pipeline/thread.ts runs as a worker thread only')

const config = workerData as TrainConfig
const source = createPoolSource(config, loadDataset(config.dataset), await loadStrategy(config.assignment), threadKernel())

port.on('message', ({ split, index, tables }: ThreadRequest) => {
  const batches = split === 'train' ? source.pool(index, tables) : source.heldOutPool(index)
  const buffers = new Set(batches.flatMap(({ tensors }) => tensors.map(({ data }) => data.buffer)))
  port.postMessage({ split, index, batches } satisfies ThreadAnswer, [...buffers])
})
