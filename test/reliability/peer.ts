/** A peer of an orchestrator, by hand: honest or not, with any key, identity and message. */
import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { pack, unpack } from 'msgpackr'
import { Dealer } from 'zeromq'
import { PROTOCOL_VERSION } from '../../protocol/index.ts'

/** serve.json. */
export interface Connection {
  readonly control: string
  readonly data: string
  readonly serverKey: string | null
  readonly token: string
  readonly runId: string
  readonly generation: number
  readonly configHash: string
}

export interface PeerOptions {
  readonly identity?: string
  readonly curve?: { readonly publicKey: string; readonly secretKey: string; readonly serverKey: string }
  readonly plain?: boolean
  /** Only the control socket. */
  readonly isHalf?: boolean
}

type Message = Record<string, unknown>

export interface Peer extends Disposable {
  /** Everything that came from the orchestrator, in order. */
  readonly commands: Message[]
  readonly batches: Uint8Array[][]
  send(socket: 'control' | 'data', message: Message | Uint8Array): Promise<void>
  sendFrames(socket: 'control' | 'data', frames: readonly Uint8Array[]): Promise<void>
  /** hello and attach, with what a test changes of them. */
  introduce(hello?: Message, attach?: Message): Promise<void>
  readonly identity: string
}

export function connect(connection: Connection, { curve, plain, isHalf, ...options }: PeerOptions = {}): Peer {
  const identity = options.identity ?? identityOf(connection)
  const open = (endpoint: string): Dealer => {
    const socket = new Dealer({
      routingId: identity,
      linger: 0,
      // One connection each, so that refusals can be counted; a Unix socket refuses where too many connect at once, and nothing else there does.
      reconnectInterval: endpoint.startsWith('ipc:') ? 20 : -1,
      sendTimeout: 0,
      sendHighWaterMark: 0,
      receiveHighWaterMark: 1000,
      ...(curve && { curvePublicKey: curve.publicKey, curveSecretKey: curve.secretKey, curveServerKey: curve.serverKey }),
      ...(plain && { plainUsername: 'a', plainPassword: 'b' }),
    })
    socket.connect(endpoint)
    return socket
  }
  const sockets = { control: open(connection.control), ...(!isHalf && { data: open(connection.data) }) }
  const [commands, batches]: [Message[], Uint8Array[][]] = [[], []]
  const lastSend = { control: Promise.resolve(), data: Promise.resolve() }

  async function read(socket: Dealer, take: (frames: Buffer[]) => void): Promise<void> {
    try {
      for await (const frames of socket) take(frames)
    } catch (error) {
      if (!socket.closed) throw error
    }
  }
  void read(sockets.control, ([frame]) => void commands.push(unpack(frame) as Message))
  if (sockets.data) void read(sockets.data, (frames) => void batches.push(frames))

  const sendFrames: Peer['sendFrames'] = (name, frames) => {
    // A socket that was refused has no way to send: that is what is tried here.
    lastSend[name] = lastSend[name].then(() => sockets[name]?.send(frames as Uint8Array[])).catch(() => undefined)
    return lastSend[name]
  }
  const send: Peer['send'] = (name, message) => sendFrames(name, [message instanceof Uint8Array ? message : pack(message)])

  return {
    identity,
    commands,
    batches,
    send,
    sendFrames,
    async introduce(hello = {}, attach = {}) {
      const { token } = connection
      await send('control', { ...helloOf(connection), ...hello })
      await send('data', { kind: 'attach', token, ...attach })
    },
    [Symbol.dispose]() {
      for (const socket of Object.values(sockets)) socket.close()
    },
  }
}

export function identityOf({ runId, generation }: Connection): string {
  return `${runId}.${generation}.0`
}

export function helloOf({ runId, generation, token, configHash }: Connection): Message {
  return { kind: 'hello', protocolVersion: PROTOCOL_VERSION, runId, generation, rank: 0, token, configHash, pid: process.pid }
}

const FINGERPRINT = { python: '', torch: '', diffusers: '', device: 'cpu', cpuCapability: '', numThreads: 1, platform: '' }

export function readyAt(step: number): Message {
  return { kind: 'ready', step, resumedFrom: null, numParameters: 0, fingerprint: FINGERPRINT, warnings: [] }
}

/** Whether a peer was let in: it was told the config, or given images. */
export function isLetIn({ commands, batches }: Peer): boolean {
  return batches.length > 0 || commands.some(({ kind }) => kind === 'welcome')
}

/** A client that does all as the protocol has it: takes batches, one after the other, and gives each back. */
export interface GoodClient extends AsyncDisposable {
  /** Steps served so far. */
  readonly numServed: number
  /** Resolves when so many more have come. Rejects where they do not. */
  served(more: number): Promise<void>
}

export async function startGoodClient(connection: Connection, options: PeerOptions): Promise<GoodClient> {
  const peer = connect(connection, options)
  let numServed = 0
  const end = new AbortController()
  await peer.introduce()
  await until('welcome', () => isLetIn(peer))
  await peer.send('control', readyAt(0))

  const work = async (): Promise<void> => {
    for (let round = 0; !end.signal.aborted; round++) {
      for (const frames of peer.batches.splice(0)) {
        const step = new DataView(frames[0].buffer, frames[0].byteOffset).getBigUint64(28, true)
        if (step !== BigInt(numServed)) throw new Error(`good client: expected step ${numServed}, got ${step}`)
        numServed++
        await peer.send('control', { kind: 'credit', step: Number(step), heldMs: 0 })
      }
      if (round % 100 === 0) await peer.send('control', { kind: 'heartbeat', phase: 'training', step: numServed, ageMs: 0 })
      // Not as fast as it could: the others are the ones to be watched.
      await sleep(10)
    }
  }
  const working = work()
  working.catch(() => undefined)
  return {
    get numServed() {
      return numServed
    },
    async served(more) {
      const goal = numServed + more
      await Promise.race([until(`${more} more batches for the good client`, () => numServed >= goal), working])
    },
    async [Symbol.asyncDispose]() {
      end.abort()
      await working
      await peer.send('control', { kind: 'stopped', step: numServed, checkpoint: '', stateSha256: '', pipeline: '' })
      await sleep(50)
      peer[Symbol.dispose]()
    },
  }
}

/** Waits for a thing that must happen: a minute is never for nothing. */
export async function until<T>(what: string, holds: () => T | undefined | false, seconds = 60): Promise<T> {
  const deadline = performance.now() + seconds * 1000
  for (;;) {
    const value = holds()
    if (value) return value
    if (performance.now() > deadline) throw new Error(`waited ${seconds} s for ${what}`)
    await sleep(5)
  }
}

export function readConnection(file: string): Connection | undefined {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as Connection
  } catch {
    return undefined // between two of them
  }
}

/** Of a NAME.key_secret. */
export function readKeys(file: string): { publicKey: string; secretKey: string } {
  const text = readFileSync(file, 'utf8')
  const of = (name: string): string => new RegExp(`${name} = "(.*)"`).exec(text)?.[1] as string
  return { publicKey: of('public-key'), secretKey: of('secret-key') }
}
