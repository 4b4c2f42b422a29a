/** The worker's I/O thread, as py/immiscible_worker/channel.py: speaks, listens, and ends an orphan. */
import type { Command, WorkerEvent, WorkerEventOf } from '../../../protocol/index.ts'
import type { Dealer, Network } from './network.ts'
import { decodeBatch, decodeCommand, encodeEvent, WorkerFault, type ReceivedBatch } from './wire.ts'
import type { Process } from './world.ts'

export interface WorkerEnvironment {
  readonly endpoint: string
  readonly token: string
  readonly runId: string
  readonly generation: number
  readonly configHash: string
  readonly leaseSeconds: number
}

type Phase = WorkerEventOf<'heartbeat'>['phase']
type Message = ReceivedBatch | Exclude<Command, { kind: 'ping' }>

export interface IoThread {
  say(event: WorkerEvent): void
  setProgress(phase: Phase, step: number): void
  setLease(seconds: number): void
  isStopping(): boolean
  /** The next batch or command. Throws what the thread found wrong. */
  receive(): Promise<Message>
  /** What was said has left. */
  close(): Promise<void>
  endStdin(): void
  mute(): void
  isMute(): boolean
}

const HEARTBEAT_MS = 1000
const POLL_MS = 500
const LAST_WORDS_MS = 2000

export function createIoThread(
  { endpoint, runId, generation, token, leaseSeconds }: WorkerEnvironment,
  { process, network, exit }: { readonly process: Process; readonly network: Network; readonly exit: (code: number) => void },
): IoThread {
  const { time } = process
  const address = `${runId}.${generation}.0`
  const inbox: (Message | WorkerFault)[] = []
  let wake: (() => void) | undefined
  let asleepMs = 0
  let progress: { phase: Phase; step: number; since: number } = { phase: 'starting', step: 0, since: time.now() }
  let leaseMs = leaseSeconds * 1000
  let heardAt = time.now()
  let lookedAt = heardAt
  let beatAt = -Infinity
  let isStopping = false
  let isAtEnd = false
  let isMute = false

  function put(item: Message | WorkerFault): void {
    inbox.push(item)
    process.after(0, () => wake?.())
  }

  function turn(hasHeard: boolean, take?: () => void): void {
    if (isMute) return
    const now = time.now()
    // A process that was suspended itself has not listened, so that time does not count as silence.
    const missed = Math.max(0, now - lookedAt - 2 * POLL_MS)
    heardAt += missed
    asleepMs += missed
    lookedAt = now
    if (hasHeard) heardAt = now
    try {
      take?.()
    } catch (error) {
      put(error as WorkerFault)
    }
    if (isAtEnd || now - heardAt > leaseMs) return exit(75)
    if (now - beatAt >= HEARTBEAT_MS) {
      beatAt = now
      const { phase, step, since } = progress
      control.send(encodeEvent({ kind: 'heartbeat', phase, step, ageMs: Math.max(0, now - asleepMs - since) }))
    }
  }

  function takeCommand(frames: readonly Uint8Array[]): void {
    const command = decodeCommand(frames)
    if (command.kind === 'ping') return
    if (command.kind === 'stop') isStopping = true
    put(command)
  }

  function takeBatch(frames: readonly Uint8Array[]): void {
    const batch = decodeBatch(frames, runId, generation)
    if (batch) put(batch)
  }

  const control: Dealer = network.connect(endpoint, 'control', address, process, (frames) => turn(true, () => takeCommand(frames)))
  const data = network.connect(endpoint, 'data', address, process, (frames) => turn(true, () => takeBatch(frames)))
  data.send(encodeEvent({ kind: 'attach', token }))
  const poll = (): void => {
    turn(false)
    process.after(POLL_MS, poll, 'io')
  }
  process.after(POLL_MS, poll, 'io')

  return {
    say(event: WorkerEvent): void {
      if (!isMute) control.send(encodeEvent(event))
    },
    setProgress(phase: Phase, step: number): void {
      if (phase !== progress.phase || step !== progress.step) progress = { phase, step, since: time.now() - asleepMs }
    },
    setLease(seconds: number): void {
      leaseMs = seconds * 1000
    },
    isStopping: () => isStopping,
    async receive(): Promise<Message> {
      while (inbox.length === 0) await new Promise<void>((resolve) => (wake = resolve))
      const item = inbox.shift() as Message | WorkerFault
      if (item instanceof WorkerFault) throw item
      return item
    },
    close: () => control.flush(LAST_WORDS_MS),
    endStdin(): void {
      isAtEnd = true
      process.receive(0, () => turn(false))
    },
    mute(): void {
      isMute = true
    },
    isMute: () => isMute,
  }
}
