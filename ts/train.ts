/** trainImmiscible(): data set -> batches -> worker -> events -> run folder, top to bottom. */
import { randomBytes } from 'node:crypto'
import {
  hashConfig,
  PROTOCOL_VERSION,
  resolveConfig,
  type RunEvent,
  type RunManifest,
  type TrainConfig,
  type WorkerEventOf,
} from '../protocol/index.ts'
import type { AssignmentStrategy } from './assignment/assignment.ts'
import type { OwnDataset } from './dataset/custom.ts'
import { describeDataset, type Dataset } from './dataset/dataset.ts'
import { writeDatasetFiles } from './dataset-files.ts'
import { openCopy, openDataset, openOwn, type BuildOptions, type DatasetProgress, type OpenOptions } from './dataset/table.ts'
import { ConfigError, ImmiscibleError } from './errors.ts'
import { createEventStream } from './event-stream.ts'
import { openPipeline } from './pipeline/pipeline.ts'
import { pinFiles } from './pin.ts'
import { batchImages, numHeldOutBatches } from './pipeline/source.ts'
import { prepare, type TrainInput } from './prepare.ts'
import { createRunFolder, openRunFolder, readRunFolder, type RunFolder } from './report/run-folder.ts'
import { createRunReport, type RunMetrics, type RunReport } from './report/run-report.ts'
import { batchTelemetry } from './report/telemetry.ts'
import { prepareStrategy } from './strategy.ts'
import { openChannel } from './worker/channel.ts'
import { ensureEnvironment, workerEnv } from './worker/environment.ts'
import { createRefusals } from './worker/refusals.ts'
import { superviseWorker, type Supervisor } from './worker/supervisor.ts'

const EVENTS_KEPT = 1024
/** Of a batch that a worker dies of. */
const IMAGES_NAMED = 256

export interface TrainOptions {
  /** Aborting saves and ends the run as stop() does; the promise then rejects with code ABORTED. */
  readonly signal?: AbortSignal
  /** Progress of the one-time installation of Python packages, a line at a time. */
  readonly onSetup?: (line: string) => void
  /** Progress of a data set that is decoded into the cache, after each part of it. */
  readonly onDataset?: (progress: DatasetProgress) => void
}

export interface ResumeOptions extends TrainOptions {
  /** To go further than planned. */
  readonly maxTrainSteps?: number
  /** The same strategy object, for a run that was started with one. */
  readonly assignment?: AssignmentStrategy
  /** The same data set, for a run that was started with one of the caller's: only where it is in the cache no more. */
  readonly dataset?: OwnDataset
}

export interface TrainResult {
  readonly outcome: 'finished' | 'stopped'
  readonly runFolder: string
  /** Optimiser updates applied. */
  readonly step: number
  /** A folder that diffusers loads; its README.md says how (DDIMPipeline.from_pretrained, unless imageScale is not 1). */
  readonly pipelineFolder: string
  readonly checkpointFolder: string
  /** SHA-256 (hex) of weights, optimiser and EMA, tensor by tensor. */
  readonly stateSha256: string
  /** The newest sample grid, a PNG. */
  readonly samplePath: string | undefined
  /** Over the steps of this call; undefined without a step. */
  readonly metrics: RunMetrics | undefined
}

/** One run: a promise of its result, an async iterable of its events, and stop(). */
export interface Run extends Promise<TrainResult>, AsyncIterable<RunEvent> {
  /** Finish the step, save a checkpoint and the pipeline, end. */
  stop(): void
}

/**
 * Trains a diffusion model on assigned noise (Immiscible Diffusion, arXiv 2406.12303).
 * Rejects with ConfigError before anything is written; with ImmiscibleError RUN_FOLDER when outputDir already holds a run.
 */
export function trainImmiscible(input: TrainInput, options: TrainOptions = {}): Run {
  return startRun(options, async (building) => {
    const { config, dataset, strategy } = await prepare(input, building)
    const manifest = {
      format: 'immiscible-run/1' as const,
      runId: randomBytes(16).toString('hex'),
      configHash: hashConfig(config),
      datasetSha256: dataset.sha256,
      protocolVersion: PROTOCOL_VERSION,
      createdAt: new Date().toISOString(),
    }
    return { config, dataset, strategy, open: () => createRunFolder(config, manifest) }
  })
}

