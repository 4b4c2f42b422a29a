/** A conversation with one worker: handshake, batches out on credit, events in, three clocks. Whose process it is, is worker.ts's or nobody's. */
import { timingSafeEqual } from 'node:crypto'
import { PROTOCOL_VERSION, type BatchHeader, type Command, type WorkerEvent, type WorkerEventOf } from '../../protocol/index.ts'
import { ImmiscibleError, WorkerError } from '../errors.ts'
import type { Channel } from './channel.ts'
import { createClocks } from './clocks.ts'
import { decodeEvent, decodeHello, encodeBatch, encodeCommand, type WireTensor } from './codec.ts'
import { MISMATCH, type Refusal } from './refusals.ts'
import { systemTime, type Time } from './time.ts'

/** A batch as the wire needs it. */
export interface WireBatch extends Pick<BatchHeader, 'step' | 'epoch' | 'numImages' | 'telemetry'> {
  readonly tensors: readonly WireTensor[]
}

export interface SessionOptions {
  readonly channel: Channel
  readonly runId: string
  readonly generation: number
  readonly token: string
  readonly welcome: Extract<Command, { kind: 'welcome' }>
  /** From now to the worker's `ready`. */
  readonly startSeconds: number
  /** Steps from the worker's own on, one after another. */
  readonly batch: (step: number) => Promise<WireBatch>
  /** The held-out images, in order: sent to each worker once, before its first step and outside the credits. */
  readonly heldOut: () => AsyncIterable<WireBatch>
  readonly onEvent: (event: WorkerEvent) => void
  /** A batch has been staged; wireMs: there and its credit back, without the time in the worker's hands. Always before the step's stepDone. */
  readonly onDelivered: (step: number, wireMs: number) => void
  /** A message of somebody else, or one that the protocol has not. */
  readonly onRefused?: (reason: Refusal, who: string) => void
  /** The peer may wait as long as it likes with a batch in its hands: a training loop that is not ours to hurry. */
  readonly mayIdle?: boolean
  /** Default: the system's. */
  readonly time?: Time
}

/** How a session ends that the worker did not end. */
export interface SessionEnd {
  /** The peer broke the protocol, or a batch could not be made or sent. */
  readonly broken: (reason: Error) => void
  /** The worker was not let in, and was told so; it is expected to leave. */
  readonly refused: (reason: Error) => void
  /** A clock ran out; the message says which. */
  readonly late: (message: string) => void
}

export interface Session {
  /** Finish the step, save, end. */
  stop(): void
  /** No more clocks, no more batches. */
  close(): void
}

const WRONG_TOKEN = 'token: not the one this run gave out'

/** Events that nobody asked for (warning, saved, sampled ...) between two steps. */
const MAX_UNASKED = 1000

/**
 * Listens for the worker whose address is `runId.generation.0` and serves it until `close`.
 * A worker that is refused is told so; `refused` hears why, and the worker is expected to leave.
 */
