/** A preparing thread: solves the pools that it is asked for and hands their memory over. */
import { parentPort, workerData } from 'node:worker_threads'
import type { TrainConfig } from '../../protocol/index.ts'
import { loadStrategy } from '../assignment/table.ts'
import { loadDataset } from '../dataset/table.ts'
import { threadKernel } from '../kernel/simd/simd.ts'
import { createPoolSource, type Batch } from './source.ts'

export interface ThreadAnswer {
  readonly index: number
  readonly batches: Batch[]
}

const port = parentPort
if (!port) throw new Error('ts/pipeline/thread.ts runs as a worker thread only')

const config = workerData as TrainConfig
const source = createPoolSource(config, loadDataset(config.dataset), await loadStrategy(config.assignment), threadKernel())

port.on('message', (index: number) => {
  const batches = source.pool(index)
  const buffers = new Set(batches.flatMap(({ tensors }) => tensors.map(({ data }) => data.buffer)))
  port.postMessage({ index, batches } satisfies ThreadAnswer, [...buffers])
})
