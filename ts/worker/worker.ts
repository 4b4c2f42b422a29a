/** One life of a worker: launch, handshake, batches out on credit, events in, three clocks, end. Restarting is supervisor.ts's. */
import { timingSafeEqual } from 'node:crypto'
import { readFileSync } from 'node:fs'
import {
  PROTOCOL_VERSION,
  type BatchHeader,
  type Command,
  type TrainConfig,
  type WorkerEvent,
  type WorkerEventOf,
} from '../../protocol/index.ts'
import { ImmiscibleError, WorkerError } from '../errors.ts'
import { launch } from '../process.ts'
import type { Channel } from './channel.ts'
import { decodeEvent, encodeBatch, encodeCommand, type WireTensor } from './codec.ts'

/** A batch as the wire needs it. */
export interface WireBatch extends Pick<BatchHeader, 'step' | 'epoch' | 'numImages' | 'telemetry'> {
  readonly tensors: readonly WireTensor[]
}

export interface WorkerOptions {
  readonly channel: Channel
  readonly python: { readonly path: string; readonly env: Readonly<Record<string, string>> }
  readonly runId: string
  readonly generation: number
  readonly token: string
  readonly welcome: Extract<Command, { kind: 'welcome' }>
  readonly workerLog: string
  /** Steps from the worker's own on, one after another. */
  readonly batch: (step: number) => Promise<WireBatch>
  readonly onEvent: (event: WorkerEvent) => void
}

export interface WorkerLife {
  /** Rejects with a WorkerError; `isRetryable` tells whether another life may do better. */
  readonly ended: Promise<WorkerEventOf<'stopped'>>
  /** Finish the step, save, end. */
  stop(): void
  kill(): void
}

/** How many times worker.stepSeconds a phase may last. */
const PATIENCE = { starting: 10, waiting: 1, training: 1, sampling: 10, saving: 10, ending: 10 } as const
const STACK_DUMP_MS = 500
const LOG_LINES_SHOWN = 8

