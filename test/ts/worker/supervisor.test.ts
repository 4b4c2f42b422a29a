/** The orchestrator's side of a worker's life, against a worker that misbehaves as it is told (test/fixture/fake). */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { PROTOCOL_VERSION, type WorkerEvent } from '../../../protocol/index.ts'
import { openChannel, type Channel } from '../../../ts/worker/channel.ts'
import { superviseWorker, type SupervisorOptions } from '../../../ts/worker/supervisor.ts'
import type { WireBatch } from '../../../ts/worker/session.ts'
import { testConfig } from '../../fixture/config.ts'
import { pythonPath } from '../../fixture/python.ts'

const FAKE = fileURLToPath(new URL('../../fixture/fake', import.meta.url))

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'immiscible-test-'))
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

interface Seen {
  readonly events: WorkerEvent[]
  readonly lives: Parameters<SupervisorOptions['onLife']>[0][]
  readonly steps: number[]
  /** Each credit; elapsedMs: since its batch was asked for. */
  readonly delivered: { step: number; wireMs: number; elapsedMs: number }[]
  readonly log: () => string
}

/** Runs the fake worker to its end: how it ended, or the error. */
async function live(
  mode: string,
  worker: object = {},
  env: Record<string, string> = {},
  numHeldOut = 0,
  lateMs = 0,
): Promise<Seen & { ended: unknown }> {
  const config = testConfig({
    globalBatchSize: 8,
    maxTrainSteps: 20,
    worker: { startSeconds: 20, leaseSeconds: 20, stepSeconds: 20, maxRestarts: 0, ...worker },
  })
  await using punctual = await openChannel(config.pipeline.credits + numHeldOut)
  const channel = lateMs > 0 ? hearLate(punctual, lateMs) : punctual
  const [events, lives, steps, workerLog] = [[], [], [], join(folder, 'worker.log')] as [WorkerEvent[], Seen['lives'], number[], string]
  const delivered: Seen['delivered'] = []
  const askedAt: number[] = []
  let generation = 0
  const supervisor = superviseWorker({
    channel,
    python: { path: pythonPath(), env: { PYTHONPATH: FAKE, FAKE_MODE: mode, ...env } },
    runId: 'ab'.repeat(16),
    token: 'cd'.repeat(32),
    takeGeneration: () => generation++,
    describeBatch: (step) => `images of step ${step}`,
    welcome: {
      kind: 'welcome',
      runFolder: folder,
      configHash: 'hash',
      config,
      dataset: { name: 'digits', sha256: '', numImages: 1797, imageShape: [1, 8, 8], numClasses: 10, dtype: 'uint8', scalingFactor: null },
      realImages: null,
    },
    workerLog,
    batch: async (step): Promise<WireBatch> => {
      steps.push(step)
      askedAt[step] = performance.now()
      return { step, epoch: 0, numImages: 8, tensors: [], telemetry: [] }
    },
    async *heldOut() {
      for (let at = 0; at < numHeldOut; at++) yield { step: 0, epoch: 0, numImages: 8, tensors: [], telemetry: [] }
    },
    onEvent(event) {
      events.push(event)
      if (mode === 'die-at-stop' && event.kind === 'ready') supervisor.stop()
    },
    onDelivered: (step, wireMs) => void delivered.push({ step, wireMs, elapsedMs: performance.now() - askedAt[step] }),
    onLife: (life) => void lives.push(life),
  })
  const ended = await supervisor.ended.catch((error: unknown) => error)
  return { ended, events, lives, steps, delivered, log: () => readFileSync(workerLog, 'utf8') }
}

/** As where the event loop has more to do: what a worker says comes late, its exit does not. */
function hearLate(channel: Channel, lateMs: number): Channel {
  return { ...channel, onMessage: (listener) => channel.onMessage((...message) => void setTimeout(listener, lateMs, ...message)) }
}

const SECONDS = 1000

test('a good worker gets every step once, in order', async () => {
  const { ended, events, steps } = await live('good')
  expect(ended).toMatchObject({ kind: 'stopped', step: 20 })
  expect(steps).toEqual(Array.from({ length: 20 }, (_, step) => step))
  expect(events.filter(({ kind }) => kind === 'stepDone')).toHaveLength(20)
})

