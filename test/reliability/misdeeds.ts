/** What a peer may do that was let in: each of it ends that peer, and only that peer. */
import { readdirSync, readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { pack } from 'msgpackr'
import { event } from '../../protocol/index.ts'
import { connect, helloOf, isLetIn, readyAt, until, type Connection, type Peer, type PeerOptions } from './peer.ts'
import type { Seeded } from './seeded.ts'

interface Misdeed {
  readonly name: string
  /** What comes after welcome, or instead of it. */
  readonly act: (peer: Peer, life: Connection, random: Seeded) => Promise<void>
  /** It does not wait to be welcomed. */
  readonly isRude?: boolean
}

const done = (step: number): Record<string, unknown> => ({
  kind: 'stepDone',
  step,
  loss: 0,
  gradNorm: 0,
  learningRate: 0,
  emaDecay: 0,
  trainMs: 0,
  waitMs: 0,
  stageMs: 0,
  batchSha256: '',
})
const credit = (step: number): Record<string, unknown> => ({ kind: 'credit', step, heldMs: 0 })

async function takeBatches(peer: Peer, count: number): Promise<void> {
  await peer.send('control', readyAt(0))
  await until(`${count} batches`, () => peer.batches.length >= count)
}

export const MISDEEDS: readonly Misdeed[] = [
  { name: 'bytes that are no message', act: (peer, _, random) => peer.send('control', random.bytes(1 + random.int(100)).fill(0xc1, 0, 1)) },
  { name: 'a message of several frames', act: (peer) => peer.sendFrames('control', [pack(credit(0)), pack(credit(0))]) },
  {
    name: 'a message of a thousand frames',
    act: (peer) =>
      peer.sendFrames(
        'control',
        Array.from({ length: 1000 }, () => Uint8Array.of(1)),
      ),
  },
  { name: 'a msgpack bomb', act: (peer) => peer.send('control', Uint8Array.of(0xdd, 0xff, 0xff, 0xff, 0xff)) },
  { name: 'a megabyte of nothing', act: (peer) => peer.send('control', new Uint8Array(2 ** 20 - 1000).fill(0x80)) },
  { name: 'a frame that is too long', act: (peer) => peer.send('control', new Uint8Array(2 ** 20 + 1)) },
  { name: 'a long frame on the data channel', act: (peer) => peer.send('data', new Uint8Array(5000)) },
  { name: 'a message of another kind', act: (peer) => peer.send('control', { kind: 'shell', command: 'id' }) },
  { name: 'a command instead of an event', act: (peer) => peer.send('control', { kind: 'stop' }) },
  { name: 'events on the data channel', act: (peer) => peer.send('data', credit(0)) },
  { name: 'ready before hello', isRude: true, act: (peer) => peer.send('control', readyAt(0)) },
  { name: 'hello on the data channel', isRude: true, act: (peer, life) => peer.send('data', helloOf(life)) },
  { name: 'hello twice', act: (peer, life) => peer.send('control', helloOf(life)) },
  {
    name: 'ready twice',
    async act(peer) {
      await takeBatches(peer, 1)
      await peer.send('control', readyAt(0))
    },
  },
  { name: 'a credit before any batch', act: (peer) => peer.send('control', credit(0)) },
  {
    name: 'more credits than batches',
    async act(peer) {
      await takeBatches(peer, 1)
      for (let at = 0; at < 3; at++) await peer.send('control', credit(0))
    },
  },
  {
    name: 'a credit for a step that was never sent',
    async act(peer, _, random) {
      await takeBatches(peer, 1)
      await peer.send('control', credit(1000 + random.int(2 ** 31)))
    },
  },
  {
    name: 'a step done before its credit',
    async act(peer) {
      await takeBatches(peer, 1)
      await peer.send('control', done(0))
    },
  },
  {
    name: 'a step done that was never sent',
    async act(peer, _, random) {
      await takeBatches(peer, 1)
      await peer.send('control', done(1000 + random.int(2 ** 31)))
    },
  },
  {
    name: 'steps done out of order',
    async act(peer) {
      await takeBatches(peer, 2)
      for (const step of [0, 1]) await peer.send('control', credit(step))
      await peer.send('control', done(1))
    },
  },
  {
    name: 'a step done twice',
    async act(peer) {
      await takeBatches(peer, 1)
      await peer.send('control', credit(0))
      for (let at = 0; at < 2; at++) await peer.send('control', done(0))
    },
  },
  {
    name: 'warnings without end',
    async act(peer) {
      await peer.send('control', readyAt(0))
      for (let at = 0; at < 1100; at++) await peer.send('control', { kind: 'warning', code: 'X', message: 'x'.repeat(100) })
    },
  },
  {
    name: 'mutated events',
    async act(peer, _, random) {
      await peer.send('control', readyAt(0))
      const corpus = readEvents()
      for (let at = 0; at < 200; at++) {
        const frame = Uint8Array.from(random.pick(corpus))
        frame[random.int(frame.byteLength)] ^= 1 << random.int(8)
        await peer.send('control', frame)
      }
    },
  },
  {
    name: 'failed',
    act: (peer) => peer.send('control', { kind: 'failed', code: 'X', message: '', traceback: '', step: 0, isRetryable: true }),
  },
]

function readEvents(): Uint8Array[] {
  const folder = new URL('../../protocol/golden/', import.meta.url)
  return readdirSync(folder)
    .filter((file) => /-valid.*\.json$/.test(file))
    .map((file) => JSON.parse(readFileSync(new URL(file, folder), 'utf8')) as object)
    .filter((message) => event.safeParse(message).success)
    .map((message) => pack(message))
}

/** Does it as the client that is expected; the peer must be dropped, which makes room for the next. */
export async function misbehave(
  { act, isRude = false }: Misdeed,
  server: { readonly connection: () => Connection | undefined; readonly curve: PeerOptions },
  random: Seeded,
  seconds = 30,
): Promise<string[]> {
  const life = await until('serve.json', server.connection)
  using peer = connect(life, server.curve)
  const isNext = (): boolean => (server.connection()?.generation ?? 0) > life.generation
  try {
    if (!isRude) {
      await peer.introduce()
      await until('welcome', () => isLetIn(peer))
    }
    await act(peer, life, random)
    await until('the peer to be dropped', isNext, seconds)
  } catch (error) {
    return [(error as Error).message]
  }
  // It goes on talking, to nobody.
  const numBatches = peer.batches.length
  for (let at = 0; at < 20; at++) await peer.send('control', { kind: 'heartbeat', phase: 'training', step: at, ageMs: 0 })
  await sleep(5)
  return peer.batches.length - numBatches > 2 ? ['expected no batch after it was dropped'] : []
}
