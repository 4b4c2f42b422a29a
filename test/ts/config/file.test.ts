/** The same config as TypeScript, JavaScript, JSON and YAML; which file is taken; and what is said of one that cannot be. */
import { realpathSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { loadConfig, type LoadedConfig } from '../../../ts/index.ts'
import { folderWith, immiscible } from './load.ts'

const MODULE = `import { defineConfig } from 'immiscible'
export default defineConfig({ dataset: 'digits', maxTrainSteps: 7, optimizer: { learningRate: 0.5 }, runs: { a: { seed: 1 }, b: { assignment: 'linear' } } })
`
const TYPED = MODULE.replace('export default', 'const dropped: number | undefined = undefined\nvoid dropped\nexport default')
const JSON_TEXT = JSON.stringify({
  $schema: './node_modules/immiscible/dist/protocol/config.schema.json',
  dataset: 'digits',
  maxTrainSteps: 7,
  optimizer: { learningRate: 0.5 },
  runs: { a: { seed: 1 }, b: { assignment: 'linear' } },
})
const YAML = `# as the others
dataset: digits
maxTrainSteps: 7
optimizer:
  learningRate: 0.5
runs:
  a: { seed: 1 }
  b: { assignment: linear }
`
const FILES = { ts: TYPED, mts: TYPED, js: MODULE, mjs: MODULE, json: JSON_TEXT, yaml: YAML, yml: YAML }

const loadFrom = (folder: string, run?: string): Promise<LoadedConfig> => loadConfig({ folder, env: {}, ...(run !== undefined && { run }) })

test('every kind of file says the same, by its default name and by --config', () => {
  const configs: unknown[] = []
  for (const [ending, text] of Object.entries(FILES)) {
    const name = `immiscible.config.${ending}`
    const folder = folderWith({ [name]: text, 'package.json': '{"type":"module"}', [`other.${ending}`]: text })
    const found = configOf(folder, '--run', 'b')
    expect(found).toMatchObject({ file: join(realpathSync(folder), name), run: 'b' })
    expect(configOf(folder, '--run', 'b', '--config', `other.${ending}`).config).toEqual(found.config)
    configs.push(found.config)
  }
  expect(configs).toHaveLength(7)
  for (const config of configs) expect(config).toEqual(configs[0])
  expect(configs[0]).toMatchObject({
    maxTrainSteps: 7,
    optimizer: { learningRate: 0.5 },
    assignment: { kind: 'linear' },
    outputDir: 'runs/b',
  })
})

test('a config in a folder without the package imports the one that reads it', () => {
  const text = `import * as immiscible from 'immiscible'
export default immiscible.defineConfig({ dataset: 'digits', outputDir: Object.keys(immiscible).includes('trainImmiscible') ? 'the package' : 'another' })
`
  expect(configOf(folderWith({ 'immiscible.config.mjs': text })).config).toMatchObject({ outputDir: 'the package' })
})

test.each(['commonjs', 'module', undefined])('TypeScript is an ES module in a package of type %s, without a warning', (type) => {
  const folder = folderWith({ 'immiscible.config.ts': TYPED, 'package.json': JSON.stringify({ name: 'x', type }) })
  expect(configOf(folder, '--run', 'a').config).toMatchObject({ seed: 1 })
})

function configOf(folder: string, ...args: string[]): { file: string; run: string; config: object } {
  const { status, stdout, stderr } = immiscible(folder, ['config', '--json', ...args])
  expect([stderr, status]).toEqual(['', 0])
  return JSON.parse(stdout) as { file: string; run: string; config: object }
}

test.each([
  ['no stripping of types', 'export default {}', true, /expected Node 22\.18 or newer.*type stripping turned off; or write \.mjs/],
  ['syntax that is not stripped', 'export enum Kind { A }\nexport default {}', false, /immiscible\.config\.ts: cannot be read: .*enum/s],
  ['a package that is not there', "import 'left-pad-nowhere'", false, /immiscible\.config\.ts: cannot be read: .*left-pad-nowhere/],
])('TypeScript: %s is one clear error', (_name, text, isOff, message) => {
  const folder = folderWith({ 'immiscible.config.ts': text })
  // The sources of the package are TypeScript too, so what Node answers is what is set, not how it runs.
  const off = "data:text/javascript,Object.defineProperty(process.features,'typescript',{value:false})"
  const { status, stderr } = immiscible(folder, ['config'], isOff ? { NODE_OPTIONS: `--import ${off}` } : {})
  expect(stderr).toMatch(message)
  expect(stderr).not.toContain('    at ')
  expect(status).toBe(2)
})

test('a strategy object in a file goes to the run as it is, and a flag cannot change it', async () => {
  const text = `const assign = (pool, images, noise, noiseIndex) => noiseIndex.forEach((_, row) => (noiseIndex[row] = row))
export default { dataset: 'digits', outputDir: 'x', assignment: { name: 'mine', candidatesPerImage: 1, poolSize: 256, assign } }
`
  const folder = folderWith({ 'immiscible.config.mjs': text })
  const loaded = await loadFrom(folder)
  expect(loaded.input.assignment).toHaveProperty('assign')
  expect(loaded.config.assignment).toMatchObject({ kind: 'custom', name: 'mine', poolSize: 256 })
  expect(loaded.values.find(({ path }) => path === 'assignment.poolSize')?.source).toMatchObject({ kind: 'file' })
  const flags = (path: string, value: unknown): Promise<LoadedConfig> =>
    loadConfig({ folder, env: {}, flags: [{ path, value, name: '--flag' }] })
  await expect(flags('assignment.poolSize', 128)).rejects.toThrow(/assignment: expected nothing beside a strategy object.*got poolSize/)
  expect((await flags('assignment.kind', 'linear')).config.assignment.kind).toBe('linear')
})

test.each([
  [
    { 'immiscible.config.json': '{}', 'immiscible.config.ts': 'export default {}' },
    /config file: expected one in .*immiscible\.config\.ts, immiscible\.config\.json; choose with --config/,
  ],
  [{ 'immiscible.config.json': '{ "seed": }' }, /immiscible\.config\.json: cannot be read: .*JSON/],
  [{ 'immiscible.config.yaml': 'seed: 1\nseed: 2\n' }, /immiscible\.config\.yaml: cannot be read: .*unique.*line 2/s],
  [{ 'immiscible.config.yaml': 'seed: !!js/function "x"\n' }, /immiscible\.config\.yaml: cannot be read: .*tag/s],
  [{ 'immiscible.config.yaml': '- 1\n' }, /immiscible\.config\.yaml: expected a config, got an array/],
  [
    { 'immiscible.config.mjs': 'export const config = {}' },
    /immiscible\.config\.mjs: expected a config as `export default defineConfig\(\{ \.\.\. \}\)`, got undefined/,
  ],
  [{ 'immiscible.config.mjs': "throw new Error('not today')" }, /immiscible\.config\.mjs: cannot be read: not today/],
  [{ 'immiscible.config.json': '{ "__proto__": { "polluted": 1 } }' }, /__proto__: unknown key/],
  [{ 'immiscible.config.json': '{ "optimizer": { "__proto__": { "polluted": 1 } } }' }, /optimizer\.__proto__: unknown key/],
  [{ 'immiscible.config.json': '{ "constructor": { "prototype": { "polluted": 1 } } }' }, /constructor: unknown key/],
  [{ 'immiscible.config.json': '{ "runs": [] }' }, /runs: expected an object of named runs in immiscible\.config\.json, got \[\]/],
  [{ 'immiscible.config.json': '{ "runs": { "a": 1 } }' }, /runs\.a: expected an object in immiscible\.config\.json, got 1/],
])('%o is refused in one line', async (files: Readonly<Record<string, string>>, message) => {
  await expect(loadFrom(folderWith(files))).rejects.toThrow(message)
  expect({}).not.toHaveProperty('polluted')
})

test('--config: an ending that is none, a file that is not there', async () => {
  const folder = folderWith({ 'config.toml': '' })
  await expect(loadConfig({ file: join(folder, 'config.toml'), env: {} })).rejects.toThrow(
    /--config: expected a file that ends in one of \.ts.*config\.toml/,
  )
  await expect(loadConfig({ file: join(folder, 'no.json'), env: {} })).rejects.toThrow(
    /--config: expected a file, got .*no\.json, where there is none/,
  )
})

test('control: without a file the flags alone are a config', async () => {
  const flags = [
    { path: 'dataset.kind', value: 'digits', name: '--dataset' },
    { path: 'outputDir', value: 'x', name: '--output-dir' },
  ]
  expect(await loadConfig({ folder: folderWith(), env: {}, flags })).toMatchObject({ file: undefined, run: undefined, config: { seed: 0 } })
})
