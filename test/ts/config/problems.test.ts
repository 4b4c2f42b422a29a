/** What is wrong with a config names where it was written, and what was probably meant. */
import { expect, test } from 'vitest'
import { ConfigError, listConfigFields, loadConfig } from '../../../ts/index.ts'
import { folderWith, load, type Layers } from './load.ts'

async function problemsOf(loading: Promise<unknown>): Promise<string[]> {
  const error = await loading.then(
    () => undefined,
    (reason: unknown) => reason,
  )
  if (!(error instanceof ConfigError)) throw new Error(`expected a ConfigError, got ${String(error)}`)
  return error.problems.map(({ path, message }) => `${path}: ${message}`)
}

const cases: readonly (readonly [name: string, layers: Layers, problem: string | RegExp])[] = [
  ['a value in the file', { file: { seed: -1 } }, 'seed: expected at least 0, got -1 (file immiscible.config.json)'],
  ['a key of a run', { run: { sed: 1 } }, /^sed: unknown key.* \(file immiscible\.config\.json, run only\)$/],
  [
    'a key in the file',
    { file: { optimizer: { learnigRate: 1 } } },
    "optimizer.learnigRate: unknown key; did you mean 'learningRate'? (file immiscible.config.json)",
  ],
  [
    'an entry of a list',
    { file: { network: { downBlockTypes: ['DownBlock2D', 'Down'] } } },
    /^network\.downBlockTypes\[1\]: .*\(file immiscible\.config\.json\)$/,
  ],
  ['text of a variable', { env: { IMMISCIBLE_SEED: 'many' } }, "IMMISCIBLE_SEED: expected a whole number, got 'many'"],
  [
    'a boolean variable',
    { env: { IMMISCIBLE_TRAINING__TORCH_COMPILE: 'yes' } },
    "IMMISCIBLE_TRAINING__TORCH_COMPILE: expected true or false, got 'yes'",
  ],
  [
    'options that are no JSON',
    { env: { IMMISCIBLE_OBJECTIVE__OPTIONS: '{a' } },
    "IMMISCIBLE_OBJECTIVE__OPTIONS: expected a JSON object, got '{a'",
  ],
  [
    'a variable that is none',
    { env: { IMMISCIBLE_MAX_TRAIN_STEP: '5' } },
    "IMMISCIBLE_MAX_TRAIN_STEP: unknown variable; did you mean 'IMMISCIBLE_MAX_TRAIN_STEPS'?",
  ],
  [
    'a variable of the environment, misspelt',
    { env: { IMMISCIBLE_PYTHN: 'x' } },
    "IMMISCIBLE_PYTHN: unknown variable; did you mean 'IMMISCIBLE_PYTHON'?",
  ],
  ['a value of a variable', { env: { IMMISCIBLE_EMA__DECAY: '1' } }, 'ema.decay: expected less than 1, got 1 (env IMMISCIBLE_EMA__DECAY)'],
  [
    'a name by flag',
    { flags: { 'assignment.kind': 'quantised' } },
    /got 'quantised'; did you mean 'quantized'\? \(flag --assignment\.kind\)$/,
  ],
]

test.each(cases)('%s', async (_name, layers, problem) => {
  const problems = await problemsOf(load(layers))
  expect(problems).toHaveLength(1)
  if (typeof problem === 'string') expect(problems[0]).toBe(problem)
  else expect(problems[0]).toMatch(problem)
})

test('a variable for every field, with text that reads back as the value; those of Python and the worker are none', async () => {
  const listed = listConfigFields().map(({ path }) => `IMMISCIBLE_${path.replaceAll('.', '__').replaceAll(/[A-Z]/g, '_$&').toUpperCase()}`)
  expect(new Set(listed).size).toBe(listed.length)
  const ours = ['PYTHON', 'HOME', 'TOKEN', 'CONTROL', 'DATA', 'KEY_FILE', 'LEASE_SECONDS'].map((name) => `IMMISCIBLE_${name}`)
  expect(listed.filter((name) => ours.includes(name))).toEqual([])
  const before = (await load({})).config
  const env = { ...Object.fromEntries(ours.map((name) => [name, 'x'])), IMMISCIBLE_SEED: '', OTHER: '1' }
  expect((await load({ env })).config).toEqual(before)
})

test('runs: none chosen, a misspelt one, one of a file without runs, one without a file', async () => {
  const file = JSON.stringify({ dataset: 'digits', runs: { baseline: {}, quantized: {} } })
  const folder = folderWith({ 'immiscible.config.json': file })
  const run = (name?: string): Promise<unknown> => loadConfig({ folder, env: {}, ...(name !== undefined && { run: name }) })
  const names = '--run: expected one of the runs of immiscible.config.json (baseline, quantized), got'
  expect(await problemsOf(run())).toEqual([`${names} nothing`])
  expect(await problemsOf(run('quantised'))).toEqual([`${names} 'quantised'; did you mean 'quantized'?`])
  expect(await problemsOf(run('toString'))).toEqual([`${names} 'toString'`])
  expect(await problemsOf(load({}, { run: 'x' }))).toEqual(["--run: expected none, since immiscible.config.json names no runs, got 'x'"])
  const empty = folderWith()
  expect(await problemsOf(loadConfig({ folder: empty, env: {}, run: 'x' }))).toEqual([
    `--run: expected a config file that names runs, got none in ${empty}`,
  ])
  expect(await run('baseline')).toMatchObject({ run: 'baseline', config: { outputDir: 'runs/baseline' } })
})
