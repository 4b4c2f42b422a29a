/** Defaults < preset < file < its run < environment < flags: every pair, and that each value is told with where it came from. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { describeSource, listConfigFields, type ConfigSource } from '../../../ts/index.ts'
import { load, valueAt, type Layers } from './load.ts'

/** network.dropout: 0 by default, and something in each layer. */
const LAYERS: readonly { readonly name: string; readonly layer: Layers; readonly value: number; readonly source: string }[] = [
  { name: 'default', layer: {}, value: 0, source: 'default' },
  { name: 'preset', layer: { file: { network: 'ddpm-cifar10' } }, value: 0.1, source: 'preset ddpm-cifar10 (file immiscible.config.json)' },
  { name: 'file', layer: { file: { network: { dropout: 0.2 } } }, value: 0.2, source: 'file immiscible.config.json' },
  { name: 'run', layer: { run: { network: { dropout: 0.3 } } }, value: 0.3, source: 'file immiscible.config.json, run only' },
  { name: 'env', layer: { env: { IMMISCIBLE_NETWORK__DROPOUT: '0.4' } }, value: 0.4, source: 'env IMMISCIBLE_NETWORK__DROPOUT' },
  { name: 'flag', layer: { flags: { 'network.dropout': 0.5 } }, value: 0.5, source: 'flag --network.dropout' },
]

describe('the higher of two layers wins', () => {
  const pairs = LAYERS.flatMap((lower, index) =>
    LAYERS.slice(index + 1).map((higher) => ({ pair: `${lower.name} < ${higher.name}`, lower, higher })),
  )
  test.each(pairs)('$pair', async ({ lower, higher }) => {
    const file = { network: { ...sectionOf(lower.layer), ...sectionOf(higher.layer) } }
    const loaded = await load({ ...lower.layer, ...higher.layer, ...(Object.keys(file.network).length > 0 && { file }) })
    const { value, source } = valueAt(loaded, 'network.dropout')
    expect([value, describeSource(source as ConfigSource)]).toEqual([higher.value, higher.source])
  })
})

function sectionOf({ file }: Layers): object {
  const { network }: { network?: object | string } = { ...file }
  return typeof network === 'string' ? { preset: network } : { ...network }
}

test('a preset named above still gives way to a field that was given below it', async () => {
  const loaded = await load({ file: { network: { preset: 'ddpm-cifar10', dropout: 0.7 } }, flags: { 'network.preset': 'ddpm-cifar10' } })
  expect(valueAt(loaded, 'network.dropout')).toEqual({ value: 0.7, source: expect.objectContaining({ kind: 'file' }) as object })
  expect(valueAt(loaded, 'network.layersPerBlock').source).toEqual({
    kind: 'preset',
    name: 'ddpm-cifar10',
    by: { kind: 'flag', name: '--network.preset' },
  })
})

/** Fields that stand alone, with values that the schema takes whatever the others are. */
const FREE = {
  globalBatchSize: [8, 16, 24],
  maxTrainSteps: [10, 20, 30],
  seed: [1, 2, 3],
  'optimizer.learningRate': [0.1, 0.2, 0.3],
  'optimizer.kind': ['adam', 'adamw', 'radam'],
  'training.torchCompile': [true, false],
  'tracking.reportTo': [['wandb'], ['aim', 'mlflow'], []],
  'network.layersPerBlock': [1, 2, 3],
  'network.attentionHeadDim': [null, 4, 8],
  'objective.snrGamma': [null, 5],
  'sampling.seed': [7, 8],
} as const
const NAMES = Object.keys(FREE) as (keyof typeof FREE)[]

const someFields = fc
  .record(Object.fromEntries(NAMES.map((name) => [name, fc.constantFrom<unknown>(...FREE[name])])), { requiredKeys: [] })
  .map((record) => record as Partial<Record<keyof typeof FREE, unknown>>)

test('whatever the layers say, each value is that of the layer that it is told to come from, and no higher layer has it', async () => {
  const layers = fc.record({ file: someFields, run: someFields, env: someFields, flags: someFields })
  await fc.assert(
    fc.asyncProperty(layers, async ({ file, run, env, flags }) => {
      const loaded = await load({ file: nest(file), run: nest(run), env: toEnv(env), flags: { ...flags } })
      const defaults = await load({})
      for (const name of NAMES) {
        const highest = [flags, env, run, file].find((layer) => Object.hasOwn(layer, name))
        const { value, source } = valueAt(loaded, name)
        expect(value).toEqual(highest ? highest[name] : valueAt(defaults, name).value)
        const kinds = new Map<object | undefined, string>([
          [flags, `flag --${name}`],
          [env, `env ${variable(name)}`],
          [run, 'file immiscible.config.json, run only'],
          [file, 'file immiscible.config.json'],
          [undefined, 'default'],
        ])
        expect(describeSource(source as ConfigSource)).toBe(kinds.get(highest))
      }
    }),
    { numRuns: 60 },
  )
})

function nest(fields: Partial<Record<string, unknown>>): Record<string, unknown> {
  const nested: Record<string, unknown> = {}
  for (const [path, value] of Object.entries(fields)) {
    const [section, field] = path.split('.')
    if (field === undefined) nested[section] = value
    else nested[section] = { ...(nested[section] as object | undefined), [field]: value }
  }
  return nested
}

function variable(path: string): string {
  return `IMMISCIBLE_${path.replaceAll('.', '__').replaceAll(/[A-Z]/g, '_$&').toUpperCase()}`
}

function toEnv(fields: Partial<Record<string, unknown>>): Record<string, string> {
  // An empty variable is one that is not set; [] is an empty list.
  const toText = (value: unknown): string => (Array.isArray(value) ? value.join(',') || '[]' : String(value))
  return Object.fromEntries(Object.entries(fields).map(([path, value]) => [variable(path), toText(value)]))
}

test('every leaf of the config is told, and is what the config has', async () => {
  const { values, config } = await load({})
  const paths = new Set(values.map(({ path }) => path))
  const applicable = listConfigFields().filter(({ path, kinds }) => {
    const kind = (config as unknown as Record<string, { kind?: string }>)[path.split('.')[0]].kind
    const isOfNothing = path.startsWith('worker.listen.') || path.startsWith('evaluation.inception.') // null unless it is asked for
    return !isOfNothing && (kinds.length === 0 || kinds.includes(kind ?? ''))
  })
  expect(applicable.map(({ path }) => path).filter((path) => !paths.has(path))).toEqual([])
  for (const { path, value } of values) {
    const held = path.split('.').reduce<unknown>((section, name) => (section as Record<string, unknown>)[name], config)
    expect(held).toEqual(value)
  }
})
