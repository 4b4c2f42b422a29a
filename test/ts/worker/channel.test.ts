import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, statSync } from 'node:fs'
import { dirname } from 'node:path'
import { Dealer } from 'zeromq'
import { expect, test } from 'vitest'
import { openChannel } from '../../../ts/worker/channel.ts'

const folderOf = (endpoint: string): string => dirname(endpoint.slice('ipc://'.length))

test('messages reach a peer by its address, and its answers come with it', async () => {
  await using channel = await openChannel(2)
  const heard = Promise.withResolvers<string>()
  channel.onMessage(({ socket, address }, frames) => heard.resolve(`${socket} ${address} ${Buffer.concat(frames).toString()}`))
  using peer = closing(new Dealer({ routingId: 'run.0.0', linger: 0 }))
  peer.socket.connect(channel.dataEndpoint)
  await peer.socket.send('hello')
  expect(await heard.promise).toBe('data run.0.0 hello')
  await channel.send('data', 'run.0.0', [Buffer.from('a'), Buffer.from('b')])
  expect((await peer.socket.receive()).map(String)).toEqual(['a', 'b'])
})

test('many sends at once leave one after another', async () => {
  await using channel = await openChannel(500)
  const heard = Promise.withResolvers<void>()
  channel.onMessage(() => heard.resolve())
  using peer = closing(new Dealer({ routingId: 'p', linger: 0, receiveHighWaterMark: 1000 }))
  peer.socket.connect(channel.dataEndpoint)
  await peer.socket.send('hello')
  await heard.promise
  await Promise.all(Array.from({ length: 300 }, (_, at) => channel.send('data', 'p', [Buffer.from(String(at))])))
  for (let at = 0; at < 300; at++) expect(String(await peer.socket.receive())).toBe(String(at))
})

test('sending to nobody fails at once, and the next send still works', async () => {
  await using channel = await openChannel(2)
  await expect(channel.send('data', 'nobody', [Buffer.from('x')])).rejects.toThrow(/could not send to worker nobody/)
  await expect(channel.send('data', 'nobody', [Buffer.from('x')])).rejects.toThrow(/nobody/)
})

test.skipIf(process.platform === 'win32')('its sockets lie in a folder of its own that is gone after closing', async () => {
  const channel = await openChannel(2)
  const folder = folderOf(channel.controlEndpoint)
  expect(statSync(folder).mode & 0o777).toBe(0o700)
  await channel[Symbol.asyncDispose]()
  expect(existsSync(folder)).toBe(false)
})

test.skipIf(process.platform === 'win32')('the folder of a killed owner is swept by the next, that of a living one is not', async () => {
  const owner = spawn(process.execPath, ['--input-type=module', '-e', OPENS_A_CHANNEL], { stdio: ['ignore', 'pipe', 'inherit'] })
  const [endpoint] = (await once(owner.stdout, 'data')) as [Buffer]
  const folder = folderOf(String(endpoint).trim())
  await (await openChannel(2))[Symbol.asyncDispose]()
  expect(existsSync(folder)).toBe(true)
  owner.kill('SIGKILL')
  await once(owner, 'exit')
  expect(existsSync(folder)).toBe(true)
  await (await openChannel(2))[Symbol.asyncDispose]()
  expect(existsSync(folder)).toBe(false)
})

const OPENS_A_CHANNEL = `
  const { openChannel } = await import(${JSON.stringify(new URL('../../../ts/worker/channel.ts', import.meta.url))})
  console.log((await openChannel(2)).controlEndpoint)
`

function closing(socket: Dealer): Disposable & { socket: Dealer } {
  return { socket, [Symbol.dispose]: () => socket.close() }
}

test('a second peer with an identity that is taken hears nothing, is not heard, and is noticed', { timeout: 20_000 }, async () => {
  const refused: string[] = []
  await using channel = await openChannel(2, { onRefused: (reason) => refused.push(reason) })
  const heard: string[] = []
  channel.onMessage((_, [frame]) => heard.push(String(frame)))
  using first = closing(new Dealer({ routingId: 'same', linger: 0 }))
  using second = closing(new Dealer({ routingId: 'same', linger: 0, receiveTimeout: 500 }))
  first.socket.connect(channel.controlEndpoint)
  await first.socket.send('first')
  await expect.poll(() => heard).toEqual(['first'])
  second.socket.connect(channel.controlEndpoint)
  await second.socket.send('second')
  await expect.poll(() => refused, { timeout: 10_000 }).toEqual(['SECOND_PEER'])
  await channel.send('control', 'same', [Buffer.from('for the first')])
  expect(String(await first.socket.receive())).toBe('for the first')
  await expect(second.socket.receive()).rejects.toThrow()
  expect(heard).toEqual(['first'])
})
