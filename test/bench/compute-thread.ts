/** The control of the pipeline bench: solves pools as a preparing thread does, and hands nothing over. Told {ms}, it answers how many pools it solved. */
import { parentPort, workerData } from 'node:worker_threads'
import type { TrainConfig } from '../../protocol/index.ts'
import { createStrategy } from '../../ts/assignment/table.ts'
import { openDataset } from '../../ts/dataset/table.ts'
import { threadKernel } from '../../ts/kernel/simd/simd.ts'
import { createPoolSource } from '../../ts/pipeline/source.ts'

const { config, first, stride } = workerData as { config: TrainConfig; first: number; stride: number }
const source = createPoolSource(config, await openDataset(config.dataset), createStrategy(config.assignment), threadKernel())
let index = first

parentPort?.on('message', ({ ms }: { ms: number }) => {
  const start = performance.now()
  let pools = 0
  while (performance.now() - start < ms) {
    source.pool(index)
    index += stride
    pools++
  }
  parentPort?.postMessage({ pools, seconds: (performance.now() - start) / 1000 })
})
