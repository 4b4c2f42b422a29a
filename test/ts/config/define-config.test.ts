/** What an editor makes of a config: defineConfig() by tsc, JSON and YAML by the schema that the package ships. */
import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { folderWith } from './load.ts'
import { typeCheck } from './type-check.ts'

/** As text of the body of defineConfig(), which is JSON as well where `json` has it. */
const RIGHT: readonly object[] = [
  {},
  { dataset: 'digits' },
  { dataset: { kind: 'emoji', resolution: 16 }, objective: 'flow', network: 'tiny', assignment: 'paper-knn' },
  { objective: { kind: 'consistency', preset: 'original', sigmaMax: 40 }, network: { preset: 'tiny', dropout: 0.1 } },
  { objective: { module: './mine.py' }, network: { initFrom: 'runs/a/pipeline' }, assignment: './mine.ts' },
  { assignment: { kind: 'quantized', poolSize: 512, within: 'label' }, optimizer: { lrScheduler: 'cosine' } },
  { assignment: { kind: 'paper-knn', candidates: 3 }, worker: { device: 'cpu' }, tracking: { reportTo: [] } },
  { $schema: './config.schema.json', seed: 1, runs: { a: { assignment: 'linear' }, b: { outputDir: 'x', maxTrainSteps: 9 } } },
]

const WRONG: readonly (readonly [config: object, what: string])[] = [
  [{ optimiser: {} }, 'optimiser'],
  [{ optimizer: { learnigRate: 1 } }, 'learnigRate'],
  [{ optimizer: { learningRate: 'fast' } }, 'learningRate'],
  [{ dataset: 'mnist' }, 'dataset'],
  [{ dataset: { kind: 'digits', resolution: 8 } }, 'resolution'],
  [{ objective: { kind: 'flow', sigmaMax: 4 } }, 'sigmaMax'],
  [{ network: 'huge' }, 'network'],
  [{ assignment: { kind: 'linear', candidates: 3 } }, 'candidates'],
  [{ runs: { a: { sed: 1 } } }, 'sed'],
  [{ runs: { a: { assignment: { kind: 'nearest', metric: 'l2' } } } }, 'metric'],
]

const toModule = (config: object): string =>
  `import { defineConfig } from 'immiscible'\nexport default defineConfig(${JSON.stringify(config)})\n`

test('tsc takes what is right, and refuses each mistake where it stands', { timeout: 120_000 }, () => {
  const right = RIGHT.map((config, index) => [`right-${index}.ts`, toModule(config)] as const)
  const wrong = WRONG.map(([config], index) => [`wrong-${index}.ts`, toModule(config)] as const)
  const own = `import { defineConfig, quantized, type ConfigFile } from 'immiscible'
const shared: ConfigFile = { dataset: 'digits' }
export default defineConfig({ ...shared, assignment: quantized(), runs: { url: { assignment: new URL('./mine.ts', import.meta.url) } } })
`
  const said = typeCheck(folderWith(Object.fromEntries([...right, ...wrong, ['right-own.ts', own]])))
  expect(said.filter((line) => line.includes('right-'))).toEqual([])
  for (const [index, [, what]] of WRONG.entries()) {
    const lines = said.filter((line) => line.includes(`wrong-${index}.ts`))
    expect(lines, `wrong-${index}: ${what}`).toHaveLength(1)
    const column = Number(/\((?:\d+),(\d+)\)/.exec(lines[0])?.[1])
    expect(
      toModule(WRONG[index][0])
        .split('\n')[1]
        .slice(column - 1),
    ).toMatch(new RegExp(`^"${what}"`))
  }
})

test('the shipped schema takes the same and refuses the same', () => {
  const text = readFileSync(new URL('../../../protocol/config.schema.json', import.meta.url), 'utf8')
  const schema = z.fromJSONSchema(JSON.parse(text) as z.core.JSONSchema.JSONSchema)
  for (const config of RIGHT) expect(schema.safeParse(config), JSON.stringify(config)).toMatchObject({ success: true })
  for (const [config] of WRONG) expect(schema.safeParse(config), JSON.stringify(config)).toMatchObject({ success: false })
})
