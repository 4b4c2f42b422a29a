/** Python from TypeScript in programs of their own: Node ends on every path, no Python is left; and on a finished run: samples, metrics, a measured run. */
import { spawn } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { beforeAll, describe, expect, test } from 'vitest'
import { sampleRun, trainImmiscible } from '../../ts/index.ts'
import { computeMetric, judgeFolder, loadPipeline, openPython, withMetric, type Python } from '../../ts/python/index.ts'
import { isAlive, temporaryFolder, TINY, until } from './run.ts'

const ROOT = join(import.meta.dirname, '..', '..')
const CALLED = 'test/fixture/python/called.py'
const MODULE = JSON.stringify(join(ROOT, 'ts', 'python', 'index.ts'))
const SLEEP = `python.call('${CALLED}:sleep', [1000])`
/** Long enough for a Python to start to sleep. */
const ASLEEP = 'await new Promise((done) => setTimeout(done, 300))'

interface Ended {
  readonly code: number | null
  readonly signal: string | null
  readonly pid: number
  readonly stderr: string
}

/** Runs a program that opens Python and does `body`, which has `python`; `signal`: sent once it has said 'now'. */
async function runProgram(body: string, signal?: NodeJS.Signals): Promise<Ended> {
  const program = `
    import { openPython } from ${MODULE}
    const say = (text) => process.stdout.write(text + '\\n')
    const python = await openPython()
    say(String(python.pid))
    ${body}`
  const child = spawn(process.execPath, ['--input-type=module', '-e', program], { cwd: ROOT, stdio: ['ignore', 'pipe', 'pipe'] })
  const said = { stdout: '', stderr: '' }
  for (const stream of ['stdout', 'stderr'] as const) child[stream].on('data', (chunk: Buffer) => (said[stream] += chunk.toString()))
  const closed = new Promise<[number | null, NodeJS.Signals | null]>((done) => child.once('exit', (code, name) => done([code, name])))
  if (signal) {
    await until('the program to be there', 30, () => said.stdout.includes('now'))
    // Control: what must be gone afterwards is there.
    expect(isAlive(Number.parseInt(said.stdout))).toBe(true)
    child.kill(signal)
  }
  const deadline = setTimeout(() => child.kill('SIGKILL'), 30_000)
  const [code, name] = await closed
  clearTimeout(deadline)
  return { code, signal: name, pid: Number.parseInt(said.stdout), stderr: said.stderr }
}

test.each<[path: string, body: string, expected: { code: number | null; signal?: string; says?: RegExp }, signal?: NodeJS.Signals]>([
  ['close()', "await python.call('math:sqrt', [4]); await python.close()", { code: 0 }],
  ['await using', '{ await using own = python; await own.call("math:sqrt", [4]) }', { code: 0 }],
  ['never closed, never called', '', { code: 0 }],
  ['never closed, called', "await python.call('math:sqrt', [4])", { code: 0 }],
  ['never closed, a call that nobody waits for', `void python.call('${CALLED}:sleep', [0.3]).then(() => process.exit(4))`, { code: 4 }],
  ['an error', "await python.call('math:sqrt', [4]); throw new Error('mine')", { code: 1, says: /mine/ }],
  ['an error of Python that nobody catches', `await python.call('${CALLED}:fail', ['theirs'])`, { code: 1, says: /ValueError: theirs/ }],
  ['an error in the middle of a call', `void ${SLEEP}; ${ASLEEP}; throw new Error('mine')`, { code: 1, says: /mine/ }],
  ['process.exit()', 'process.exit(5)', { code: 5 }],
  ['process.exit() in the middle of a call', `void ${SLEEP}; ${ASLEEP}; process.exit(6)`, { code: 6 }],
  ['process.exit() while another starts', 'void openPython(); setTimeout(() => process.exit(7), 40)', { code: 7 }],
  [
    'Python is killed in a call',
    `setTimeout(() => process.kill(python.pid, 'SIGKILL'), 300); await ${SLEEP}`,
    { code: 1, says: /PythonExit: Python was ended by SIGKILL/ },
  ],
  ['Python is killed and nobody asks', "process.kill(python.pid, 'SIGKILL'); setTimeout(() => undefined, 300)", { code: 0 }],
  ...(['SIGINT', 'SIGTERM', 'SIGKILL'] as const).flatMap((signal): [string, string, { code: null; signal: string }, NodeJS.Signals][] => [
    [`${signal} while it waits`, "say('now'); setInterval(() => undefined, 1000)", { code: null, signal }, signal],
    [`${signal} in the middle of a call`, `void ${SLEEP}; ${ASLEEP}; say('now')`, { code: null, signal }, signal],
  ]),
  [
    'SIGINT that the program handles, by closing',
    `process.on('SIGINT', () => python.close()); say('now'); await ${SLEEP}.catch(() => undefined)`,
    { code: 0 },
    'SIGINT',
  ],
])('Node ends, and no Python is left: %s', async (_, body, expected, signal) => {
  const ended = await runProgram(body, signal)
  expect({ code: ended.code, signal: ended.signal }, ended.stderr).toEqual({ code: expected.code, signal: expected.signal ?? null })
  if (expected.says) expect(ended.stderr).toMatch(expected.says)
  else expect(ended.stderr.replaceAll('printed while it was imported', '').trim()).toBe('')
  await until('Python to be gone', 10, () => !isAlive(ended.pid))
})