test('each batch has one credit, before its step is done, and a wire time that is no part of what the worker held it', async () => {
  const { events, delivered } = await live('good', {}, { FAKE_STEP_MS: '20' })
  const told = events.filter((event) => event.kind === 'credit' || event.kind === 'stepDone').map(({ kind, step }) => `${kind} ${step}`)
  for (let step = 0; step < 20; step++) {
    expect(told.filter((line) => line === `credit ${step}`)).toHaveLength(1)
    expect(told.indexOf(`credit ${step}`)).toBeLessThan(told.indexOf(`stepDone ${step}`))
  }
  expect(delivered.map(({ step }) => step)).toEqual(Array.from({ length: 20 }, (_, step) => step))
  // Both parts lie between asking for the batch and hearing its credit, and neither holds the other.
  const credits = events.filter((event) => event.kind === 'credit')
  for (const [at, { wireMs, elapsedMs }] of delivered.entries()) {
    expect(wireMs).toBeGreaterThanOrEqual(0)
    expect(wireMs + credits[at].heldMs).toBeLessThan(elapsedMs + 0.001)
  }
  // With two credits a batch lies with the worker while the step before it takes its 20 ms.
  expect(credits.some(({ heldMs }) => heldMs > 10)).toBe(true)
})

test('a worker that says it held a batch longer than it was out has a wire time of nothing, never less', async () => {
  const { delivered } = await live('long-held')
  expect(delivered.map(({ wireMs }) => wireMs)).toEqual(Array.from({ length: 20 }, () => 0))
})

test.each([
  ['no-credit', 'step 0: expected its credit first, got stepDone'],
  ['double-credit', /credit: expected one of the steps out \([12, ]*\), got step 0/],
])('%s is a broken protocol', async (mode, message) => {
  const { ended } = await live(mode)
  expect(ended).toMatchObject({ code: 'PROTOCOL', message: expect.stringMatching(message) as string })
})

test('held-out batches reach each life of a worker before its first step, and take none of its credits', async () => {
  const { ended, log, lives, delivered } = await live('crash-at', { maxRestarts: 1 }, { FAKE_CRASH_STEP: '4' }, 9)
  expect(ended).toMatchObject({ code: 'WORKER_GONE' })
  expect(lives.filter(({ state }) => state === 'starting')).toHaveLength(2)
  expect(log().match(/^held out.*$/gm)).toEqual(Array.from({ length: 18 }, () => "held out, after 0 steps' batches"))
  expect(delivered.map(({ step }) => step)).toEqual([0, 1, 2, 3, 0, 1, 2, 3])
})

test('a resumed worker gets batches from the step that it asks for', async () => {
  const { steps } = await live('good', {}, { FAKE_FIRST_STEP: '13' })
  expect(steps).toEqual([13, 14, 15, 16, 17, 18, 19])
})

test.each([
  ['wrong-version', `protocolVersion: expected ${PROTOCOL_VERSION}, got 99`],
  ['wrong-config', 'configHash: expected hash, got another'],
  ['wrong-token', 'token: not the one this run gave out'],
])('%s is refused with both values, and the worker is told', async (mode, message) => {
  const { ended, log, steps } = await live(mode)
  expect(ended).toMatchObject({ code: 'PROTOCOL', message: expect.stringContaining(message) as string })
  expect(log()).toContain(message)
  expect(steps).toEqual([])
})

test("a crash is reported with the end of the worker's own output", async () => {
  const { ended } = await live('crash')
  expect(ended).toMatchObject({ code: 'WORKER_GONE', message: expect.stringMatching(/exit code 3[^]*last words of a crash/) as string })
})

test('bytes that are no message end the life as a protocol error', async () => {
  expect((await live('garbage')).ended).toMatchObject({ code: 'PROTOCOL' })
})

test('start clock: a worker that never says hello', { timeout: 15 * SECONDS }, async () => {
  const { ended } = await live('never', { startSeconds: 1 })
  expect(ended).toMatchObject({
    code: 'WORKER_GONE',
    message: expect.stringContaining('not ready within 1 s (worker.startSeconds)') as string,
  })
})

