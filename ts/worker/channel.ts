/** The two sockets between orchestrator and workers: the only user of zeromq. Main thread only (zeromq.js aborts the process from any other). */
import { hostname } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { capability, Context, curveKeyPair, Reply, Router, type Event } from 'zeromq'
import { ConfigError, WorkerError } from '../errors.ts'
import type { Refusal } from './refusals.ts'
import { makeSocketFolder } from './socket-folder.ts'

const CONTROL_MESSAGE_BYTES = 1 << 20
/** Workers say one thing on the data channel, and it is short. */
const DATA_MESSAGE_BYTES = 1 << 10
/** Messages of one peer that wait for this process: what they may cost in memory, since libzmq bounds a frame and not a message. */
const WAITING = { control: 64, data: 4 }
const GOODBYE_MS = 1000
const HANDSHAKE_MS = 10_000
/** From a socket's end, which its last words may put off, to its observer's. */
const OBSERVER_MS = GOODBYE_MS + 500
const ZAP_ENDPOINT = 'inproc://zeromq.zap.01'
/** Asked for by a server and answered by our list: without it CURVE lets in every client that knows the server's public key. */
const ZAP_DOMAIN = 'immiscible'

export interface Channel extends AsyncDisposable {
  readonly controlEndpoint: string
  readonly dataEndpoint: string
  /** Frames from workers on either socket, with the routing id that libzmq vouches for. */
  onMessage(listener: (from: { readonly socket: 'control' | 'data'; readonly address: string }, frames: Uint8Array[]) => void): void
  /** Queues frames to one peer. Rejects at once when there is no such peer (EHOSTUNREACH) or its queue is full (EAGAIN: credits were not kept). */
  send(socket: 'control' | 'data', address: string, frames: readonly Uint8Array[]): Promise<void>
}

/** Where to listen, and with which keys; without `curve` only a token is asked for. */
export interface Listening {
  readonly address: string
  readonly curve?: {
    readonly publicKey: string
    readonly secretKey: string
    /** Public keys of those who may connect, each with the name of its file. */
    readonly clients: ReadonlyMap<string, string>
  }
}

export interface ChannelOptions {
  /** TCP, for workers on other hosts. */
  readonly listen?: Listening | undefined
  readonly onRefused?: (reason: Refusal, who: string) => void
}

export const newKeyPair = curveKeyPair

/**
 * Binds both sockets: `ipc://` in a 0700 folder of the system's temporary folder, loopback TCP where ipc does not exist, or where `listen` says.
 * @param maxInFlight batches per worker, held-out ones included; the high-water mark stands above it, it is no flow control.
 */
