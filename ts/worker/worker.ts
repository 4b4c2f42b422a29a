/** One life of a worker's process: launch, its session, the end. Restarting is supervisor.ts's. */
import { closeSync, fstatSync, openSync, readSync } from 'node:fs'
import type { WorkerEventOf } from '../../protocol/index.ts'
import { WorkerError } from '../errors.ts'
import { launch } from '../process.ts'
import { openSession, type SessionOptions } from './session.ts'
import { systemTime } from './time.ts'

export interface WorkerOptions extends Omit<SessionOptions, 'startSeconds'> {
  readonly python: { readonly path: string; readonly env: Readonly<Record<string, string>> }
  readonly workerLog: string
  /** Default: a process of this machine. */
  readonly launch?: typeof launch
}

export interface WorkerLife {
  /** Rejects with a WorkerError; `isRetryable` tells whether another life may do better. */
  readonly ended: Promise<WorkerEventOf<'stopped'>>
  /** Finish the step, save, end. */
  stop(): void
  kill(): void
}

/** On a busy machine the stacks of a few threads take longer than one would think, and the main thread's come last. */
const STACK_DUMP_MS = 2000
/** Of a worker that failed; one that ended well has said so, and is waited for as long as for any message. */
const LAST_WORDS_MS = 500
const POLL_MS = 50
const LOG_LINES_SHOWN = 8
const LOG_LINE_SHOWN = 500
/** A log may be larger than memory. */
const LOG_BYTES_SHOWN = 16_384

export async function startWorker(options: WorkerOptions): Promise<WorkerLife> {
  const { channel, runId, generation, token, welcome, python, workerLog, time = systemTime } = options
  const child = await (options.launch ?? launch)(python.path, ['-m', 'immiscible_worker'], {
    env: {
      ...python.env,
      IMMISCIBLE_CONTROL: channel.controlEndpoint,
      IMMISCIBLE_DATA: channel.dataEndpoint,
      IMMISCIBLE_TOKEN: token,
      IMMISCIBLE_RUN_ID: runId,
      IMMISCIBLE_GENERATION: String(generation),
      IMMISCIBLE_CONFIG_HASH: welcome.configHash,
      IMMISCIBLE_LEASE_SECONDS: String(welcome.config.worker.leaseSeconds),
    },
    logFile: workerLog,
  })
  let lastWords: WorkerEventOf<'stopped'> | undefined
  /** The first reason is the one reported. */
  let failure: Error | undefined
  const isExplained = (): boolean => lastWords !== undefined || failure !== undefined

  const session = openSession(
    {
      ...options,
      startSeconds: welcome.config.worker.startSeconds,
      onEvent(event) {
        if (event.kind === 'stopped') lastWords = event
        if (event.kind === 'failed') failure ??= new WorkerFailure(event)
        options.onEvent(event)
      },
    },
    {
      broken(reason) {
        failure ??= reason
        child.kill('SIGKILL')
      },
      refused(reason) {
        failure ??= reason
      },
      late(message) {
        failure ??= new WorkerError('WORKER_GONE', `${message}; its stacks are in ${workerLog}`)
        // faulthandler writes every Python stack to worker.log before the process is ended; one that was stopped must go on for that,
        // and gets no more batches meanwhile: it has been given up.
        session.close()
        child.kill('SIGUSR1')
        child.kill('SIGCONT')
        time.after(STACK_DUMP_MS, () => child.kill('SIGKILL'))
      },
    },
  )

  const ended = child.exited.then(async ({ exitCode, signal, failure: why }) => {
    // An exit and the message before it come by different ways: what the worker said last may still be in the socket.
    const patienceMs = exitCode === null ? 0 : exitCode === 0 ? welcome.config.worker.leaseSeconds * 1000 : LAST_WORDS_MS
    for (let waited = 0; waited < patienceMs && !isExplained(); waited += POLL_MS) await time.sleep(POLL_MS)
    session.close()
    if (exitCode === 0 && lastWords) return lastWords
    if (failure) throw failure
    const how = signal ? `by ${signal}` : exitCode === null ? `before it began: ${why}` : `with exit code ${exitCode}`
    throw new WorkerError('WORKER_GONE', `the worker ended ${how}; the end of ${workerLog}:\n${lastLines(workerLog)}`)
  })
  // Whoever awaits the life sees how it ended; until then a death must not count as unhandled.
  ended.catch(() => undefined)

  return { ended, stop: session.stop, kill: () => child.kill('SIGKILL') }
}

/** A failure that the worker itself reported. */
export class WorkerFailure extends WorkerError {
  readonly isRetryable: boolean

  constructor(event: WorkerEventOf<'failed'>) {
    super('WORKER_FAILED', `step ${event.step}: ${event.code}: ${event.message}`, event.traceback)
    this.isRetryable = event.isRetryable
  }
}

function lastLines(file: string): string {
  try {
    const lines = readEnd(file, LOG_BYTES_SHOWN).trimEnd().split('\n')
    return lines
      .slice(-LOG_LINES_SHOWN)
      .map((line) => `  ${line.length > LOG_LINE_SHOWN ? `…${line.slice(-LOG_LINE_SHOWN)}` : line}`)
      .join('\n')
  } catch {
    return '  (no output)'
  }
}

/** What is no UTF-8 becomes U+FFFD. */
function readEnd(file: string, numBytes: number): string {
  const descriptor = openSync(file, 'r')
  try {
    const { size } = fstatSync(descriptor)
    const bytes = Buffer.alloc(Math.min(size, numBytes))
    return bytes.toString('utf8', 0, readSync(descriptor, bytes, 0, bytes.length, size - bytes.length))
  } finally {
    closeSync(descriptor)
  }
}