/**
 * Goes on with a run from its last checkpoint, or from the start where there is none: the data stream is the one that the first start would have had.
 */
export function resumeImmiscible(
  runFolder: string,
  { maxTrainSteps, assignment: own, dataset: ownDataset, ...options }: ResumeOptions = {},
): Run {
  return startRun(options, async (building) => {
    const { path, manifest, config: before } = readRunFolder(runFolder)
    const resolved = resolveConfig({ ...before, maxTrainSteps: maxTrainSteps ?? before.maxTrainSteps, outputDir: path })
    if ('problems' in resolved) throw new ConfigError(resolved.problems)
    const config = pinFiles(resolved.config)
    const opening = { ...building, memoryBytes: config.pipeline.datasetBytes }
    const dataset = ownDataset
      ? (await openOwn(ownDataset, opening)).dataset
      : await reopen(config.dataset, manifest.datasetSha256, opening, options.onSetup)
    checkResumable(path, manifest, config, dataset, own)
    return { config, dataset, strategy: await prepareStrategy(config, dataset, own), open: () => openRunFolder(config, manifest) }
  })
}

/** The data set of a run that goes on: where its files are gone, its decoded copy. */
async function reopen(
  section: TrainConfig['dataset'],
  sha256: string,
  options: OpenOptions,
  onSetup: TrainOptions['onSetup'],
): Promise<Dataset> {
  try {
    return await openDataset(section, options)
  } catch (error) {
    const copy = options.signal?.aborted ? undefined : openCopy(sha256, options)
    if (!copy) throw error
    onSetup?.(`${(error as Error).message}; going on with the decoded copy in ${copy.folder}`)
    return copy.dataset
  }
}

/** What decoding a data set is told of the options. */
function toBuilding({ onSetup, onDataset }: TrainOptions, signal: AbortSignal): BuildOptions {
  let hasWaited = false
  const onWait = (pid: number): void => {
    if (!hasWaited) onSetup?.(`process ${pid} is decoding the data set: waiting for it`)
    hasWaited = true
  }
  return { signal, onProgress: onDataset, onWait }
}

/** A run that is known to be possible; nothing was written yet. */
interface Prepared {
  readonly config: TrainConfig
  readonly dataset: Dataset
  readonly strategy: AssignmentStrategy | undefined
  readonly open: () => RunFolder
}