export async function openChannel(maxInFlight: number, { listen, onRefused = () => undefined }: ChannelOptions = {}): Promise<Channel> {
  // ZAP has one endpoint in each context: with a context of its own a channel has a list of its own.
  const context = new Context()
  const curve = listen?.curve
  const options = {
    context,
    mandatory: true,
    sendTimeout: 0,
    handshakeInterval: HANDSHAKE_MS,
    ...(listen?.address.includes('[') && { ipv6: true }),
    ...(curve && { curveServer: true, curveSecretKey: curve.secretKey, zapDomain: ZAP_DOMAIN }),
  }
  const sockets = {
    control: new PeerRouter({
      ...options,
      sendHighWaterMark: 1000,
      receiveHighWaterMark: WAITING.control,
      maxMessageSize: CONTROL_MESSAGE_BYTES,
      linger: GOODBYE_MS,
    }),
    data: new PeerRouter({
      ...options,
      sendHighWaterMark: maxInFlight + 4,
      receiveHighWaterMark: WAITING.data,
      maxMessageSize: DATA_MESSAGE_BYTES,
      linger: 0,
    }),
  }
  const folder = listen || process.platform === 'win32' ? undefined : makeSocketFolder()
  const doorkeeper = curve && new Reply({ context, linger: 0 })
  let listener: Parameters<Channel['onMessage']>[0] | undefined
  const loops: Promise<void>[] = []
  // zeromq allows one pending send per socket: each waits for the one before it.
  const lastSend: Record<'control' | 'data', Promise<void>> = { control: Promise.resolve(), data: Promise.resolve() }
  const watches = { control: watchPeers(sockets.control, onRefused), data: watchPeers(sockets.data, onRefused) }

  async function bind(name: 'control' | 'data', address: string): Promise<string> {
    const socket = sockets[name]
    try {
      await socket.bind(address)
    } catch (cause) {
      if (!listen) throw cause
      throw new ConfigError([{ path: 'worker.listen.address', message: `cannot listen on ${address}: ${(cause as Error).message}` }], {
        cause,
      })
    }
    loops.push(readLoop(name))
    return socket.lastEndpoint as string
  }

  async function readLoop(name: 'control' | 'data'): Promise<void> {
    try {
      for await (const [address, ...frames] of sockets[name]) {
        // libzmq's own notice of a new peer (ROUTER_NOTIFY); no message of ours is empty.
        if (frames.length === 1 && frames[0]?.byteLength === 0) watches[name].accepted()
        else listener?.({ socket: name, address: address.toString() }, frames)
      }
    } catch (error) {
      if (!sockets[name].closed) throw error
    }
  }

  const close = async (): Promise<void> => {
    for (const socket of Object.values(sockets)) socket.close()
    doorkeeper?.close()
    await Promise.allSettled([...loops, ...Object.values(lastSend), ...Object.values(watches).map((watch) => watch.close())])
    folder?.[Symbol.dispose]()
  }

  try {
    if (doorkeeper) {
      await doorkeeper.bind(ZAP_ENDPOINT)
      loops.push(keepDoor(doorkeeper, curve.clients, onRefused))
    }
    const base = listen?.address ?? (folder ? undefined : 'tcp://127.0.0.1:*')
    const controlEndpoint = await bind('control', base ?? `ipc://${join(folder?.path as string, 'control')}`)
    const dataEndpoint = await bind('data', base ? nextPort(base) : `ipc://${join(folder?.path as string, 'data')}`)
    return {
      controlEndpoint: toReachable(controlEndpoint),
      dataEndpoint: toReachable(dataEndpoint),
      onMessage(newListener) {
        listener = newListener
      },
      send(socket, address, frames) {
        const sent = lastSend[socket].then(async () => {
          try {
            await sockets[socket].send([address, ...frames] as (string | Uint8Array)[])
          } catch (cause) {
            // No such peer, or a queue that nobody empties: it has gone, or its connection has. Another life may do better.
            const message = `could not send to worker ${address} on the ${socket} channel: ${(cause as Error).message}`
            throw new WorkerError('WORKER_GONE', message, '', { cause })
          }
        })
        lastSend[socket] = sent.catch(() => undefined)
        return sent
      },
      [Symbol.asyncDispose]: close,
    }
  } catch (error) {
    await close()
    throw error
  }
}

/** A router with two options that zeromq.js has no name for. */
class PeerRouter extends Router {
  constructor(options: ConstructorParameters<typeof Router>[0]) {
    super(options)
    // ZMQ_ZAP_ENFORCE_DOMAIN: without an answer from the list nobody gets in; libzmq's default is everybody.
    if (options?.zapDomain) this.setBoolOption(93, true)
    // ZMQ_ROUTER_NOTIFY: an empty message as the first of each peer whose identity was free.
    if (capability.draft) this.setInt32Option(97, 1)
  }
}

/** Answers libzmq's question for each connection (ZeroMQ RFC 27): is this key on the list? */
async function keepDoor(
  door: Reply,
  clients: ReadonlyMap<string, string>,
  onRefused: (reason: Refusal, who: string) => void,
): Promise<void> {
  try {
    for await (const [version, request, , address, , mechanism, credential] of door) {
      const key = String(mechanism) === 'CURVE' && credential?.byteLength === 32 ? toZ85(credential) : undefined
      const name = key === undefined ? undefined : clients.get(key)
      if (name === undefined) onRefused('UNKNOWN_KEY', `${String(address)} with the public key ${key ?? `of ${String(mechanism)}`}`)
      await door.send(name === undefined ? [version, request, '400', 'unknown key', '', ''] : [version, request, '200', 'OK', name, ''])
    }
  } catch (error) {
    if (!door.closed) throw error
  }
}

