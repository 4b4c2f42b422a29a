/** Sections that come in kinds: a name alone is their short form, and another name brings its own fields. */
import { expect, test } from 'vitest'
import { load, valueAt } from './load.ts'

test.each([
  [
    'a flag beside the name alone',
    { file: { assignment: 'linear' }, flags: { 'assignment.poolSize': 512 } },
    { kind: 'linear', poolSize: 512 },
  ],
  [
    'the same kind keeps the fields below',
    { file: { assignment: { kind: 'linear', metric: 'l2' } }, flags: { 'assignment.kind': 'linear' } },
    { kind: 'linear', metric: 'l2' },
  ],
  [
    'another kind drops them',
    { file: { assignment: { kind: 'linear', metric: 'l2', startStep: 9 } }, flags: { 'assignment.kind': 'greedy' } },
    { kind: 'greedy', startStep: 0 },
  ],
  [
    'another kind by variable drops them, whatever the order of the variables',
    {
      file: { assignment: { kind: 'linear', startStep: 9 } },
      env: { IMMISCIBLE_ASSIGNMENT__CANDIDATES: '3', IMMISCIBLE_ASSIGNMENT: 'nearest' },
    },
    { kind: 'nearest', candidates: 3, startStep: 0 },
  ],
  [
    "a run's kind drops the shared one's",
    { file: { assignment: { kind: 'linear', metric: 'l2' } }, run: { assignment: 'quantized' } },
    { kind: 'quantized', tolerance: 0.001 },
  ],
  ['a field alone is of the default kind', { flags: { 'assignment.tolerance': 0.5 } }, { kind: 'quantized', tolerance: 0.5 }],
  [
    'a preset of a paper, changed',
    { file: { assignment: 'paper-knn' }, flags: { 'assignment.candidates': 2 } },
    { kind: 'nearest', precision: 'float16', candidates: 2 },
  ],
])('assignment: %s', async (_name, layers, expected) => {
  expect((await load(layers)).config.assignment).toMatchObject(expected)
})

test('a network by preset replaces one from a folder, and the other way round; a field alone changes what is there', async () => {
  const fromFolder = { file: { network: { initFrom: 'runs/a/pipeline' } } }
  expect((await load({ ...fromFolder, flags: { 'network.preset': 'tiny' } })).config.network).toMatchObject({
    kind: 'unet',
    preset: 'tiny',
  })
  const fromPreset = { file: { network: { preset: 'ddpm-cifar10', dropout: 0.5 } } }
  expect((await load({ ...fromPreset, flags: { 'network.initFrom': 'runs/a' } })).config.network.kind).toBe('pretrained')
  expect((await load({ ...fromPreset, flags: { 'network.layersPerBlock': 1 } })).config.network).toMatchObject({
    dropout: 0.5,
    layersPerBlock: 1,
  })
  expect((await load({ ...fromPreset, flags: { 'network.preset': 'flow-cifar10' } })).config.network).toMatchObject({ dropout: 0.1 })
})

test('an objective by its module has that kind, and where it came from', async () => {
  const loaded = await load({ file: { objective: { kind: 'flow', logitStd: 2 } }, flags: { 'objective.module': 'mine' } })
  expect(loaded.config.objective).toEqual({ kind: 'module', module: 'mine', sha256: null, options: {} })
  expect(valueAt(loaded, 'objective.kind').source).toEqual({ kind: 'flag', name: '--objective.module' })
})

test('another optimiser is no section of its own: it keeps the learning rate', async () => {
  const { config } = await load({ file: { optimizer: { kind: 'adam', learningRate: 0.5 } }, flags: { 'optimizer.kind': 'radam' } })
  expect(config.optimizer).toMatchObject({ kind: 'radam', learningRate: 0.5 })
})

test('lists and options are replaced whole; null is a value', async () => {
  const file = {
    objective: { module: 'mine', options: { a: 1 } },
    tracking: { reportTo: ['wandb', 'aim'] },
    worker: { listen: { address: 'tcp://127.0.0.1:*', clientKeys: ['a'] } },
  }
  const { config } = await load({
    file,
    flags: { 'objective.options': { b: 2 }, 'tracking.reportTo': ['mlflow'], 'worker.listen.keyFile': 'k' },
  })
  expect(config.objective).toMatchObject({ options: { b: 2 } })
  expect(config.objective).not.toHaveProperty('options.a')
  expect(config.tracking.reportTo).toEqual(['mlflow'])
  expect(config.worker.listen).toEqual({ address: 'tcp://127.0.0.1:*', keyFile: 'k', clientKeys: ['a'] })
  expect((await load({ file, run: { worker: { listen: null } } })).config.worker.listen).toBeNull()
})

test('the path of a module, written as the kind, is the source of its url', async () => {
  const loaded = await load({ flags: { 'assignment.kind': './mine.ts', 'assignment.poolSize': 128 } })
  expect(valueAt(loaded, 'assignment.kind')).toEqual({ value: 'module', source: { kind: 'flag', name: '--assignment.kind' } })
  expect(valueAt(loaded, 'assignment.url').source).toEqual({ kind: 'flag', name: '--assignment.kind' })
  expect(String(valueAt(loaded, 'assignment.url').value)).toMatch(/^file:.*mine\.ts$/)
})

test('a named run lies in runs/NAME, unless it or a flag says otherwise', async () => {
  const file = { outputDir: undefined }
  const loaded = await load({ file, run: {} })
  expect(valueAt(loaded, 'outputDir')).toEqual({ value: 'runs/only', source: { kind: 'default' } })
  expect((await load({ file, run: { outputDir: 'there' } })).config.outputDir).toBe('there')
  expect((await load({ file, run: {}, flags: { outputDir: 'here' } })).config.outputDir).toBe('here')
})
