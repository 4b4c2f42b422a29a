/** reproduce(): a recipe that is cut off, by a signal of its caller or by SIGKILL, goes on where it was and ends with the same table. */
import { spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs'
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

/** The same recipe, one step longer. */
function other(recipe: Recipe): Recipe {
  return { ...recipe, arms: (scale) => recipe.arms(scale).map((arm) => ({ ...arm, settings: { ...arm.settings, maxTrainSteps: 41 } })) }
}
