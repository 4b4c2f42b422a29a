/** serveBatches(): assigned batches for a training loop of your own; data set -> batches -> whoever iterates, in `immiscible_worker.AssignedBatches`. */
import { randomBytes } from 'node:crypto'
import { renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { hashConfig, PROTOCOL_VERSION } from '../protocol/index.ts'
import { describeDataset } from './dataset/dataset.ts'
import { ImmiscibleError } from './errors.ts'
import { openPipeline } from './pipeline/pipeline.ts'
import { numHeldOutBatches } from './pipeline/source.ts'
import { prepare, type TrainInput } from './prepare.ts'
import { claimFolder } from './report/run-folder.ts'
import { batchTelemetry } from './report/telemetry.ts'
import { openChannel } from './worker/channel.ts'
import { readListening } from './worker/keys.ts'
import { createRefusals } from './worker/refusals.ts'
import { openSession } from './worker/session.ts'

export interface ServeOptions {
  /** Aborting ends it. */
  readonly signal?: AbortSignal
  /** A client came, went, or was refused; a line each. */
  readonly onLog?: (line: string) => void
}

/** Batches being served: a promise that ends with it, and what to give to the other side. */
export interface Serving extends Promise<void> {
  /** Resolves when clients may come: the folder for AssignedBatches. */
  readonly folder: Promise<string>
  stop(): void
}

/**
 * Serves the assigned batches of a config to one Python process at a time, over a socket that only this user can open, or where `worker.listen` says;
 * `serve.json` in `outputDir` (mode 0600) tells where and with which token. A client begins at the step it asks for, goes as fast as it likes and is followed by the next.
 * `maxTrainSteps` bounds the steps; `objective`, `network` and what else belongs to our own training are not looked at.
 * Rejects with ConfigError before anything is written; with ImmiscibleError RUN_FOLDER when outputDir cannot be written.
 */
export function serveBatches(input: TrainInput, { signal, onLog = () => undefined }: ServeOptions = {}): Serving {
  const stopped = Promise.withResolvers<void>()
  const ready = Promise.withResolvers<string>()
  ready.promise.catch(() => undefined) // the serving promise says it as well
  const stop = (): void => stopped.resolve()
  if (signal?.aborted) stop()
  signal?.addEventListener('abort', stop, { once: true })

  async function serve(): Promise<void> {
    const { config, dataset, strategy } = await prepare(input, { signal })
    const refusals = createRefusals((code, message) => onLog(`warning ${code}: ${message}`))
    const listen = config.worker.listen ? readListening(config.worker.listen) : undefined
    await using channel = await openChannel(config.pipeline.credits + numHeldOutBatches(config), { listen, onRefused: refusals.count })
    using claim = claimFolder(config.outputDir)
    const folder = claim.path
    const connection = join(folder, 'serve.json')
    await using pipeline = openPipeline(config, dataset, { strategy, folder })
    const configHash = hashConfig(config)
    const runId = randomBytes(16).toString('hex')
    const token = randomBytes(32).toString('hex')
    try {
      for (let generation = 0, isOver = false; !isOver; generation++) {
        const gone = Promise.withResolvers<string>()
        const session = openSession(
          {
            channel,
            runId,
            generation,
            token,
            welcome: { kind: 'welcome', runFolder: folder, configHash, config, dataset: describeDataset(dataset), realImages: null },
            startSeconds: Infinity, // a client comes when it likes
            mayIdle: true,
            async batch(step) {
              const batch = await pipeline.batch(step)
              return { ...batch, telemetry: batchTelemetry(batch) }
            },
            async *heldOut() {
              for await (const batch of pipeline.heldOut()) yield { ...batch, telemetry: batchTelemetry(batch) }
            },
            onEvent(event) {
              if (event.kind === 'ready') onLog(`a client wants batches from step ${event.step} on`)
              if (event.kind === 'stopped') gone.resolve(`the client is done after step ${event.step}`)
              if (event.kind === 'failed') gone.resolve(`the client failed at step ${event.step}: ${event.message}`)
            },
            onDelivered: (step) => pipeline.release(step),
            onRefused: refusals.count,
          },
          {
            broken: (error) => (isOurs(error) ? stopped.reject(error) : gone.resolve(error.message)),
            refused: (error) => gone.resolve(error.message),
            late: (message) => gone.resolve(message),
          },
        )
        try {
          writeConnection(connection, {
            format: 'immiscible-serve/1',
            protocolVersion: PROTOCOL_VERSION,
            control: channel.controlEndpoint,
            data: channel.dataEndpoint,
            serverKey: listen?.curve?.publicKey ?? null,
            token,
            runId,
            generation,
            configHash,
            leaseSeconds: config.worker.leaseSeconds,
          })
          ready.resolve(folder)
          const why = await Promise.race([gone.promise, stopped.promise])
          if (why === undefined) isOver = true
          else onLog(why)
        } finally {
          session.stop()
          session.close()
        }
      }
    } finally {
      rmSync(connection, { force: true })
      refusals.finish()
    }
  }

  const promise = serve().finally(() => signal?.removeEventListener('abort', stop))
  promise.catch(ready.reject)
  return Object.assign(promise, { folder: ready.promise, stop })
}

/** A batch that cannot be made is the end of serving; what a client does wrong is the end of that client. */
function isOurs(error: Error): boolean {
  return !(error instanceof ImmiscibleError && ['PROTOCOL', 'WORKER_GONE'].includes(error.code))
}

/** Whole or not at all, for this user only: it holds the token. */
function writeConnection(path: string, connection: object): void {
  const temporary = `${path}.tmp`
  try {
    rmSync(temporary, { force: true })
    writeFileSync(temporary, `${JSON.stringify(connection, null, 2)}\n`, { mode: 0o600 })
    renameSync(temporary, path)
  } catch (cause) {
    throw new ImmiscibleError('RUN_FOLDER', `outputDir: cannot write ${path}: ${(cause as Error).message}`, { cause })
  }
}
