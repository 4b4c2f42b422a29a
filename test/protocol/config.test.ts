/** A config that cannot run is one clear message for each mistake: where, what was expected, what came. */
import { resolve as pathResolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { describe, expect, test } from 'vitest'
import { expandAssignment, hashConfig, resolveConfig, type TrainConfig } from '../../protocol/index.ts'

const minimal = { dataset: { kind: 'digits' }, outputDir: 'runs/first' }

function resolve(input: unknown): TrainConfig {
  const result = resolveConfig(input)
  if ('problems' in result) throw new Error(JSON.stringify(result.problems))
  return result.config
}

function problemsOf(input: unknown): readonly { path: string; message: string }[] {
  const result = resolveConfig(input)
  return 'problems' in result ? result.problems : []
}

describe('each mistake is exactly one problem', () => {
  const unet = (network: object): object => ({ ...minimal, network })
  const cases: readonly [name: string, input: unknown, path: string, message: string][] = [
    ['not an object', 'train', '(config)', "expected object, got 'train'"],
    ['unknown key', { ...minimal, batchSize: 16 }, 'batchSize', "unknown key; did you mean 'globalBatchSize'?"],
    ['a misspelt key', { ...minimal, optimizer: { learnigRate: 1 } }, 'optimizer.learnigRate', "unknown key; did you mean 'learningRate'?"],
    ['a misspelt section', { ...minimal, optimiser: {} }, 'optimiser', "unknown key; did you mean 'optimizer'?"],
    [
      'a key of a section, outside it',
      { ...minimal, learningRate: 1 },
      'learningRate',
      "unknown key; did you mean 'optimizer.learningRate'?",
    ],
    [
      'a key of two sections',
      { ...minimal, everyStep: 1 },
      'everyStep',
      "unknown key; did you mean 'validation.everySteps' or 'sampling.everySteps' or 'evaluation.everySteps' or 'gate.everySteps' or 'checkpoint.everySteps'?",
    ],
    [
      'a key of another kind',
      { ...minimal, objective: { kind: 'flow', sigmaMax: 80 } },
      'objective.sigmaMax',
      "unknown key of 'flow'; 'consistency' has it",
    ],
    [
      'a misspelt name',
      { ...minimal, assignment: 'quantised' },
      'assignment.kind',
      "expected one of 'independent', 'linear', 'quantized', 'greedy', 'negated', 'nearest', 'persistent', 'module', 'custom', 'paper-linear', 'paper-knn', got 'quantised'; did you mean 'quantized'?",
    ],
    [
      'a misspelt choice',
      { ...minimal, optimizer: { lrScheduler: 'cosin' } },
      'optimizer.lrScheduler',
      "expected one of 'constant', 'constant_with_warmup', 'linear', 'cosine', 'cosine_with_restarts', 'polynomial', got 'cosin'; did you mean 'cosine'?",
    ],
    ['unknown key in a section', { ...minimal, optimizer: { lr: 1 } }, 'optimizer.lr', 'unknown key'],
    ['missing key', { dataset: { kind: 'digits' } }, 'outputDir', 'expected string, got nothing'],
    ['missing section', { outputDir: 'x' }, 'dataset', 'expected object, got nothing'],
    ['empty folder name', { ...minimal, outputDir: '' }, 'outputDir', "expected at least 1 character, got ''"],
    ['wrong type', { ...minimal, maxTrainSteps: '100' }, 'maxTrainSteps', "expected number, got '100'"],
    ['fraction of a step', { ...minimal, maxTrainSteps: 1.5 }, 'maxTrainSteps', 'expected int, got 1.5'],
    ['too small', { ...minimal, globalBatchSize: 0 }, 'globalBatchSize', 'expected at least 1, got 0'],
    ['not positive', { ...minimal, optimizer: { learningRate: 0 } }, 'optimizer.learningRate', 'expected more than 0, got 0'],
    ['too large', { ...minimal, seed: 2 ** 32 }, 'seed', 'expected at most 4294967295, got 4294967296'],
    ['not below one', { ...minimal, ema: { decay: 1 } }, 'ema.decay', 'expected less than 1, got 1'],
    ['not a number', { ...minimal, optimizer: { maxGradNorm: NaN } }, 'optimizer.maxGradNorm', 'expected number, got NaN'],
    ['null', { ...minimal, ema: null }, 'ema', 'expected object, got null'],
    [
      'unknown data set',
      { ...minimal, dataset: { kind: 'mnist' } },
      'dataset.kind',
      "expected one of 'digits', 'emoji', 'cifar10', 'cifar100', 'celeba', 'image-folder', 'parquet', 'arrays', 'idx', 'custom', got 'mnist'",
    ],
    [
      'unknown strategy',
      { ...minimal, assignment: { kind: 'sinkhorn' } },
      'assignment.kind',
      "expected one of 'independent', 'linear', 'quantized', 'greedy', 'negated', 'nearest', 'persistent', 'module', 'custom', 'paper-linear', 'paper-knn', got 'sinkhorn'",
    ],
    [
      'unknown name',
      { ...minimal, assignment: 'sinkhorn' },
      'assignment.kind',
      "expected one of 'independent', 'linear', 'quantized', 'greedy', 'negated', 'nearest', 'persistent', 'module', 'custom', 'paper-linear', 'paper-knn', got 'sinkhorn'",
    ],
    ['a strategy that is no name', { ...minimal, assignment: 7 }, 'assignment', 'expected object, got 7'],
    [
      'labels for a strategy that does not permute',
      { ...minimal, assignment: { kind: 'nearest', within: 'label' } },
      'assignment.within',
      "unknown key of 'nearest'; 'linear', 'quantized', 'greedy', 'negated', 'persistent', 'module', 'custom' have it",
    ],
    [
      'a start for the baseline',
      { ...minimal, assignment: { kind: 'independent', startStep: 5 } },
      'assignment.startStep',
      "unknown key of 'independent'; 'linear', 'quantized', 'greedy', 'negated', 'nearest', 'persistent', 'module', 'custom' have it",
    ],
    [
      'no candidates',
      { ...minimal, assignment: { kind: 'nearest', candidates: 0 } },
      'assignment.candidates',
      'expected at least 1, got 0',
    ],
    [
      'a module from the network',
      { ...minimal, assignment: 'https://example.org/mine.js' },
      'assignment.url',
      "expected a path or a file: URL, got 'https://example.org/mine.js'",
    ],
    ['a module without a place', { ...minimal, assignment: { kind: 'module' } }, 'assignment.url', 'expected string, got nothing'],
    [
      'options that JSON does not hold',
      { ...minimal, assignment: { kind: 'module', url: './mine.ts', options: { weights: new Float32Array(2) } } },
      'assignment.options',
      'expected JSON values, got an object',
    ],
    [
      'option of another strategy',
      { ...minimal, assignment: { kind: 'linear', tolerance: 0.1 } },
      'assignment.tolerance',
      "unknown key of 'linear'; 'quantized', 'negated', 'persistent' have it",
    ],
    [
      'option out of range',
      { ...minimal, assignment: { kind: 'quantized', tolerance: 2 } },
      'assignment.tolerance',
      'expected at most 1, got 2',
    ],
    [
      'unknown device',
      { ...minimal, worker: { device: 'tpu' } },
      'worker.device',
      "expected one of 'auto', 'cuda', 'mps', 'cpu', got 'tpu'",
    ],
    [
      'pool that is no multiple of the batch',
      { ...minimal, globalBatchSize: 16, assignment: { kind: 'quantized', poolSize: 40 } },
      'assignment.poolSize',
      'expected a multiple of globalBatchSize (16), got 40',
    ],
    [
      'pool beyond what is solved',
      { ...minimal, globalBatchSize: 16, assignment: { kind: 'linear', poolSize: 16_400 } },
      'assignment.poolSize',
      'expected at most 16384, got 16400',
    ],
    ['batch larger than any pool', { ...minimal, globalBatchSize: 16_385 }, 'globalBatchSize', 'expected at most 16384, got 16385'],
    [
      'more sampling steps than noise levels',
      { ...minimal, objective: { kind: 'ddim', numTrainTimesteps: 20 } },
      'sampling.numInferenceSteps',
      'expected at most objective.numTrainTimesteps (20), got 50',
    ],
    [
      'noise schedule that falls',
      { ...minimal, objective: { kind: 'ddim', betaStart: 0.5 } },
      'objective.betaStart',
      'expected less than objective.betaEnd (0.02), got 0.5',
    ],
    [
      'EMA bounds crossed',
      { ...minimal, ema: { decay: 0.9, minDecay: 0.95 } },
      'ema.minDecay',
      'expected at most ema.decay (0.9), got 0.95',
    ],
    [
      'images times nothing',
      { ...minimal, dataset: { kind: 'digits', imageScale: 0 } },
      'dataset.imageScale',
      'expected more than 0, got 0',
    ],
    ['a sampler beyond DDPM', { ...minimal, sampling: { eta: 1.5 } }, 'sampling.eta', 'expected at most 1, got 1.5'],
    ['a gate before the first step', { ...minimal, gate: { everySteps: -1 } }, 'gate.everySteps', 'expected at least 0, got -1'],
    [
      'down blocks that do not match the channels',
      unet({ downBlockTypes: ['DownBlock2D'] }),
      'network.downBlockTypes',
      'expected 2 blocks, one for each of network.blockOutChannels, got 1',
    ],
    [
      'channels that the norm groups do not divide',
      unet({ blockOutChannels: [32, 60] }),
      'network.blockOutChannels[1]',
      'expected a multiple of network.normNumGroups (8), got 60',
    ],
    [
      'unknown block in a list',
      unet({ upBlockTypes: ['UpBlock2D', 'UpBlock'] }),
      'network.upBlockTypes[1]',
      "expected one of 'UpBlock2D', 'AttnUpBlock2D', 'ResnetUpsampleBlock2D', got 'UpBlock'; did you mean 'UpBlock2D'?",
    ],
  ]

  test.each(cases)('%s', (_name, input, path, message) => {
    expect(problemsOf(input)).toEqual([{ path, message }])
  })
})

test('several mistakes are told at once', () => {
  const paths = problemsOf({ ...minimal, seed: -1, maxTrainSteps: 'x', extra: 1 }).map(({ path }) => path)
  expect(paths.toSorted()).toEqual(['extra', 'maxTrainSteps', 'seed'])
})

test('control: the minimal config is complete after resolving, and resolves to itself', () => {
  const config = resolve(minimal)
  expect(config.assignment).toEqual({ kind: 'quantized', poolSize: config.globalBatchSize, within: 'pool', startStep: 0, tolerance: 0.001 })
  expect(resolve(config)).toEqual(config)
  expect([config.gate, config.dataset.imageScale, config.sampling.eta]).toEqual([{ everySteps: 100 }, 1, 0])
})

test('a resolved config survives JSON', () => {
  const config = resolve(minimal)
  expect(resolve(JSON.parse(JSON.stringify(config)))).toEqual(config)
})

describe('short forms of an assignment', () => {
  const assignmentOf = (assignment: unknown, more: object = {}): unknown => resolve({ ...minimal, ...more, assignment }).assignment
  const options = { poolSize: 128, within: 'pool', startStep: 0 }

  test('a name alone is the strategy with its defaults', () => {
    for (const kind of ['independent', 'linear', 'quantized', 'greedy', 'negated', 'nearest']) {
      expect(assignmentOf(kind)).toEqual(assignmentOf({ kind }))
      expect(assignmentOf(kind)).toMatchObject({ kind, poolSize: 128 })
    }
  })

  test('a preset is written out, and its fields can be changed', () => {
    const paperLinear = { kind: 'linear', metric: 'l2', precision: 'float16', ...options }
    expect(assignmentOf('paper-linear')).toEqual(paperLinear)
    expect(assignmentOf({ kind: 'paper-linear', poolSize: 512, within: 'label' })).toEqual({
      ...paperLinear,
      poolSize: 512,
      within: 'label',
    })
    const paperKnn = { kind: 'nearest', candidates: 8, precision: 'float16', poolSize: 128, startStep: 0 }
    expect(assignmentOf('paper-knn')).toEqual(paperKnn)
    expect(assignmentOf('paper-knn', { objective: { kind: 'ddim' } })).toEqual(paperKnn)
    expect(assignmentOf({ kind: 'paper-knn', candidates: 64 })).toEqual({ ...paperKnn, candidates: 64 })
    for (const objectiveKind of ['flow', 'consistency']) {
      expect(expandAssignment('paper-knn', { poolSize: 1, objectiveKind })).toMatchObject({ kind: 'nearest', candidates: 4 })
    }
  })

  test('a module is its absolute file: URL, whichever way it was written', () => {
    const url = pathToFileURL(pathResolve('mine.ts')).href
    const section = { kind: 'module', url, options: {}, sha256: null, ...options }
    for (const written of [
      './mine.ts',
      'mine.ts',
      url,
      new URL(url),
      { kind: 'module', url: 'mine.ts' },
      { kind: 'module', url: new URL(url) },
    ]) {
      expect(assignmentOf(written)).toEqual(section)
    }
    expect(assignmentOf({ kind: './mine.ts', poolSize: 256, options: { k: [1] } })).toEqual({
      ...section,
      poolSize: 256,
      options: { k: [1] },
    })
    expect(assignmentOf(assignmentOf(url))).toEqual(section)
  })

  test("a module's place does not decide the result, its content does", () => {
    const hashOf = (more: object): string => hashConfig(resolve({ ...minimal, assignment: { kind: 'module', url: './mine.ts', ...more } }))
    expect(hashOf({ url: './elsewhere/mine.ts' })).toBe(hashOf({}))
    expect(hashOf({ sha256: 'ab' })).not.toBe(hashOf({}))
    expect(hashOf({ options: { k: 1 } })).not.toBe(hashOf({}))
  })
})

test('poolSize follows the batch size that was given', () => {
  expect(resolve({ ...minimal, globalBatchSize: 32 }).assignment.poolSize).toBe(32)
})

test('the config hash changes with what decides the result, and with nothing else', () => {
  const hash = hashConfig(resolve(minimal))
  expect(hash).toMatch(/^[0-9a-f]{64}$/)
  const same = [
    { outputDir: 'elsewhere' },
    { maxTrainSteps: 9 },
    { checkpoint: { everySteps: 1 } },
    { worker: { leaseSeconds: 99 } },
    { gate: { everySteps: 0 } },
    { tracking: { reportTo: ['wandb'] } },
    { sampling: { eta: 1 } },
  ]
  for (const change of same) expect(hashConfig(resolve({ ...minimal, ...change }))).toBe(hash)
  const different = [
    { seed: 1 },
    { globalBatchSize: 64 },
    { assignment: { kind: 'linear' } },
    { optimizer: { learningRate: 1 } },
    { pipeline: { noiseDtype: 'float32' } },
    { worker: { device: 'cpu' } },
    { dataset: { kind: 'digits', imageScale: 2 } },
  ]
  for (const change of different) expect(hashConfig(resolve({ ...minimal, ...change }))).not.toBe(hash)
})

test('the config hash does not depend on the order in which keys were written', () => {
  expect(hashConfig(resolve({ outputDir: 'runs/first', seed: 3, dataset: { kind: 'digits' } }))).toBe(
    hashConfig(resolve({ ...minimal, seed: 3 })),
  )
})

test('a section may be its name alone, a module of its own `{ module }`', () => {
  expect(resolve({ ...minimal, dataset: 'digits' })).toEqual(resolve(minimal))
  const objective = { kind: 'module', module: './mine.py' }
  expect(resolve({ ...minimal, objective: { module: './mine.py' } })).toEqual(resolve({ ...minimal, objective }))
})
