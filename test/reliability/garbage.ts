/** Bytes thrown at a bound socket by whoever can reach it: no greeting, half of one, frames that claim to be long. */
import { createConnection, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Seeded } from './seeded.ts'

async function open(endpoint: string): Promise<Socket | undefined> {
  // A Unix socket answers EAGAIN where its queue of new connections is full, and a moment later it is not.
  for (let attempt = 0; attempt < 200; attempt++) {
    const socket = await tryToOpen(endpoint)
    if (socket !== 'EAGAIN') return socket
    await sleep(10)
  }
  return undefined
}

function tryToOpen(endpoint: string): Promise<Socket | 'EAGAIN' | undefined> {
  const [, host = '', number = ''] = /^tcp:\/\/(.*):(\d+)$/.exec(endpoint) ?? []
  const socket = host === '' ? createConnection(endpoint.slice('ipc://'.length)) : createConnection(Number(number), host)
  return new Promise((resolve) => {
    socket.once('connect', () => resolve(socket))
    // Later on: reset while it sends, most of the time.
    socket.on('error', (error: NodeJS.ErrnoException) => resolve(error.code === 'EAGAIN' ? 'EAGAIN' : undefined))
  })
}

/** The greeting of ZMTP 3.0 (ZeroMQ RFC 23). */
function greeting(mechanism: 'NULL' | 'CURVE'): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(64)
  bytes.set([0xff, 0, 0, 0, 0, 0, 0, 0, 1, 0x7f, 3, 0])
  bytes.set(Buffer.from(mechanism), 12)
  return bytes
}

/** Connections that send anything, many at a time. */
export async function throwGarbage(endpoint: string, times: number, random: Seeded): Promise<number> {
  const one = async (): Promise<void> => {
    const garbage = random.bytes(random.int(1500))
    const start = random.pick([new Uint8Array(), greeting('NULL'), greeting('CURVE'), greeting('CURVE').subarray(0, random.int(64))])
    const socket = await open(endpoint)
    if (!socket) throw new Error(`expected ${endpoint} to take a connection, got none`)
    await new Promise<void>((resolve) => socket.end(Buffer.concat([start, garbage]), () => resolve()).once('close', () => resolve()))
    socket.destroy()
  }
  for (let at = 0; at < times; at += 32) await Promise.all(Array.from({ length: Math.min(32, times - at) }, one))
  return times
}

/** Connections that begin a greeting and never end it. */
export async function openHalf(endpoint: string, times: number, random: Seeded): Promise<Socket[]> {
  const sockets: Socket[] = []
  for (let at = 0; at < times; at++) {
    const socket = await open(endpoint)
    if (!socket) throw new Error(`expected ${endpoint} to take connection ${at} of those that say nothing, got none`)
    socket.write(greeting('CURVE').subarray(0, 1 + random.int(63)))
    sockets.push(socket)
  }
  return sockets
}

/** Frames that claim to be long, before and (over ipc, where nobody needs a key) after the handshake. All of them are cut off. */
export async function sendOversized(endpoint: string, name: 'tcp' | 'ipc', random: Seeded): Promise<number> {
  const ready = Buffer.from('\x05READY\x0bSocket-Type\0\0\0\x06DEALER\x08Identity\0\0\0\x04', 'latin1')
  const sizes = [2n ** 21n, 2n ** 30n, 2n ** 40n, 2n ** 63n - 1n, 2n ** 64n - 1n]
  for (const flags of [0x02, 0x06]) {
    for (const size of sizes) {
      const socket = await open(endpoint)
      if (!socket) throw new Error(`expected ${endpoint} to take a connection, got none`)
      const closed = new Promise<boolean>((resolve) => socket.once('close', () => resolve(true)))
      const header = Buffer.alloc(9)
      header[0] = flags
      header.writeBigUInt64BE(size, 1)
      const body = Buffer.concat([ready, random.bytes(4)])
      const shake = name === 'ipc' ? Buffer.concat([greeting('NULL'), Buffer.of(0x04, body.byteLength), body]) : greeting('CURVE')
      socket.resume().write(Buffer.concat([shake, header, random.bytes(1000)]))
      const isClosed = await Promise.race([closed, sleep(30_000, false, { ref: false })])
      socket.destroy()
      if (!isClosed) throw new Error(`expected a frame that claims ${size} bytes to end its connection, got nothing in 30 s`)
    }
  }
  return 2 * sizes.length
}
