/** A preparing thread: solves the pools that it is asked for and hands their memory over. */
import { parentPort, workerData } from 'node:worker_threads'
import type { BatchHeader, TrainConfig } from '../../protocol/index.ts'
import { loadStrategy } from '../assignment/table.ts'
import type { StoredDataset } from '../dataset/dataset.ts'
import { openStored } from '../dataset/stored.ts'
import { threadKernel } from '../kernel/simd/simd.ts'
import type { PoolTables } from './kept-noise.ts'
import { createPoolSource, type Batch } from './source.ts'

export type Split = BatchHeader['split']

/** What a thread begins with. */
export interface ThreadData {
  readonly config: TrainConfig
  readonly stored: StoredDataset
}

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

const { config, stored } = workerData as ThreadData
const source = createPoolSource(config, openStored(stored), await loadStrategy(config.assignment), threadKernel())

port.on('message', ({ split, index, tables }: ThreadRequest) => {
  const batches = split === 'train' ? source.pool(index, tables) : source.heldOutPool(index)
  const buffers = new Set(batches.flatMap(({ tensors }) => tensors.map(({ data }) => data.buffer)))
  port.postMessage({ split, index, batches } satisfies ThreadAnswer, [...buffers])
})