export async function startWorker(options: WorkerOptions): Promise<WorkerLife> {
  const { channel, runId, generation, token, welcome } = options
  const { config } = welcome
  const address = `${runId}.${generation}.0`
  const clocks = createClocks(config.worker)
  const child = await launch(options.python.path, ['-m', 'immiscible_worker'], {
    env: {
      ...options.python.env,
      IMMISCIBLE_CONTROL: channel.controlEndpoint,
      IMMISCIBLE_DATA: channel.dataEndpoint,
      IMMISCIBLE_TOKEN: token,
      IMMISCIBLE_RUN_ID: runId,
      IMMISCIBLE_GENERATION: String(generation),
      IMMISCIBLE_CONFIG_HASH: welcome.configHash,
      IMMISCIBLE_LEASE_SECONDS: String(config.worker.leaseSeconds),
    },
    logFile: options.workerLog,
  })

  let isAdmitted = false
  let isAttached = false
  let isStopping = false
  let credits = config.pipeline.credits
  let nextStep: number | undefined
  let isFeeding = false
  let lastWords: WorkerEventOf<'stopped'> | undefined
  let failure: Error | undefined

  const tell = (command: Command): void => {
    channel.send('control', address, [encodeCommand(command)]).catch(() => undefined) // gone: the exit clock says so
  }
  /** Ends this life for a reason of ours; the first reason is the one reported. */
  const abandon = (reason: Error): void => {
    failure ??= reason
    child.kill('SIGKILL')
  }

  channel.onMessage((from, frames) => {
    if (from.address !== address) return // another generation, or nobody we know
    try {
      if (frames.length !== 1) throw new ImmiscibleError('PROTOCOL', `expected one frame from worker ${address}, got ${frames.length}`)
      handle(from.socket, decodeEvent(frames[0]))
    } catch (error) {
      abandon(error as Error)
    }
  })

  function handle(socket: 'control' | 'data', event: WorkerEvent): void {
    clocks.heard()
    if (event.kind === 'hello' && socket === 'control') return admit(event)
    if (event.kind === 'attach' && socket === 'data') {
      isAttached = isSameToken(event.token, token)
      return feed()
    }
    if (!isAdmitted || socket !== 'control') {
      throw new ImmiscibleError('PROTOCOL', `expected hello first, got ${event.kind} on the ${socket} channel`)
    }
    switch (event.kind) {
      case 'ready':
        clocks.ready()
        nextStep = event.step
        if (isStopping) tell({ kind: 'stop' })
        break
      case 'credit':
        credits++
        break
      case 'heartbeat':
        clocks.progress(event.phase, event.ageMs)
        return
      case 'stopped':
        lastWords = event
        break
      case 'failed':
        failure ??= new WorkerFailure(event)
        break
      default:
    }
    options.onEvent(event)
    feed()
  }

  function admit(hello: WorkerEventOf<'hello'>): void {
    const expected = { protocolVersion: PROTOCOL_VERSION, runId, generation, configHash: welcome.configHash }
    for (const [field, value] of Object.entries(expected)) {
      const got = hello[field as keyof typeof expected]
      if (got !== value) return refuse(field, `${field}: expected ${value}, got ${got}`)
    }
    if (!isSameToken(hello.token, token)) return refuse('token', 'token: not the one this run gave out')
    if (isAdmitted) return refuse('hello', 'hello: this worker has already been admitted')
    isAdmitted = true
    options.onEvent(hello)
    tell(welcome)
  }

  function refuse(code: string, message: string): void {
    tell({ kind: 'reject', code, message })
    failure ??= new ImmiscibleError('PROTOCOL', `refused a worker: ${message}`)
  }

  /** Sends batches while there is credit. One at a time, so that they leave in step order. */
  function feed(): void {
    if (isFeeding || isStopping || failure || !isAttached || nextStep === undefined || credits === 0) return
    if (nextStep >= config.maxTrainSteps) return
    const step = nextStep
    isFeeding = true
    options
      .batch(step)
      .then(async ({ epoch, numImages, tensors, telemetry }) => {
        if (failure || isStopping) return
        credits--
        nextStep = step + 1
        const header: BatchHeader = { kind: 'batch', step, epoch, numImages, tensors: tensors.map(({ spec }) => spec), telemetry }
        await channel.send('data', address, encodeBatch(runId, generation, header, tensors))
      })
      // A peer that is gone has ended or is ending: its exit is the better message, so it goes first.
      .catch((error: Error) =>
        error instanceof ImmiscibleError && error.code === 'PROTOCOL' ? setTimeout(() => abandon(error), 1000).unref() : abandon(error),
      )
      .finally(() => {
        isFeeding = false
        feed()
      })
  }

  const watch = setInterval(
    () => {
      if (isAdmitted) tell({ kind: 'ping' })
      const late = clocks.late()
      if (!late) return
      clearInterval(watch)
      failure ??= new WorkerError('WORKER_GONE', `${late}; its stacks are in ${options.workerLog}`)
      // faulthandler writes every Python stack to worker.log before the process is ended.
      child.kill('SIGUSR1')
      setTimeout(() => child.kill('SIGKILL'), STACK_DUMP_MS)
    },
    Math.min(1000, config.worker.leaseSeconds * 250),
  )

  const ended = child.exited.then(({ exitCode, signal, failure: why }) => {
    clearInterval(watch)
    if (exitCode === 0 && lastWords) return lastWords
    if (failure) throw failure
    const how = signal ? `by ${signal}` : exitCode === null ? `before it began: ${why}` : `with exit code ${exitCode}`
    throw new WorkerError('WORKER_GONE', `the worker ended ${how}; the end of ${options.workerLog}:\n${lastLines(options.workerLog)}`)
  })
  // Whoever awaits the life sees how it ended; until then a death must not count as unhandled.
  ended.catch(() => undefined)

  return {
    ended,
    stop() {
      isStopping = true
      if (isAdmitted) tell({ kind: 'stop' })
    },
    kill: () => child.kill('SIGKILL'),
  }
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
    const lines = readFileSync(file, 'utf8').trimEnd().split('\n')
    return lines
      .slice(-LOG_LINES_SHOWN)
      .map((line) => `  ${line}`)
      .join('\n')
  } catch {
    return '  (no output)'
  }
}

function isSameToken(got: string, expected: string): boolean {
  const [a, b] = [Buffer.from(got), Buffer.from(expected)]
  return a.byteLength === b.byteLength && timingSafeEqual(a, b)
}

/** Start, link and progress, all by the monotonic clock. The fourth way to end, the process's exit, needs none. */
function createClocks({ startSeconds, leaseSeconds, stepSeconds }: TrainConfig['worker']): {
  heard(): void
  ready(): void
  progress(phase: WorkerEventOf<'heartbeat'>['phase'], ageMs: number): void
  /** What is overdue, in words. */
  late(): string | undefined
} {
  const start = performance.now()
  let lastHeard: number | undefined
  let isReady = false
  let stuck: string | undefined
  return {
    heard() {
      lastHeard = performance.now()
    },
    ready() {
      isReady = true
    },
    progress(phase, ageMs) {
      const limitMs = stepSeconds * 1000 * PATIENCE[phase]
      stuck =
        ageMs > limitMs && phase !== 'waiting'
          ? `the worker made no progress for ${Math.round(ageMs / 1000)} s while ${phase} (worker.stepSeconds)`
          : undefined
    },
    late() {
      const now = performance.now()
      if (!isReady && now - start > startSeconds * 1000) return `the worker was not ready within ${startSeconds} s (worker.startSeconds)`
      if (lastHeard !== undefined && now - lastHeard > leaseSeconds * 1000)
        return `the worker was silent for ${leaseSeconds} s (worker.leaseSeconds)`
      return stuck
    },
  }
}
