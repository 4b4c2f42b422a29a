/** The command line as a user types it: exit codes, Ctrl-C, and what is left when the orchestrator is killed. */
import { spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import type { RunEventOf } from '../../ts/index.ts'
import { eventsOf, isAlive, readEvents, temporaryFolder, TINY, until } from './run.ts'

const SECONDS = 1000
const CLI = fileURLToPath(new URL('../../ts/cli/main.ts', import.meta.url))

interface Place {
  readonly config: string
  readonly runFolder: string
  readonly env: NodeJS.ProcessEnv
  readonly temporary: string
}

function place(changes: object = {}): Place {
  const folder = temporaryFolder()
  const temporary = join(folder, 'tmp')
  mkdirSync(temporary)
  const config = join(folder, 'config.json')
  writeFileSync(config, JSON.stringify({ ...TINY, worker: { ...TINY.worker, leaseSeconds: 5 }, ...changes }))
  return { config, runFolder: join(folder, 'run'), env: { ...process.env, TMPDIR: temporary }, temporary }
}

function start({ config, runFolder, env }: Place): { child: ChildProcess; ended: Promise<{ code: number | null; said: string }> } {
  const child = spawn(process.execPath, [CLI, 'train', '--config', config, '--output-dir', runFolder], {
    env,
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  let said = ''
  child.stderr?.on('data', (chunk: Buffer) => (said += chunk.toString()))
  return { child, ended: new Promise((resolve) => child.once('close', (code) => resolve({ code, said }))) }
}

/** Waits for a step, and answers the worker's pid. */
async function firstStep(runFolder: string, step: number): Promise<number> {
  return until(`step ${step}`, 60, () => {
    if (!existsSync(join(runFolder, 'events.jsonl'))) return undefined
    const events = readEvents(runFolder)
    if (!eventsOf(events, 'step').some((event) => event.step >= step)) return undefined
    return eventsOf(events, 'worker').findLast(({ state }: RunEventOf<'worker'>) => state === 'ready')?.pid ?? undefined
  })
}

function immiscible(...args: string[]): { status: number | null; stdout: string; stderr: string } {
  return spawnSync(process.execPath, [CLI, ...args], { encoding: 'utf8' })
}

test.each([
  [['train', '--global-batch-size', '4000'], /globalBatchSize: expected at most the 1797 images of digits, got 4000/],
  [['train', '--assignment', 'hungarian'], /assignment\.kind: expected one of .*'quantized'.*, got 'hungarian'/],
  [['train', '--assignment', './nowhere.ts'], /\[assignment:module\] .*nowhere\.ts: cannot be read/],
  [['train', '--objective', 'ddpm'], /objective\.kind: expected one of 'ddim', 'consistency', 'flow', 'module', got 'ddpm'/],
  [['train', '--objective', 'consistency', '--max-train-steps', '3'], /objective\.discretizationSteps: expected at least 8/],
  [['train', '--network', 'huge'], /network\.preset: expected one of 'tiny', .*, got 'huge'/],
  [['train', '--seed', '-1'], /--seed|unknown option/],
  [['train', '--config', 'nowhere.json'], /--config: expected a file, got nowhere\.json, where there is none/],
  [['train', '--bogus'], /unknown option/],
  [['resume', 'nowhere'], /expected a run folder/],
  [['sample', 'nowhere'], /expected a run folder/],
  [['sample', 'nowhere', '--labels', '0,x'], /--labels.*expected a whole number/s],
  [['evaluate', 'nowhere', '--guidance-scale', 'much'], /--guidance-scale.*expected a number/s],
])('immiscible %j exits 2 with one clear message', (args, message) => {
  const folder = temporaryFolder()
  const needed = args[0] === 'train' ? ['--dataset', 'digits', '--output-dir', join(folder, 'run')] : []
  const { status, stderr } = immiscible(...args, ...needed)
  expect(stderr).toMatch(message)
  expect(status).toBe(2)
})

test('immiscible strategies lists them', () => {
  const { status, stdout } = immiscible('strategies')
  expect(status).toBe(0)
  for (const name of ['independent', 'linear', 'quantized', 'greedy', 'negated', 'nearest', 'paper-linear', 'paper-knn', './mine.ts']) {
    expect(stdout).toContain(name)
  }
  const entries = JSON.parse(immiscible('strategies', '--json').stdout) as { name: string; options: string[] }[]
  expect(entries.find(({ name }) => name === 'nearest')).toMatchObject({ options: ['poolSize', 'startStep', 'candidates', 'precision'] })
})

test(
  'sample draws with the sampler it is told, and refuses in one line what the model does not have',
  { timeout: 180 * SECONDS },
  async () => {
    const { config, runFolder, env } = place({ maxTrainSteps: 2 })
    expect(spawnSync(process.execPath, [CLI, 'train', '--config', config, '--output-dir', runFolder], { env }).status).toBe(0)
    const draw = (name: string, ...flags: string[]): { status: number | null; stderr: string; png: Buffer | undefined } => {
      const output = join(runFolder, name)
      const { status, stderr } = immiscible('sample', runFolder, '--output', output, ...flags)
      return { status, stderr, png: existsSync(output) ? readFileSync(output) : undefined }
    }
    const asTheRun = draw('run.png')
    expect(asTheRun.png).toEqual(readFileSync(join(runFolder, 'samples', 'step-000000000002.png')))
    const quadratic = draw('quadratic.png', '--timestep-spacing', 'quadratic', '--use-clipped-model-output', '--num-inference-steps', '5')
    expect(quadratic).toMatchObject({ status: 0 })
    expect(quadratic.png).not.toEqual(asTheRun.png)
    for (const [flags, message] of [
      [['--solver', 'dopri5'], /solver: only the flow sampler has it, this model's is ddim; got dopri5/],
      [['--labels', '0,1'], /class labels: expected none, since the model is unconditional, got \[0, 1\]/],
    ] as const) {
      const { status, stderr, png } = draw('refused.png', ...flags)
      expect(stderr).toMatch(message)
      expect(stderr.trimEnd().split('\n')).toHaveLength(1)
      expect([status, png]).toEqual([1, undefined])
    }
  },
)

test(
  'when the orchestrator is killed its worker ends within the lease, and the run goes on later',
  { timeout: 180 * SECONDS },
  async () => {
    const here = place()
    const { child, ended } = start(here)
    const worker = await firstStep(here.runFolder, 13)
    child.kill('SIGKILL')
    await ended
    await until('the worker to end', 8, () => !isAlive(worker))
    const resumed = spawnSync(process.execPath, [CLI, 'resume', here.runFolder], { env: here.env, encoding: 'utf8' })
    expect(resumed.stderr).toContain('finished after 60 steps')
    expect(resumed.status).toBe(0)
    expect(eventsOf(readEvents(here.runFolder), 'worker').findLast(({ state }) => state === 'ready')?.message).toContain('resumed from')
  },
)

test('Ctrl-C saves and ends with nothing left behind', { timeout: 120 * SECONDS }, async () => {
  const here = place({ maxTrainSteps: 100_000 })
  const { child, ended } = start(here)
  const worker = await firstStep(here.runFolder, 3)
  child.kill('SIGINT')
  const { code, said } = await ended
  expect(said).toContain('saving and ending')
  expect(code).toBe(0)
  expect(isAlive(worker)).toBe(false)
  expect(eventsOf(readEvents(here.runFolder), 'end')).toMatchObject([{ outcome: 'stopped' }])
  // torch leaves a cache folder of its own there.
  expect(readdirSync(here.temporary).filter((name) => name.startsWith('immiscible'))).toEqual([])
  expect(existsSync(join(here.runFolder, 'lock'))).toBe(false)
})

test('a second Ctrl-C ends at once, and the worker follows', { timeout: 120 * SECONDS }, async () => {
  const here = place({ maxTrainSteps: 100_000 })
  const { child, ended } = start(here)
  const worker = await firstStep(here.runFolder, 3)
  child.kill('SIGINT')
  child.kill('SIGINT')
  await until('a second signal to arrive', 10, () =>
    child.exitCode === null && child.signalCode === null ? void child.kill('SIGINT') : true,
  )
  expect([130, 0]).toContain((await ended).code)
  await until('the worker to end', 8, () => !isAlive(worker))
})