function startRun(options: TrainOptions, check: (building: BuildOptions) => Promise<Prepared>): Run {
  const { signal, onSetup = () => undefined } = options
  const stopped = new AbortController()
  const events = createEventStream<RunEvent>(EVENTS_KEPT, (count) => ({
    kind: 'warning',
    time: Date.now(),
    code: 'EVENTS_DROPPED',
    message: `${count} events were dropped, since nobody read them; events.jsonl has them all`,
  }))
  let supervisor: Supervisor | undefined
  const stop = (): void => {
    stopped.abort()
    supervisor?.stop()
  }
  signal?.addEventListener('abort', stop, { once: true })

  async function train(): Promise<TrainResult> {
    await Promise.resolve() // so that the caller holds the handle before anything happens
    const { config, dataset, strategy, open } = await check(toBuilding(options, stopped.signal)).catch((error: unknown) => {
      if (!stopped.signal.aborted || error instanceof ImmiscibleError) throw error
      throw new ImmiscibleError('ABORTED', 'aborted before it began', { cause: signal?.reason ?? error })
    })
    if (config.worker.listen) {
      const message = 'expected nothing: a run starts its worker on this machine; serveBatches() is what others can connect to'
      throw new ConfigError([{ path: 'worker.listen', message }])
    }
    const environment = await ensureEnvironment({ onProgress: onSetup, trackers: config.tracking.reportTo })
    if (signal?.aborted) throw new ImmiscibleError('ABORTED', 'aborted before it began', { cause: signal.reason })
    using folder = open()
    const { manifest } = folder
    const report = createRunReport(folder, events.push)
    using realImages = config.evaluation.everySteps > 0 ? writeDatasetFiles(dataset) : undefined
    const refusals = createRefusals(report.warn)
    try {
      report.begin()
      await using pipeline = openPipeline(config, dataset, { strategy, folder: folder.path })
      await using channel = await openChannel(config.pipeline.credits + numHeldOutBatches(config), { onRefused: refusals.count })
      supervisor = superviseWorker({
        channel,
        python: { path: environment.python, env: workerEnv() },
        runId: manifest.runId,
        takeGeneration: folder.takeGeneration,
        describeBatch: (step) => describeImages(batchImages(config, dataset, step), dataset.name),
        token: randomBytes(32).toString('hex'),
        welcome: {
          kind: 'welcome',
          runFolder: folder.path,
          configHash: manifest.configHash,
          config,
          dataset: describeDataset(dataset),
          realImages: realImages ? { images: realImages.images, labels: dataset.labels ? realImages.labels : null } : null,
        },
        workerLog: folder.workerLog,
        async batch(step) {
          const batch = await pipeline.batch(step)
          report.prepared(batch)
          const isTracked = config.tracking.reportTo.length > 0
          return { ...batch, telemetry: isTracked ? batchTelemetry(batch) : [] }
        },
        async *heldOut() {
          for await (const batch of pipeline.heldOut()) yield { ...batch, telemetry: [] }
        },
        onEvent: report.heard,
        onDelivered(step, wireMs) {
          report.delivered(step, wireMs)
          pipeline.release(step)
        },
        onLife: report.life,
        onRefused: refusals.count,
      })
      if (stopped.signal.aborted) supervisor.stop()
      const lastWords = await supervisor.ended
      refusals.finish()
      const result = toResult(config, folder, lastWords, report)
      report.end(result.outcome, `pipeline in ${result.pipelineFolder}`)
      if (signal?.aborted) throw new ImmiscibleError('ABORTED', `aborted after step ${result.step}, and saved`, { cause: signal.reason })
      return result
    } catch (error) {
      supervisor?.kill()
      refusals.finish()
      if (!(error instanceof ImmiscibleError && error.code === 'ABORTED')) report.end('failed', (error as Error).message)
      throw error
    } finally {
      signal?.removeEventListener('abort', stop)
    }
  }

  const promise = train()
  promise.then(
    () => events.end(),
    (error: Error) => events.end(error),
  )
  return Object.assign(promise, {
    stop,
    [Symbol.asyncIterator]() {
      promise.catch(() => undefined) // the reader of events gets the error thrown there
      return events[Symbol.asyncIterator]()
    },
  })
}

function checkResumable(
  path: string,
  manifest: RunManifest,
  config: TrainConfig,
  dataset: Dataset,
  strategy: AssignmentStrategy | undefined,
): void {
  const expect = (what: string, expected: string, got: string): void => {
    if (expected !== got)
      throw new ImmiscibleError('RUN_FOLDER', `${path}: ${what} has changed since the run began: expected ${expected}, got ${got}`)
  }
  expect('the protocol version', String(manifest.protocolVersion), String(PROTOCOL_VERSION))
  expect('config.json', manifest.configHash, hashConfig(config))
  expect(`the data set ${dataset.name}`, manifest.datasetSha256, dataset.sha256)
  if (config.assignment.kind === 'custom' && strategy?.name !== config.assignment.name) {
    const got = strategy ? `'${strategy.name}'` : 'none'
    throw new ConfigError([
      { path: 'assignment', message: `expected the strategy object '${config.assignment.name}' that the run was started with, got ${got}` },
    ])
  }
}

function describeImages(images: Int32Array, dataset: string): string {
  const more = images.length > IMAGES_NAMED ? ` and ${images.length - IMAGES_NAMED} more` : ''
  return `images ${images.subarray(0, IMAGES_NAMED).join(', ')}${more} of ${dataset}`
}

function toResult(config: TrainConfig, folder: RunFolder, lastWords: WorkerEventOf<'stopped'>, report: RunReport): TrainResult {
  const { step, checkpoint, pipeline, stateSha256 } = lastWords
  return {
    outcome: step >= config.maxTrainSteps ? 'finished' : 'stopped',
    runFolder: folder.path,
    step,
    pipelineFolder: pipeline,
    checkpointFolder: checkpoint,
    stateSha256,
    samplePath: report.samplePath,
    metrics: report.metrics(),
  }
}