test('link clock: a worker that falls silent, whose stacks are asked for before it is ended', { timeout: 15 * SECONDS }, async () => {
  const { ended, log, steps } = await live('silent', { leaseSeconds: 1 })
  expect(ended).toMatchObject({ code: 'WORKER_GONE', message: expect.stringContaining('silent for 1 s (worker.leaseSeconds)') as string })
  expect(log()).toContain('stacks as asked')
  // It never gave a credit back: two batches were its due, and no third was prepared for it.
  expect(steps).toEqual([0, 1])
})

test('progress clock: a worker that waits for what it has been sent', { timeout: 15 * SECONDS }, async () => {
  const { ended, steps } = await live('waits', { stepSeconds: 1 })
  expect(ended).toMatchObject({ code: 'WORKER_GONE', message: expect.stringMatching(/no progress for [12] s while waiting/) as string })
  expect(steps).toEqual([0, 1])
})

test('progress clock: a worker that beats but does not move', { timeout: 15 * SECONDS }, async () => {
  const { ended } = await live('stuck', { stepSeconds: 1 })
  expect(ended).toMatchObject({ code: 'WORKER_GONE', message: expect.stringMatching(/no progress for [12] s while training/) as string })
})

test('a worker that dies at the same step again and again is given up with that step named', { timeout: 30 * SECONDS }, async () => {
  const { ended, lives } = await live('crash-at', { maxRestarts: 2 }, { FAKE_CRASH_STEP: '4' })
  expect(lives.filter(({ state }) => state === 'starting').map(({ generation }) => generation)).toEqual([0, 1, 2])
  expect(ended).toMatchObject({
    code: 'WORKER_GONE',
    message: expect.stringMatching(/failed 3 times in a row without getting past step 4 \(images of step 4\)/) as string,
  })
})

test('a worker that dies as it is told to stop is started once more, and stops', async () => {
  const { ended, lives, steps } = await live('die-at-stop', { maxRestarts: 1 })
  expect(ended).toMatchObject({ kind: 'stopped', step: 0 })
  expect(lives.map(({ state, generation }) => `${state} ${generation}`)).toEqual(['starting 0', 'gone 0', 'starting 1'])
  expect(steps.length).toBeLessThanOrEqual(2)
})

test.each([
  ['good', { kind: 'stopped', step: 20 }],
  ['fail', { code: 'WORKER_FAILED', message: expect.stringContaining('INTERNAL: of its own') as string }],
])('last words (%s) that come after the exit of who said them still count', async (mode, expected) => {
  const { ended, lives } = await live(mode, { maxRestarts: 1 }, {}, 0, 300)
  expect(ended).toMatchObject(expected)
  expect(lives.filter(({ state }) => state === 'starting')).toHaveLength(1)
})

test('by default a step is tried three times', { timeout: 30 * SECONDS }, async () => {
  const { ended, lives } = await live('crash-at', { maxRestarts: undefined }, { FAKE_CRASH_STEP: '0' })
  expect(lives.filter(({ state }) => state === 'starting')).toHaveLength(3)
  expect(ended).toMatchObject({ message: expect.stringMatching(/failed 3 times in a row without getting past step 0/) as string })
})

test.each(['exit', 'kill'])('all that a worker writes reaches its log, whatever it is and however it ends (%s)', async (end) => {
  const { ended, log } = await live(`flood-${end}`)
  const lines = log().split('\n')
  expect(lines.filter((line) => line.startsWith('line '))).toHaveLength(20_000)
  expect(lines.find((line) => line.startsWith('xxx'))).toHaveLength(5_000_000)
  expect(log()).toMatch(/not UTF-8: \ufffd\ufffd$/)
  // The message has the end of it, and stays short.
  expect(ended).toMatchObject({ code: 'WORKER_GONE', message: expect.stringMatching(/…x+\n.*not UTF-8: \ufffd\ufffd$/) as string })
  expect((ended as Error).message.length).toBeLessThan(5000)
})