/** Counts who did not get through the handshake, and who did with an identity that was taken: libzmq ignores those in silence. */
function watchPeers(socket: PeerRouter, onRefused: (reason: Refusal, who: string) => void): { accepted(): void; close(): Promise<void> } {
  const where = (): string => socket.lastEndpoint ?? 'a socket that is closed'
  /** Handshakes less notices, now and at the last look. */
  let balance = 0
  let balanceBefore = 0
  let numUndecided = 0
  let hasFailed = false

  function handle(event: Event): void {
    switch (event.type) {
      case 'accept':
        numUndecided++
        break
      case 'handshake':
        numUndecided--
        balance++
        break
      case 'handshake:error:auth': // the list has said it, with the key
        numUndecided--
        hasFailed = true
        break
      case 'handshake:error:protocol':
      case 'handshake:error:other': {
        numUndecided--
        hasFailed = true
        const { code } = event.error as { code?: string }
        onRefused(REASONS[code ?? ''] ?? 'BAD_HANDSHAKE', `${where()}: ${code ?? event.error.message}`)
        break
      }
      case 'disconnect':
        // libzmq says nothing more of a peer whose first bytes are no greeting. One of the established may be meant where both are there; then its handshake corrects the count.
        if (!hasFailed && numUndecided > 0) {
          numUndecided--
          onRefused('BAD_HANDSHAKE', `${where()}: left, or sent what is no ZeroMQ`)
        }
        hasFailed = false
        break
      default:
    }
  }

  const observer = socket.events
  const read = async (): Promise<void> => {
    try {
      for await (const event of observer) handle(event)
    } catch (error) {
      if (!socket.closed) throw error
    }
  }
  const ended = read()

  // Both counts come on ways of their own: only a difference that lasts is one.
  const timer = setInterval(() => {
    const lasting =
      Math.sign(balance) === Math.sign(balanceBefore) ? Math.sign(balance) * Math.min(Math.abs(balance), Math.abs(balanceBefore)) : 0
    for (let at = 0; at < lasting; at++) onRefused('SECOND_PEER', `${where()}: its identity belongs to another connection`)
    balance -= lasting // below 0 where a peer sends empty messages of its own
    balanceBefore = balance
  }, 1000).unref()

  return {
    accepted: () => void balance--,
    /** After the socket. Its last event ends the observer; now and then that never comes, and an observer that waits keeps the process. */
    async close() {
      clearInterval(timer)
      const given = new AbortController()
      await Promise.race([ended, sleep(OBSERVER_MS, undefined, { signal: given.signal }).catch(() => undefined)])
      given.abort()
      // Not sooner: libzmq's thread would wait for a reader of the last event.
      observer.close()
    },
  }
}

const REASONS: Readonly<Record<string, Refusal>> = {
  ERR_ZMTP_MECHANISM_MISMATCH: 'NO_CURVE',
  ERR_ZMTP_CRYPTOGRAPHIC: 'WRONG_SERVER_KEY',
}

function nextPort(address: string): string {
  return address.replace(/:(\d+)$/, (_, port: string) => `:${Number(port) + 1}`)
}

/** An address for a client on another host, where all addresses of this one were bound. */
function toReachable(endpoint: string): string {
  return endpoint.replace(/^tcp:\/\/(0\.0\.0\.0|\[::\]):/, `tcp://${hostname()}:`)
}

const Z85 = '0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#'

/** The text form of a key: base 85, four bytes in five characters (ZeroMQ RFC 32). */
function toZ85(bytes: Uint8Array): string {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  let text = ''
  for (let at = 0; at + 4 <= bytes.byteLength; at += 4) {
    const word = view.getUint32(at)
    for (let power = 85 ** 4; power >= 1; power /= 85) text += Z85[Math.floor(word / power) % 85]
  }
  return text
}
