/** Assigned batches in a Python loop of the user's own: the real server, the real sockets, the real iterator. */
import { execFile, spawn, type ChildProcess } from 'node:child_process'
import { createHash } from 'node:crypto'
import { readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { expect, onTestFinished, test } from 'vitest'
import { resolveConfig } from '../../protocol/index.ts'
import { createStrategy } from '../../ts/assignment/table.ts'
import { loadDigits } from '../../ts/dataset/digits.ts'
import { serveBatches, type Serving } from '../../ts/index.ts'
import { threadKernel } from '../../ts/kernel/simd/simd.ts'
import { createPoolSource } from '../../ts/pipeline/source.ts'
import { pythonPath } from '../fixture/python.ts'
import { temporaryFolder, TINY, until } from './run.ts'

const PY = fileURLToPath(new URL('../../py', import.meta.url))
const ENV = { ...process.env, PYTHONPATH: PY, OMP_NUM_THREADS: '1' }

/** Prints a line per batch: step, SHA-256 of its images (as pixels) and of its noise (as float16), labels. */
const PRINT = `
import hashlib, sys
import torch
from immiscible_worker import AssignedBatches
from immiscible_worker.pixels import to_pixels
sha = lambda tensor: hashlib.sha256(tensor.numpy().tobytes()).hexdigest()
folder, start, pause = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
with AssignedBatches(folder, start_step=start, timeout_seconds=20) as batches:
    assert len(batches) == batches.config.max_train_steps - start
    for batch in batches:
        assert batch.images.dtype == batch.noise.dtype == torch.float32 and batch.labels.dtype == torch.int64
        assert batch.timesteps(10).min() >= 0 and batch.timesteps(10).max() < 10
        print(batch.step, sha(to_pixels(batch.images)), sha(batch.noise.half()), sha(batch.labels.int()), flush=True)
        if pause:
            import time
            time.sleep(pause)
`

function serve(changes: Partial<typeof TINY> = {}): { serving: Serving; folder: string; log: string[] } {
  const folder = temporaryFolder()
  const log: string[] = []
  const input = { ...TINY, maxTrainSteps: 12, worker: { ...TINY.worker, leaseSeconds: 2 }, ...changes, outputDir: folder }
  const serving = serveBatches(input, { onLog: (line) => log.push(line) })
  onTestFinished(async () => {
    serving.stop()
    await serving.catch(() => undefined)
  })
  return { serving, folder, log }
}

function startClient(
  folder: string,
  start = 0,
  pause = 0,
): ChildProcess & { lines: string[]; errors: () => string; exited: Promise<number | null> } {
  const child = spawn(pythonPath(), ['-c', PRINT, folder, String(start), String(pause)], { env: ENV })
  onTestFinished(() => void child.kill('SIGKILL'))
  let [out, err] = ['', '']
  const lines: string[] = []
  child.stdout.on('data', (chunk: Buffer) => {
    out += chunk.toString()
    lines.splice(0, lines.length, ...out.split('\n').filter(Boolean))
  })
  child.stderr.on('data', (chunk: Buffer) => (err += chunk.toString()))
  const exited = new Promise<number | null>((resolve) => child.on('close', resolve))
  return Object.assign(child, { lines, errors: () => err, exited })
}

/** What the pipeline makes, a line per step. */
function expectedLines(maxTrainSteps = 12): string[] {
  const resolved = resolveConfig({ ...TINY, maxTrainSteps, outputDir: 'unused' })
  if ('problems' in resolved) throw new Error('bad config')
  const { config } = resolved
  const source = createPoolSource(config, loadDigits(), createStrategy(config.assignment), threadKernel())
  const sha = (data: Uint8Array | undefined): string =>
    createHash('sha256')
      .update(data ?? '')
      .digest('hex')
  return Array.from({ length: maxTrainSteps }, (_, step) => {
    const [batch] = source.pool(step)
    const of = (name: string): string => sha(batch?.tensors.find(({ spec }) => spec.name === name)?.data)
    return `${step} ${of('images')} ${of('noise')} ${of('labels')}`
  })
}

test(
  'a client gets the batches of the run, bit for bit, from the step it asks for; one client after the other',
  { timeout: 60_000 },
  async () => {
    const { folder, log } = serve()
    const first = startClient(folder)
    expect(await first.exited, first.errors()).toBe(0)
    expect(first.lines).toEqual(expectedLines())
    const second = startClient(folder, 7)
    expect(await second.exited, second.errors()).toBe(0)
    expect(second.lines).toEqual(expectedLines().slice(7))
    expect(log.filter((line) => line.includes('done after step 12'))).toHaveLength(2)
  },
)

test('the example of the documentation trains, through the command line', { timeout: 60_000 }, async () => {
  const folder = temporaryFolder()
  const cli = fileURLToPath(new URL('../../ts/cli/main.ts', import.meta.url))
  const flags = ['--dataset', 'digits', '--global-batch-size', '64', '--max-train-steps', '41', '--output-dir', folder]
  const server = spawn(process.execPath, [cli, 'serve', ...flags], { stdio: ['ignore', 'ignore', 'pipe'] })
  onTestFinished(() => void server.kill('SIGKILL'))
  const ended = new Promise((resolve) => server.on('close', resolve))
  const { stdout } = await promisify(execFile)(pythonPath(), [join(PY, 'examples', 'own_loop.py'), folder], { env: ENV })
  expect(
    stdout
      .trim()
      .split('\n')
      .map((line) => line.replace(/loss .*/, '')),
  ).toEqual(['step 0 ', 'step 20 ', 'step 40 '])
  server.kill('SIGINT')
  expect(await ended).toBe(0)
  expect(() => statSync(join(folder, 'serve.json'))).toThrow(/ENOENT/)
})

test('serve.json is for its owner only, and its token is asked for', { timeout: 60_000 }, async () => {
  const { serving, folder, log } = serve()
  await serving.folder
  const file = join(folder, 'serve.json')
  expect(statSync(file).mode & 0o777).toBe(0o600)
  const connection = JSON.parse(readFileSync(file, 'utf8')) as { token: string }
  writeFileSync(file, JSON.stringify({ ...connection, token: '0'.repeat(64) }))
  const stranger = startClient(folder)
  expect(await stranger.exited).not.toBe(0)
  expect(stranger.errors()).toMatch(/refused this client: token/)
  expect(log.join()).toMatch(/refused a worker: token/)
  const welcome = startClient(folder)
  expect(await welcome.exited, welcome.errors()).toBe(0)
})

test('a client that is killed makes room for the next', { timeout: 60_000 }, async () => {
  const { folder, log } = serve()
  const first = startClient(folder, 0, 0.2)
  await until('three batches', 30, () => first.lines.length >= 3)
  first.kill('SIGKILL')
  await until('the lease to run out', 30, () => log.some((line) => line.includes('silent')))
  const second = startClient(folder)
  expect(await second.exited, second.errors()).toBe(0)
  expect(second.lines).toEqual(expectedLines())
})

test('a server that goes away is an exception in the client, not a hang, and not the end of its process', { timeout: 60_000 }, async () => {
  const { serving, folder } = serve({ maxTrainSteps: 1000 })
  const client = startClient(folder, 0, 0.1)
  await until('three batches', 30, () => client.lines.length >= 3)
  serving.stop()
  await serving
  expect(await client.exited).toBe(1)
  expect(client.errors()).toMatch(/OrchestratorGoneError/)
})

test('a signal that was aborted before it began serves nobody and ends at once', async () => {
  const folder = temporaryFolder()
  await serveBatches({ ...TINY, outputDir: folder }, { signal: AbortSignal.abort() })
  expect(readdirSync(folder)).toEqual([])
})

test('no server, and a wrong config, are said', { timeout: 60_000 }, async () => {
  const program = `from immiscible_worker import AssignedBatches\nAssignedBatches('/nowhere', timeout_seconds=0.2)`
  await expect(promisify(execFile)(pythonPath(), ['-c', program], { env: ENV })).rejects.toThrow(/serve\.json: no such file/)
  await expect(serveBatches({ ...TINY, globalBatchSize: 0, outputDir: temporaryFolder() })).rejects.toThrow(/globalBatchSize/)
})

test('a server that cannot write its folder any more says so and ends', { timeout: 60_000 }, async () => {
  const folder = join(temporaryFolder(), 'served')
  const cli = fileURLToPath(new URL('../../ts/cli/main.ts', import.meta.url))
  const flags = ['--dataset', 'digits', '--global-batch-size', '8', '--max-train-steps', '3', '--output-dir', folder]
  const server = spawn(process.execPath, [cli, 'serve', ...flags], { stdio: ['ignore', 'ignore', 'pipe'] })
  onTestFinished(() => void server.kill('SIGKILL'))
  let said = ''
  server.stderr.on('data', (chunk: Buffer) => (said += chunk.toString()))
  const ended = new Promise((resolve) => server.on('close', resolve))
  const client = startClient(folder, 0, 0.5)
  await until('a batch', 30, () => client.lines.length > 0)
  rmSync(folder, { recursive: true })
  expect(await ended).toBe(2)
  expect(said).toMatch(/outputDir: cannot write .*serve\.json/)
})
