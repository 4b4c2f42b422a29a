/** One run of the real orchestrator (pool, channel, supervisor, run folder, report) with a worker that only sleeps: test/fixture/fake. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { randomBytes } from 'node:crypto'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { hashConfig, PROTOCOL_VERSION, type RunEventOf, type TrainConfigInput } from '../../protocol/index.ts'
import { describeDataset } from '../../ts/dataset/dataset.ts'
import { openDataset } from '../../ts/dataset/table.ts'
import { openPipeline, numThreads } from '../../ts/pipeline/pipeline.ts'
import type { Batch } from '../../ts/pipeline/source.ts'
import { createRunFolder } from '../../ts/report/run-folder.ts'
import { createRunReport } from '../../ts/report/run-report.ts'
import { openChannel } from '../../ts/worker/channel.ts'
import { ensureEnvironment, workerEnv } from '../../ts/worker/environment.ts'
import { superviseWorker } from '../../ts/worker/supervisor.ts'
import { testConfig } from '../fixture/config.ts'
import { meterLoop, type LoopFigures } from './loop-meter.ts'

const FAKE = fileURLToPath(new URL('../fixture/fake', import.meta.url))

export interface StubRun {
  readonly numSteps: number
  readonly threads: number
  /** From the first step done to the last. */
  readonly wallMs: number
  readonly bytesPerStep: number
  readonly loop: LoopFigures
}

/**
 * Runs a config against the stub, as train.ts does, with simulated steps of stepMs.
 * @param onStep is called after each step, on the orchestrator's thread. Nothing of a step is kept here: memory is one of the things measured.
 */
export async function runStub(
  input: Partial<TrainConfigInput>,
  {
    stepMs,
    onStep,
    onBatch = () => undefined,
  }: { stepMs: number; onStep: (event: RunEventOf<'step'>) => void; onBatch?: (batch: Batch) => void },
): Promise<StubRun> {
  const { python } = await ensureEnvironment()
  const parent = mkdtempSync(join(tmpdir(), 'immiscible-bench-'))
  try {
    const config = testConfig({ tracking: { reportTo: [] }, ...input, outputDir: join(parent, 'run') })
    const dataset = await openDataset(config.dataset)
    const manifest = {
      format: 'immiscible-run/1' as const,
      runId: randomBytes(16).toString('hex'),
      configHash: hashConfig(config),
      datasetSha256: dataset.sha256,
      protocolVersion: PROTOCOL_VERSION,
      createdAt: new Date().toISOString(),
    }
    using folder = createRunFolder(config, manifest)
    let numSteps = 0
    let firstAt = 0
    let lastAt = 0
    let bytesPerStep = 0
    let stopMeter = meterLoop()
    const report = createRunReport(folder, (event) => {
      if (event.kind !== 'step') return
      lastAt = performance.now()
      // Loading and compiling are over; what is metered is the steady state.
      if (++numSteps === 1) {
        firstAt = lastAt
        stopMeter()
        stopMeter = meterLoop()
      }
      onStep(event)
    })
    await using pipeline = openPipeline(config, dataset)
    await using channel = await openChannel(config.pipeline.credits)
    const supervisor = superviseWorker({
      channel,
      python: { path: python, env: { ...workerEnv(), PYTHONPATH: FAKE, FAKE_MODE: 'good', FAKE_STEP_MS: String(stepMs) } },
      runId: manifest.runId,
      takeGeneration: folder.takeGeneration,
      describeBatch: (step) => `step ${step}`,
      token: randomBytes(32).toString('hex'),
      welcome: {
        kind: 'welcome',
        runFolder: folder.path,
        configHash: manifest.configHash,
        config,
        dataset: describeDataset(dataset),
        realImages: null,
      },
      workerLog: folder.workerLog,
      async batch(step) {
        const batch = await pipeline.batch(step)
        bytesPerStep = batch.tensors.reduce((sum, { data }) => sum + data.byteLength, 0)
        onBatch(batch)
        report.prepared(batch)
        return { ...batch, telemetry: [] }
      },
      heldOut: async function* () {},
      onEvent: report.heard,
      onDelivered(step, wireMs) {
        report.delivered(step, wireMs)
        pipeline.release(step)
      },
      onLife: report.life,
    })
    await supervisor.ended.catch((error: Error) => {
      throw new Error(`${error.message}\n${readFileSync(folder.workerLog, 'utf8')}`, { cause: error })
    })
    return { numSteps, threads: numThreads(config), wallMs: lastAt - firstAt, bytesPerStep, loop: stopMeter() }
  } finally {
    rmSync(parent, { recursive: true, force: true })
  }
}
