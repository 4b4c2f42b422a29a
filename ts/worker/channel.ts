/** The two sockets between orchestrator and workers: the only user of zeromq. Main thread only (zeromq.js aborts the process from any other). */
import { chmod, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Router } from 'zeromq'
import { ImmiscibleError } from '../errors.ts'

const CONTROL_MESSAGE_BYTES = 1 << 20
const GOODBYE_MS = 1000

export interface Channel extends AsyncDisposable {
  readonly controlEndpoint: string
  readonly dataEndpoint: string
  /** Frames from workers on either socket, with the routing id that libzmq vouches for. */
  onMessage(listener: (from: { readonly socket: 'control' | 'data'; readonly address: string }, frames: Uint8Array[]) => void): void
  /** Queues frames to one peer. Rejects at once when there is no such peer (EHOSTUNREACH) or its queue is full (EAGAIN: credits were not kept). */
  send(socket: 'control' | 'data', address: string, frames: readonly Uint8Array[]): Promise<void>
}

/**
 * Binds both sockets: `ipc://` in a 0700 folder of the system's temporary folder, loopback TCP where ipc does not exist.
 * @param maxInFlight batches per worker, held-out ones included; the high-water mark stands above it, it is no flow control.
 */
export async function openChannel(maxInFlight: number): Promise<Channel> {
  const options = { mandatory: true, sendTimeout: 0, sendHighWaterMark: maxInFlight + 4, receiveHighWaterMark: 1000 }
  const sockets = {
    control: new Router({ ...options, sendHighWaterMark: 1000, maxMessageSize: CONTROL_MESSAGE_BYTES, linger: GOODBYE_MS }),
    data: new Router({ ...options, maxMessageSize: CONTROL_MESSAGE_BYTES, linger: 0 }),
  }
  const folder = process.platform === 'win32' ? undefined : await mkdtemp(join(tmpdir(), 'immiscible-'))
  if (folder) await chmod(folder, 0o700)
  let listener: Parameters<Channel['onMessage']>[0] | undefined
  const loops: Promise<void>[] = []
  // zeromq allows one pending send per socket: each waits for the one before it.
  const lastSend: Record<'control' | 'data', Promise<void>> = { control: Promise.resolve(), data: Promise.resolve() }

  async function bind(name: 'control' | 'data'): Promise<string> {
    const socket = sockets[name]
    await socket.bind(folder ? `ipc://${join(folder, name)}` : 'tcp://127.0.0.1:*')
    loops.push(readLoop(name))
    return socket.lastEndpoint as string
  }

  async function readLoop(name: 'control' | 'data'): Promise<void> {
    try {
      for await (const [address, ...frames] of sockets[name]) {
        listener?.({ socket: name, address: address.toString() }, frames)
      }
    } catch (error) {
      if (!sockets[name].closed) throw error
    }
  }

  const close = async (): Promise<void> => {
    for (const socket of Object.values(sockets)) socket.close()
    await Promise.allSettled([...loops, ...Object.values(lastSend)])
    // libzmq never unlinks ipc files.
    if (folder) await rm(folder, { recursive: true, force: true })
  }

  try {
    const controlEndpoint = await bind('control')
    const dataEndpoint = await bind('data')
    return {
      controlEndpoint,
      dataEndpoint,
      onMessage(newListener) {
        listener = newListener
      },
      send(socket, address, frames) {
        const sent = lastSend[socket].then(async () => {
          try {
            await sockets[socket].send([address, ...frames] as (string | Uint8Array)[])
          } catch (cause) {
            throw new ImmiscibleError(
              'PROTOCOL',
              `could not send to worker ${address} on the ${socket} channel: ${(cause as Error).message}`,
              { cause },
            )
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
