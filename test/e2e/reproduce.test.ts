/** reproduce(): a recipe that is cut off, by a signal of its caller or by SIGKILL, goes on where it was and ends with the same table. */
import { spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { ConfigError } from '../../ts/index.ts'
import { reproduce, type Reproduction } from '../../ts/recipe/reproduce.ts'
import type { Recipe } from '../../ts/recipe/recipe.ts'
import { TINY_RECIPE } from '../fixture/tiny-recipe.ts'
import { eventsOf, readEvents, temporaryFolder, until } from './run.ts'

const SECONDS = 1000
const PROGRAM = join(import.meta.dirname, '..', 'fixture', 'tiny-recipe.ts')

const STRAIGHT = mkdtempSync(join(tmpdir(), 'immiscible-e2e-'))
afterAll(() => rmSync(STRAIGHT, { recursive: true, force: true }))

/** Undisturbed, from its first run to its table. */
let straight: Promise<Reproduction> | undefined
const runStraight = (): Promise<Reproduction> => (straight ??= reproduce(TINY_RECIPE, { seeds: 1, outputDir: join(STRAIGHT, 'out') }))

const eventsFile = (folder: string, cell: string): string => join(folder, 'runs', cell, 'events.jsonl')

test('runs each arm once, and prints what it measured', { timeout: 600 * SECONDS }, async () => {
  const { folder, text, context } = await runStraight()
  expect(context.runs.map(({ arm, seed }) => [arm, seed])).toEqual([
    ['as drawn', 0],
    ['assigned', 0],
  ])
  for (const { curves } of context.runs) {
    expect(curves).toMatchObject({ outcome: 'finished', numSteps: 40 })
    expect(curves.evaluations.map(({ step }) => step)).toEqual([10, 20, 30, 40])
  }
  const [asDrawn, assigned] = context.runs.map(({ curves }) =>
    curves.evaluations.at(-1)?.measures.find(({ name }) => name === 'fdClassifier'),
  )
  expect(asDrawn?.value).not.toBe(assigned?.value)
  expect(text).toContain(`| ${asDrawn?.value?.toFixed(2)} |`)
  expect(text).toContain('nothing that matters')
  expect(readFileSync(join(folder, 'report.md'), 'utf8')).toBe(text)
  const { runs } = JSON.parse(readFileSync(join(folder, 'report.json'), 'utf8')) as { runs: { stateSha256: string; configHash: string }[] }
  for (const run of runs)
    expect([run.stateSha256, run.configHash]).toEqual([expect.stringMatching(/^[0-9a-f]{64}$/), expect.stringMatching(/^[0-9a-f]{64}$/)])
})

test(
  'killed in its second run, then aborted there, it keeps the first and ends with the same table',
  { timeout: 600 * SECONDS },
  async () => {
    const expected = await runStraight()
    const outputDir = join(temporaryFolder(), 'out')
    const child = spawn(process.execPath, [PROGRAM, outputDir], { stdio: ['ignore', 'ignore', 'pipe'] })
    let said = ''
    child.stderr.on('data', (data: Buffer) => (said += data.toString()))
    await until('a measurement of the second run', 120, () => /assigned, seed 0: step 10/.test(said))
    child.kill('SIGKILL')
    const first = eventsFile(outputDir, 'as-drawn-seed-0')
    const { mtimeMs } = statSync(first)

    const controller = new AbortController()
    const aborted = reproduce(TINY_RECIPE, {
      seeds: 1,
      outputDir,
      signal: controller.signal,
      log(line) {
        if (/assigned, seed 0: step 30/.test(line)) controller.abort()
      },
    })
    await expect(aborted).rejects.toMatchObject({ code: 'ABORTED' })
    const { text } = await reproduce(TINY_RECIPE, { seeds: 1, outputDir })
    expect(text).toBe(expected.text)
    expect(statSync(first).mtimeMs).toBe(mtimeMs)
    expect(eventsOf(readEvents(join(outputDir, 'runs', 'assigned-seed-0')), 'run')).toHaveLength(3)
  },
)

test('a folder whose runs were made by other settings is refused, and nothing is trained', { timeout: 600 * SECONDS }, async () => {
  const { folder } = await runStraight()
  const written = JSON.parse(readFileSync(join(folder, 'recipe.json'), 'utf8')) as object
  await expect(reproduce(other(TINY_RECIPE), { seeds: 1, outputDir: folder })).rejects.toThrow(ConfigError)
  await expect(reproduce(other(TINY_RECIPE), { seeds: 1, outputDir: folder })).rejects.toThrow(/as-drawn-seed-0/)
  expect(JSON.parse(readFileSync(join(folder, 'recipe.json'), 'utf8'))).toEqual(written)
})

test.each([
  ['seeds', { seeds: 0 }],
  ['jobs', { jobs: 1.5 }],
])('%s that are no count are refused', async (field, options) => {
  await expect(reproduce(TINY_RECIPE, { ...options, outputDir: join(temporaryFolder(), 'out') })).rejects.toThrow(
    `${field}: expected an integer`,
  )
})

test('more seeds, two runs at a time: those that are there stay as they are', { timeout: 600 * SECONDS }, async () => {
  const { folder, context } = await runStraight()
  const before = context.runs.map(({ runFolder }) => statSync(join(runFolder, 'events.jsonl')).mtimeMs)
  const more = await reproduce(TINY_RECIPE, { seeds: 2, jobs: 2, outputDir: folder })
  expect(more.context.runs.map(({ arm, seed, curves }) => [arm, seed, curves.outcome])).toEqual([
    ['as drawn', 0, 'finished'],
    ['assigned', 0, 'finished'],
    ['as drawn', 1, 'finished'],
    ['assigned', 1, 'finished'],
  ])
  expect(context.runs.map(({ runFolder }) => statSync(join(runFolder, 'events.jsonl')).mtimeMs)).toEqual(before)
})

test('of two runs at a time one fails: its error is told, and the other saves and can go on', { timeout: 600 * SECONDS }, async () => {
  const folder = temporaryFolder()
  const outputDir = join(folder, 'out')
  const module = join(folder, 'breaks.mjs')
  writeFileSync(
    module,
    `let calls = 0
    export default { name: 'breaks', candidatesPerImage: 1, assign(pool, images, noise, noiseIndex) {
      if (++calls > 100) throw new Error('planted')
      noiseIndex.forEach((_, image) => (noiseIndex[image] = image))
      return {}
    } }`,
  )
  const [{ settings }] = TINY_RECIPE.arms('small')
  const lasting = { label: 'lasting', settings: { ...settings, maxTrainSteps: 1000, evaluation: { everySteps: 0 } } }
  const broken = { label: 'broken', settings: { ...lasting.settings, assignment: module } }
  await expect(reproduce({ ...TINY_RECIPE, arms: () => [lasting, broken] }, { seeds: 1, jobs: 2, outputDir })).rejects.toThrow(/planted/)
  const { context } = await reproduce({ ...TINY_RECIPE, arms: () => [lasting] }, { seeds: 1, outputDir })
  expect(context.runs[0].curves).toMatchObject({ outcome: 'finished', numSteps: 1000 })
  expect(eventsOf(readEvents(context.runs[0].runFolder), 'run')).toHaveLength(2)
})

test('a folder of another recipe, or of another scale, is refused, though no run of it has our name', async () => {
  const outputDir = join(temporaryFolder(), 'out')
  const empty = { ...TINY_RECIPE, arms: () => [] }
  await reproduce(empty, { outputDir })
  await expect(reproduce({ ...empty, id: 'other' }, { outputDir })).rejects.toThrow(
    /of other at scale small: .*recipe\.json is of tiny at scale small/,
  )
  await expect(reproduce(empty, { scale: 'paper', outputDir })).rejects.toThrow(/of tiny at scale paper/)
  expect((await reproduce(empty, { outputDir })).context.runs).toEqual([])
})

test('the command that is printed has everything that decides about a number', async () => {
  const outputDir = join(temporaryFolder(), 'out')
  const inception = { weights: "/weights/it's.pt", sha256: 'a'.repeat(64), backend: 'torchscript' } as const
  const { folder, text } = await reproduce(
    { ...TINY_RECIPE, arms: () => [] },
    { paths: { cifar10: '/data/cifar-10' }, inception, lpips: 'lpips.safetensors', device: 'cpu', outputDir },
  )
  const command = [
    'npx immiscible reproduce tiny --scale small --path cifar10=/data/cifar-10',
    `--inception '/weights/it'\\''s.pt' --inception-sha256 ${'a'.repeat(64)} --inception-backend torchscript`,
    '--lpips lpips.safetensors --device cpu',
  ].join(' ')
  expect(text).toContain(`\n${command}\n`)
  expect(JSON.parse(readFileSync(join(folder, 'report.json'), 'utf8'))).toMatchObject({ command })
})

/** The same recipe, one step longer. */
function other(recipe: Recipe): Recipe {
  return { ...recipe, arms: (scale) => recipe.arms(scale).map((arm) => ({ ...arm, settings: { ...arm.settings, maxTrainSteps: 41 } })) }
}