describe('on a finished run', () => {
  let folder: string
  let runFolder: string
  let python: Python

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'immiscible-e2e-'))
    runFolder = join(folder, 'run')
    await trainImmiscible({ ...TINY, maxTrainSteps: 10, outputDir: runFolder })
    python = await openPython()
    return async () => {
      await python.close()
      rmSync(folder, { recursive: true, force: true })
    }
  })

  test('a loaded pipeline draws what sampleRun() draws, to arrays and files, as often as one likes', async () => {
    const out = temporaryFolder()
    await using pipeline = await loadPipeline(python, runFolder, { device: 'cpu' })
    expect(pipeline).toMatchObject({ sampler: 'ddim', device: 'cpu', numClasses: 0, imageShape: [8, 8, 1] })
    const options = { numImages: 4, seed: 3, numInferenceSteps: 2 }
    const images = await pipeline.sample(options)
    expect(images.shape).toEqual([4, 8, 8, 1])
    expect(images.data).toBeInstanceOf(Uint8Array)
    expect(await pipeline.sample(options)).toEqual(images)
    expect(await pipeline.sample({ ...options, seed: 4 })).not.toEqual(images)
    const floats = await pipeline.sample({ ...options, dtype: 'float32' })
    expect(Uint8Array.from(floats.data, (value) => Math.round((Math.min(1, Math.max(-1, value)) + 1) * 127.5))).toEqual(images.data)

    const paths = await pipeline.sampleToFiles(join(out, 'single'), options)
    expect(paths).toEqual([0, 1, 2, 3].map((at) => join(out, 'single', `00000${at}.png`)))
    const read = (await python.call('immiscible_worker.images:read_images', [join(out, 'single')])) as typeof images
    expect(read).toEqual(images)
    await expect(pipeline.sampleToFiles(join(out, 'single'), options)).rejects.toThrow(/expected an empty or new folder/)

    const [grid] = await pipeline.sampleToFiles(join(out, 'grid.png'), options)
    expect(readFileSync(grid)).toEqual(readFileSync(await sampleRun(runFolder, join(out, 'same.png'), options)))
  })

  test('what cannot be sampled is said, and one that was unloaded', async () => {
    await expect(loadPipeline(python, folder)).rejects.toMatchObject({ code: 'RUN_FOLDER' })
    const pipeline = await loadPipeline(python, join(runFolder, 'pipeline'))
    await expect(pipeline.sample({ classLabels: [1] })).rejects.toThrow(/class labels: expected none, since the model is unconditional/)
    await expect(pipeline.sample({ solver: 'dopri5' })).rejects.toThrow(/solver: only the flow sampler has it/)
    await expect(pipeline.sample({ numImages: 0 })).rejects.toThrow(/number of images: expected 1 or more, got 0/)
    await pipeline.unload()
    await expect(pipeline.sample()).rejects.toThrow(/was unloaded/)
  })

  test("a sampler that does not fit the model is a warning, as sampleRun()'s", async () => {
    const warnings: string[] = []
    await using pipeline = await loadPipeline(python, runFolder, { onWarning: (_, code) => warnings.push(code) })
    await pipeline.sample({ numImages: 1, numInferenceSteps: 2 })
    expect(warnings).toEqual([])
    await pipeline.sample({ numImages: 1, numInferenceSteps: 2, eta: 1 })
    expect(warnings).toEqual(['SAMPLER_COUPLED'])
  })

  test('a metric of the user over a folder, and the ready one', { timeout: 180_000 }, async () => {
    const out = join(temporaryFolder(), 'images')
    await using pipeline = await loadPipeline(python, runFolder, { device: 'cpu' })
    await pipeline.sampleToFiles(out, { numImages: 64, numInferenceSteps: 2 })
    const once = (await computeMetric(python, `${CALLED}:sharpness`, out)) as number
    expect(once).toBeGreaterThan(0)
    expect(await computeMetric(python, `${CALLED}:sharpness`, out, { scale: 2 })).toBeCloseTo(2 * once)
    const { confidentShare, heldOutAccuracy } = await judgeFolder(python, out)
    expect(heldOutAccuracy).toBeGreaterThan(0.9)
    expect(confidentShare).toBeLessThan(0.5) // of a network that was trained for ten steps
    await expect(judgeFolder(python, join(runFolder, 'samples'))).rejects.toThrow(/expected images/)
  })

  test('a run is measured by metrics that work, fail and are slow, and trains as it does without them', async () => {
    const outputDir = join(temporaryFolder(), 'run')
    const config = { ...TINY, maxTrainSteps: 10, sampling: { ...TINY.sampling, everySteps: 5 } }
    const run = withMetric(
      withMetric(
        withMetric(trainImmiscible({ ...config, outputDir }), python, {
          metric: `${CALLED}:sharpness`,
          name: 'sharp',
          options: { scale: 2 },
        }),
        python,
        { metric: `${CALLED}:broken_metric` },
      ),
      python,
      { metric: `${CALLED}:slow_metric`, on: 'checkpoint' },
    )
    const events = []
    for await (const event of run) events.push(event)
    const { series, outcome, stateSha256 } = await run
    const samples = events.filter(({ kind }) => kind === 'sample')
    expect(samples).toHaveLength(2)
    expect(outcome).toBe('finished')
    expect(series['sharp'].map(({ step }) => step)).toEqual([5, 10])
    expect(series['sharp'][1].value).toBe(await computeMetric(python, `${CALLED}:sharpness`, series['sharp'][1].path, { scale: 2 }))
    expect(series['broken_metric']).toEqual([])
    expect(series['slow_metric'].map(({ value }) => value)).toEqual(['step-000000000010'])
    expect(events.filter((event) => event.kind === 'metric').map(({ name, step }) => [name, step])).toEqual(
      expect.arrayContaining([
        ['sharp', 5],
        ['sharp', 10],
        ['slow_metric', 10],
      ]),
    )
    const warnings = events.filter((event) => event.kind === 'warning')
    expect(warnings.map(({ code, message }) => [code, message])).toEqual([
      ['METRIC_FAILED', `metric of step 5: ${CALLED}:broken_metric: RuntimeError: cannot measure step-000000000005.png`],
      ['METRIC_FAILED', `metric of step 10: ${CALLED}:broken_metric: RuntimeError: cannot measure step-000000000010.png`],
    ])
    const plain = await trainImmiscible({ ...config, outputDir: join(temporaryFolder(), 'run') })
    expect(stateSha256).toBe(plain.stateSha256)
  })

  test('a run whose metrics lose their Python ends well, and one that fails fails', async () => {
    const own = await openPython()
    await own.close()
    const outputDir = join(temporaryFolder(), 'run')
    const run = withMetric(trainImmiscible({ ...TINY, maxTrainSteps: 2, outputDir }), own, { metric: 'math:sqrt', on: 'checkpoint' })
    const warnings = []
    for await (const event of run) if (event.kind === 'warning') warnings.push(event.message)
    expect(warnings).toEqual([expect.stringMatching(/metric of step 2: math:sqrt: PythonExit/)])
    expect(await run).toMatchObject({ outcome: 'finished', series: { sqrt: [] } })
    expect(readdirSync(outputDir)).toContain('pipeline')
    await expect(withMetric(trainImmiscible({ ...TINY, outputDir }), own, { metric: 'math:sqrt' })).rejects.toMatchObject({
      code: 'RUN_FOLDER',
    })
  })
})