export function openSession(options: SessionOptions, { broken, refused, late: onLate }: SessionEnd): Session {
  const { channel, runId, generation, token, welcome, onRefused = () => undefined, time = systemTime } = options
  const { config } = welcome
  const address = `${runId}.${generation}.0`
  const watchMs = Math.min(1000, config.worker.leaseSeconds * 250)
  const clocks = createClocks({ ...config.worker, startSeconds: options.startSeconds }, watchMs, time)
  let isAdmitted = false
  let isAttached = false
  let hasWrongAttach = false
  let isStopping = false
  let credits = config.pipeline.credits
  /** When the frames of each step still out went to the socket. */
  const sentAt = new Map<number, number>()
  let nextStep: number | undefined
  /** The step whose stepDone is due. */
  let nextDone = 0
  let unasked = 0
  let isFeeding = false
  let fedAt = 0
  let hasHeldOut = false
  let isClosed = false
  /** Nothing more is heard from this peer. */
  let isBroken = false

  const tell = (command: Command): void => {
    channel.send('control', address, [encodeCommand(command)]).catch(() => undefined) // gone: the exit clock says so
  }

  channel.onMessage((from, frames) => {
    if (from.address !== address) return turnAway(from, frames)
    if (isBroken) return
    try {
      if (frames.length !== 1) throw new ImmiscibleError('PROTOCOL', `expected one frame from worker ${address}, got ${frames.length}`)
      handle(from.socket, decodeEvent(frames[0]))
    } catch (error) {
      isBroken = true
      onRefused('BROKEN_PROTOCOL', `${address}: ${(error as Error).message}`)
      broken(error as Error)
    }
  })

  /** Somebody else: told why where it says hello, and not answered where it says anything else. */
  function turnAway(from: Parameters<Parameters<Channel['onMessage']>[0]>[0], frames: Uint8Array[]): void {
    const [run, life] = from.address.split('.')
    const hello = from.socket === 'control' && frames.length === 1 ? decodeHello(frames[0]) : undefined
    if (!hello) {
      const reason = run === runId && Number(life) < generation ? 'OLD_WORKER' : 'UNKNOWN_IDENTITY'
      return onRefused(reason, `a message on the ${from.socket} channel from ${JSON.stringify(from.address)}`)
    }
    const field = hello.runId !== runId ? 'runId' : hello.generation !== generation ? 'generation' : undefined
    const [reason, expected, got] = field
      ? [MISMATCH[field], field === 'runId' ? runId : generation, hello[field]]
      : (['UNKNOWN_IDENTITY', address, from.address] as const)
    onRefused(reason, `${JSON.stringify(from.address)}: ${field ?? 'identity'}: expected ${expected}, got ${JSON.stringify(got)}`)
    // What is expected is for this side's log: nobody is told the name of a run that it does not know.
    const message = `${field ?? 'identity'}: expected another one, got ${JSON.stringify(got)}`
    channel.send('control', from.address, [encodeCommand({ kind: 'reject', code: field ?? 'identity', message })]).catch(() => undefined)
  }

  function handle(socket: 'control' | 'data', event: WorkerEvent): void {
    clocks.heard()
    if (event.kind === 'hello' && socket === 'control') return admit(event)
    if (event.kind === 'attach' && socket === 'data') {
      // Its hello, which may come later, is what can be answered.
      if (!isSameToken(event.token, token)) return isAdmitted ? refuse('token', 'WRONG_TOKEN', WRONG_TOKEN) : void (hasWrongAttach = true)
      isAttached = true
      return feed()
    }
    if (!isAdmitted || socket !== 'control') {
      throw new ImmiscibleError('PROTOCOL', `expected hello first, got ${event.kind} on the ${socket} channel`)
    }
    switch (event.kind) {
      case 'ready':
        if (nextStep !== undefined) throw new ImmiscibleError('PROTOCOL', 'ready: expected it once, got another')
        clocks.ready()
        nextStep = nextDone = event.step
        if (isStopping) tell({ kind: 'stop' })
        break
      case 'credit':
        takeBack(event)
        break
      case 'heartbeat':
        clocks.progress(event.phase, event.phase === 'waiting' ? waitedMs(event.ageMs) : event.ageMs)
        return
      case 'stepDone':
        if (sentAt.has(event.step)) throw new ImmiscibleError('PROTOCOL', `step ${event.step}: expected its credit first, got stepDone`)
        if (event.step !== nextDone || event.step >= (nextStep ?? 0)) {
          throw new ImmiscibleError('PROTOCOL', `stepDone: expected step ${nextDone}, once its batch was sent, got step ${event.step}`)
        }
        nextDone++
        unasked = 0
        break
      default:
        // Each becomes a line of a file, so that a worker which only talks would fill the disk.
        if (++unasked > MAX_UNASKED)
          throw new ImmiscibleError('PROTOCOL', `expected at most ${MAX_UNASKED} events without a step done, got one more: ${event.kind}`)
    }
    options.onEvent(event)
    feed()
  }

  /** How long the worker has waited for something that was sent to it, and so is lost. */
  function waitedMs(ageMs: number): number {
    return isFeeding || options.mayIdle ? 0 : Math.min(ageMs, time.now() - fedAt)
  }

  function takeBack({ step, heldMs }: WorkerEventOf<'credit'>): void {
    const sent = sentAt.get(step)
    if (sent === undefined) {
      throw new ImmiscibleError('PROTOCOL', `credit: expected one of the steps out (${[...sentAt.keys()].join(', ')}), got step ${step}`)
    }
    sentAt.delete(step)
    credits++
    options.onDelivered(step, Math.max(0, time.now() - sent - heldMs))
  }

  function admit(hello: WorkerEventOf<'hello'>): void {
    const expected = { protocolVersion: PROTOCOL_VERSION, runId, generation, configHash: welcome.configHash }
    for (const [field, value] of Object.entries(expected)) {
      const got = hello[field as keyof typeof expected]
      if (got !== value) return refuse(field, MISMATCH[field as keyof typeof expected], `${field}: expected ${value}, got ${got}`)
    }
    if (hasWrongAttach || !isSameToken(hello.token, token)) return refuse('token', 'WRONG_TOKEN', WRONG_TOKEN)
    if (isAdmitted) return refuse('hello', 'SECOND_HELLO', 'hello: this worker has already been admitted')
    isAdmitted = true
    options.onEvent(hello)
    tell(welcome)
  }

  function refuse(code: string, reason: Refusal, message: string): void {
    isBroken = true
    onRefused(reason, `${address}: ${message}`)
    tell({ kind: 'reject', code, message })
    refused(new ImmiscibleError('PROTOCOL', `refused a worker: ${message}`))
  }

  /** Sends the held-out images, then batches while there is credit. One at a time, so that they leave in step order. */
  function feed(): void {
    if (isFeeding || isStopping || isClosed || !isAttached || nextStep === undefined) return
    if (hasHeldOut && (credits === 0 || nextStep >= config.maxTrainSteps)) return
    isFeeding = true
    const sent = hasHeldOut ? sendStep(nextStep) : sendHeldOut()
    sent.then(
      () => {
        isFeeding = false
        fedAt = time.now()
        feed()
      },
      // The end of this session, so nothing more is sent. A peer that is gone has ended or is ending: its exit is the better message, so it goes first.
      (error: Error) => (error instanceof WorkerError ? time.after(1000, () => broken(error)) : broken(error)),
    )
  }

  async function sendHeldOut(): Promise<void> {
    for await (const batch of options.heldOut()) {
      if (isClosed || isStopping) return
      await send('heldOut', batch)
    }
    hasHeldOut = true
  }

  async function sendStep(step: number): Promise<void> {
    const batch = await options.batch(step)
    if (isClosed || isStopping) return
    credits--
    nextStep = step + 1
    sentAt.set(step, time.now())
    await send('train', batch)
  }

  function send(split: BatchHeader['split'], { step, epoch, numImages, tensors, telemetry }: WireBatch): Promise<void> {
    const header: BatchHeader = { kind: 'batch', split, step, epoch, numImages, tensors: tensors.map(({ spec }) => spec), telemetry }
    return channel.send('data', address, encodeBatch(runId, generation, header, tensors))
  }

  const endWatch = time.every(watchMs, () => {
    // A stop that was lost with its connection must not be waited for.
    if (isAdmitted) tell({ kind: isStopping ? 'stop' : 'ping' })
    const late = clocks.late()
    if (!late) return
    endWatch()
    onLate(late)
  })

  return {
    stop() {
      isStopping = true
      if (isAdmitted) tell({ kind: 'stop' })
    },
    close() {
      isClosed = true
      endWatch()
    },
  }
}

function isSameToken(got: string, expected: string): boolean {
  const [a, b] = [Buffer.from(got), Buffer.from(expected)]
  return a.byteLength === b.byteLength && timingSafeEqual(a, b)
}
