/** The config hash changes with each field that decides the result and with no other, and schedules do not move when a run goes further. */
import { describe, expect, test } from 'vitest'
import { hashConfig, resolveConfig, type TrainConfig } from '../../protocol/index.ts'

const minimal = { dataset: { kind: 'digits' }, outputDir: 'runs/first' }

function resolve(input: object): TrainConfig {
  const result = resolveConfig({ ...minimal, ...input })
  if ('problems' in result) throw new Error(JSON.stringify(result.problems))
  return result.config
}

/** Every value of a config that has no values in it, by its path. */
function leavesOf(value: unknown, path: readonly string[] = []): { path: readonly string[]; value: unknown }[] {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return [{ path, value }]
  return Object.entries(value).flatMap(([key, inner]) => leavesOf(inner, [...path, key]))
}

/** Another value of the same kind; the hash asks for no valid one. */
function another(value: unknown): unknown {
  if (typeof value === 'number') return value + 1
  if (typeof value === 'boolean') return !value
  if (Array.isArray(value)) return [...(value as unknown[]), 'more']
  return value === null ? 'something' : `${value as string}-other`
}

function replaceAt(config: TrainConfig, path: readonly string[]): TrainConfig {
  const copy = structuredClone(config)
  let inner = copy as unknown as Record<string, unknown>
  for (const key of path.slice(0, -1)) inner = inner[key] as Record<string, unknown>
  const last = path.at(-1) as string
  inner[last] = another(inner[last])
  return copy
}

/** What is watched, where things are, how far it goes; and the name of a preset, whose values are all there. */
const UNDECIDING = [
  /^(outputDir|maxTrainSteps)$/,
  /^(sampling|evaluation|gate|checkpoint|tracking)\./,
  /^worker\.(?!device$)/,
  /^pipeline\.(?!noiseDtype$)/,
  /^validation\.everySteps$/,
  /^(network|objective)\.preset$/,
]

const pin = 'ab'.repeat(32)
const module = { kind: 'module', module: '/somewhere/mine.py', sha256: pin, options: { k: 1 } }
const cases: readonly [name: string, input: object, places?: RegExp][] = [
  ['ddim', {}],
  ['flow, emoji', { objective: 'flow', dataset: { kind: 'emoji' }, optimizer: { lrScheduler: 'cosine' } }],
  ['consistency, original', { objective: { kind: 'consistency', preset: 'original' }, network: 'consistency-32' }],
  [
    'consistency with weights',
    { objective: { kind: 'consistency', loss: 'lpips', lpipsWeights: '/vgg.safetensors', lpipsSha256: pin } },
    /^objective\.lpipsWeights$/,
  ],
  ['a pinned network', { network: { initFrom: '/runs/a/pipeline', sha256: pin } }, /^network\.initFrom$/],
  ['pinned modules', { network: module, objective: module }, /^(network|objective)\.module$/],
  ['modules by name', { network: { module: 'a.b' }, objective: { kind: 'module', module: 'a.b' } }],
  ['a strategy of your own', { assignment: { kind: 'module', url: 'file:///mine.ts', sha256: pin } }, /^assignment\.url$/],
  ['latents', { dataset: { kind: 'arrays', path: '/a.safetensors', vae: '/vae' } }, /^dataset\.(path|vae)$/],
  ['nearest', { assignment: 'nearest' }],
  ['persistent', { assignment: 'persistent' }],
]

describe('the config hash', () => {
  test.each(cases)('%s: changes with what decides, and with nothing else', (_name, input, places) => {
    const config = resolve(input)
    const hash = hashConfig(config)
    const paths = leavesOf(config).map(({ path }) => path)
    expect(paths.length).toBeGreaterThan(50)
    const wrong = paths.filter((path) => {
      const name = path.join('.')
      const decides = ![...UNDECIDING, ...(places ? [places] : [])].some((pattern) => pattern.test(name))
      return (hashConfig(replaceAt(config, path)) !== hash) !== decides
    })
    expect(wrong).toEqual([])
  })

  test('a network is the same by preset and by fields', () => {
    const { preset: _, ...fields } = resolve({ network: 'ddpm-cifar10' }).network as Record<string, unknown>
    expect(hashConfig(resolve({ network: fields }))).toBe(hashConfig(resolve({ network: 'ddpm-cifar10' })))
    expect(hashConfig(resolve({ network: 'flow-cifar10' }))).not.toBe(hashConfig(resolve({ network: 'ddpm-cifar10' })))
  })
})

describe('a run that goes further keeps what its first length decided', () => {
  test.each([
    [
      'the curriculum of consistency',
      { objective: 'consistency' },
      (config: TrainConfig) => config.objective,
      { discretizationSteps: 100 },
    ],
    [
      'a falling schedule',
      { optimizer: { lrScheduler: 'cosine', lrWarmupSteps: 10 } },
      (config: TrainConfig) => config.optimizer,
      { lrDecaySteps: 100 },
    ],
    ['one that does not fall', {}, (config: TrainConfig) => config.optimizer, { lrDecaySteps: null }],
  ])('%s', (_name, input, sectionOf, expected) => {
    const before = resolve({ ...input, maxTrainSteps: 100 })
    const after = resolve({ ...before, maxTrainSteps: 300 })
    expect(sectionOf(before)).toMatchObject(expected)
    expect(sectionOf(after)).toEqual(sectionOf(before))
    expect(hashConfig(after)).toBe(hashConfig(before))
  })

  test('control: a new run of another length has another curriculum', () => {
    const hashes = [100, 300].map((maxTrainSteps) => hashConfig(resolve({ objective: 'consistency', maxTrainSteps })))
    expect(hashes[0]).not.toBe(hashes[1])
  })
})
