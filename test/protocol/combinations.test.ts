/** Objectives, networks and sampling that do not fit each other are one problem each, with the reason; what a paper needs is let through. */
import { resolve as pathResolve } from 'node:path'
import { describe, expect, test } from 'vitest'
import { NETWORK_PRESETS, resolveConfig, type TrainConfig } from '../../protocol/index.ts'

const minimal = { dataset: { kind: 'digits' }, outputDir: 'runs/first' }

function resolve(input: object): TrainConfig {
  const result = resolveConfig({ ...minimal, ...input })
  if ('problems' in result) throw new Error(JSON.stringify(result.problems))
  return result.config
}

function problemsOf(input: object): readonly { path: string; message: string }[] {
  const result = resolveConfig({ ...minimal, ...input })
  return 'problems' in result ? result.problems : []
}

const improved = (fields: object): object => ({ objective: { kind: 'consistency', ...fields } })
const original = (fields: object): object => improved({ preset: 'original', ...fields })
const optimizer = (fields: object): object => ({ optimizer: fields })

describe('each mistake is exactly one problem', () => {
  const kinds = "expected one of 'ddim', 'consistency', 'flow', 'module', got 'ddpm'; did you mean 'ddim'?"
  const presets = "expected one of 'tiny', 'ddpm-cifar10', 'flow-cifar10', 'consistency-32', 'consistency-64', got 'huge'"
  const cases: readonly [name: string, input: object, path: string, message: string][] = [
    ['unknown objective', { objective: { kind: 'ddpm' } }, 'objective.kind', kinds],
    ['unknown objective by name', { objective: 'ddpm' }, 'objective.kind', kinds],
    ['an objective that is none', { objective: 7 }, 'objective', 'expected object, got 7'],
    ['unknown preset', improved({ preset: 'best' }), 'objective.preset', "expected one of 'improved', 'original', got 'best'"],
    [
      'a preset by an inherited name',
      improved({ preset: 'toString' }),
      'objective.preset',
      "expected one of 'improved', 'original', got 'toString'",
    ],
    [
      'an option of another objective',
      { objective: { kind: 'flow', betaStart: 0.1 } },
      'objective.betaStart',
      "unknown key of 'flow'; 'ddim' has it",
    ],
    ['a module without a place', { objective: { kind: 'module' } }, 'objective.module', 'expected string, got nothing'],
    ['a module that is no text', { objective: { kind: 'module', module: 5 } }, 'objective.module', 'expected string, got 5'],
    [
      'options that JSON does not hold',
      { objective: { kind: 'module', module: 'mine.py', options: { at: new Date(0) } } },
      'objective.options',
      'expected JSON values, got an object',
    ],
    ['unknown network preset', { network: { preset: 'huge' } }, 'network.preset', presets],
    ['unknown network by name', { network: 'huge' }, 'network.preset', presets],
    ['unknown network kind', { network: { kind: 'dit' } }, 'network.kind', "expected one of 'unet', 'pretrained', 'module', got 'dit'"],
    [
      'a folder and fields',
      { network: { initFrom: 'a', blockOutChannels: [8] } },
      'network.blockOutChannels',
      "unknown key of 'pretrained'; 'unet' has it",
    ],
    [
      'a folder and a module',
      { network: { initFrom: 'a', module: 'mine.py' } },
      'network.module',
      "unknown key of 'pretrained'; 'module' has it",
    ],
    [
      'a module and a preset',
      { network: { module: 'mine.py', preset: 'tiny' } },
      'network.preset',
      "unknown key of 'module'; 'unet' has it",
    ],
    ['no folder', { network: { initFrom: '' } }, 'network.initFrom', "expected at least 1 character, got ''"],
    [
      'heads wider than the level',
      { network: { attentionHeadDim: 65 } },
      'network.attentionHeadDim',
      'expected at most 64, the channels of the narrowest level with attention, got 65',
    ],
    [
      'groups that do not divide the middle',
      { network: { attnNormNumGroups: 7 } },
      'network.attnNormNumGroups',
      'expected a divisor of the last of network.blockOutChannels (64), got 7',
    ],
    [
      'parts that do not divide the batch',
      { globalBatchSize: 10, training: { gradientAccumulationSteps: 4 } },
      'training.gradientAccumulationSteps',
      'expected a divisor of globalBatchSize (10), got 4',
    ],
    [
      'fp16 on the CPU',
      { training: { mixedPrecision: 'fp16' }, worker: { device: 'cpu' } },
      'training.mixedPrecision',
      "expected 'no' or 'bf16', since fp16 with its loss scaling needs a GPU and worker.device is 'cpu', got 'fp16'",
    ],
    ['levels upside down', improved({ sigmaMin: 90 }), 'objective.sigmaMin', 'expected less than objective.sigmaMax (80), got 90'],
    ['fewer levels at the end', original({ s0: 20, s1: 10 }), 'objective.s0', 'expected at most objective.s1 (10), got 20'],
    ['one level', improved({ s0: 1 }), 'objective.s0', 'expected at least 2, got 1'],
    [
      'more doublings than updates',
      improved({ discretizationSteps: 7 }),
      'objective.discretizationSteps',
      'expected at least 8, an update for each doubling from s0 (10) to s1 (1280), got 7; it defaults to maxTrainSteps',
    ],
    [
      'more doublings than steps',
      { ...improved({}), maxTrainSteps: 7 },
      'objective.discretizationSteps',
      'expected at least 8, an update for each doubling from s0 (10) to s1 (1280), got 7; it defaults to maxTrainSteps',
    ],
    [
      'a rate of nothing',
      original({ startEma: 0 }),
      'objective.startEma',
      "expected more than 0 with targetEma 'adaptive', whose rate is exp(s0 ln(startEma) / N(k)), got 0",
    ],
    [
      'levels that are never drawn',
      improved({ pMean: 50 }),
      'objective.pMean',
      'expected -14.21 to 12.38, within 4 pStd of ln sigmaMin and ln sigmaMax, since no level would be drawn, got 50',
    ],
    [
      'lpips without weights',
      improved({ loss: 'lpips' }),
      'objective.lpipsWeights',
      "expected a safetensors file, since objective.loss is 'lpips', got nothing",
    ],
    [
      'a fall shorter than its warm-up',
      optimizer({ lrScheduler: 'cosine', lrWarmupSteps: 100, lrDecaySteps: 100 }),
      'optimizer.lrDecaySteps',
      "expected more than optimizer.lrWarmupSteps (100) with 'cosine', got 100",
    ],
    [
      'a run shorter than its warm-up',
      { ...optimizer({ lrScheduler: 'linear' }), maxTrainSteps: 50 },
      'optimizer.lrDecaySteps',
      "expected more than optimizer.lrWarmupSteps (100) with 'linear', got 50",
    ],
    [
      'a fall that nothing takes',
      optimizer({ lrScheduler: 'constant', lrDecaySteps: 500 }),
      'optimizer.lrDecaySteps',
      "expected nothing with 'constant', which does not fall, got 500",
    ],
    [
      'guidance without labels',
      { sampling: { guidanceScale: 3 } },
      'sampling.guidanceScale',
      'expected 1 without conditioning.classLabels and a conditioning.labelDropout above 0, which teach the network to do without a label, got 3',
    ],
    [
      'guidance without dropout',
      { sampling: { guidanceScale: 0 }, conditioning: { classLabels: true, labelDropout: 0 } },
      'sampling.guidanceScale',
      'expected 1 without conditioning.classLabels and a conditioning.labelDropout above 0, which teach the network to do without a label, got 0',
    ],
    [
      'one DDIM step from the wrong end',
      { sampling: { numInferenceSteps: 1 } },
      'sampling.numInferenceSteps',
      "expected at least 2 with 'leading', whose only timestep would be 0, where there is no noise left, got 1",
    ],
    [
      'one DDIM step from the wrong end, to be measured',
      { evaluation: { numInferenceSteps: [2, 1] } },
      'evaluation.numInferenceSteps[1]',
      "expected at least 2 with 'leading', whose only timestep would be 0, where there is no noise left, got 1",
    ],
    [
      'more steps to be measured than a consistency scheduler has',
      { ...improved({}), evaluation: { numInferenceSteps: [41] } },
      'evaluation.numInferenceSteps[0]',
      "expected at most the scheduler's levels (40), got 41",
    ],
    [
      'more steps than a consistency scheduler has',
      { ...improved({}), sampling: { numInferenceSteps: 41 } },
      'sampling.numInferenceSteps',
      "expected at most the scheduler's levels (40), got 41",
    ],
  ]

  test.each(cases)('%s', (_name, input, path, message) => {
    expect(problemsOf(input)).toEqual([{ path, message }])
  })
})

describe('an option of one sampler is refused with another', () => {
  const options: readonly [owner: string, sampling: object, field: string, wanted: string, got: string][] = [
    ['ddim', { eta: 0.5 }, 'eta', '0', '0.5'],
    ['ddim', { timestepSpacing: 'quadratic' }, 'timestepSpacing', "'leading'", "'quadratic'"],
    ['ddim', { useClippedModelOutput: true }, 'useClippedModelOutput', 'false', 'true'],
    ['flow', { solver: 'dopri5' }, 'solver', "'euler'", "'dopri5'"],
  ]
  const kinds = ['ddim', 'consistency', 'flow']
  const cases = options.flatMap(([owner, ...rest]) => kinds.map((kind) => [kind, owner, ...rest] as const))

  test.each(cases)('%s, an option of %s: %o', (kind, owner, sampling, field, wanted, got) => {
    const problems = problemsOf({ objective: kind, sampling })
    if (kind === owner) return expect(problems).toEqual([])
    expect(problems).toEqual([
      { path: `sampling.${field}`, message: expect.stringContaining(`expected ${wanted} with objective '${kind}', `) },
    ])
    expect(problems[0].message.endsWith(`, got ${got}`)).toBe(true)
  })

  test('an objective of your own may have any', () => {
    const sampling = { eta: 1, timestepSpacing: 'trailing', useClippedModelOutput: true, solver: 'dopri5', numInferenceSteps: 5000 }
    expect(problemsOf({ objective: { kind: 'module', module: 'mine.py' }, sampling })).toEqual([])
  })
})

describe('control: what is next to a mistake is none', () => {
  const allowed: readonly [name: string, input: object][] = [
    ['one doubling an update', improved({ discretizationSteps: 8 })],
    ['one level for good', improved({ s0: 10, s1: 10, discretizationSteps: 1 })],
    ['the square root over one update', original({ discretizationSteps: 1 })],
    ['no rate where there is no target network', improved({ startEma: 0 })],
    ['a mean beyond the levels where they are drawn uniformly', original({ pMean: 50 })],
    ['one trailing step', { sampling: { numInferenceSteps: 1, timestepSpacing: 'trailing' } }],
    ['guidance with labels', { sampling: { guidanceScale: 3 }, conditioning: { classLabels: true } }],
    ['fp16 where a GPU may be', { training: { mixedPrecision: 'fp16' } }],
    ['bf16 on the CPU', { training: { mixedPrecision: 'bf16' }, worker: { device: 'cpu' } }],
    ['heads as wide as the level', { network: { attentionHeadDim: 64 } }],
    ['lpips with weights', improved({ loss: 'lpips', lpipsWeights: 'vgg.safetensors' })],
  ]
  test.each(allowed)('%s', (_name, input) => expect(problemsOf(input)).toEqual([]))
})

describe('short forms', () => {
  test('an objective by its name alone is its section with defaults', () => {
    for (const kind of ['ddim', 'consistency', 'flow']) expect(resolve({ objective: kind })).toEqual(resolve({ objective: { kind } }))
    expect(resolve({ objective: 'consistency' }).objective).toMatchObject({ preset: 'improved', s1: 1280, huberC: null })
    expect(resolve({ objective: 'consistency' }).sampling.numInferenceSteps).toBe(1)
    expect(resolve({ objective: 'flow' }).sampling.numInferenceSteps).toBe(50)
    expect(resolve({}).objective.kind).toBe('ddim')
  })

  test('a preset is written out, and its fields can be changed', () => {
    expect(resolve(original({ s1: 200 })).objective).toMatchObject({
      preset: 'original',
      s0: 2,
      s1: 200,
      loss: 'l2',
      discretization: 'sqrt',
    })
    for (const preset of Object.keys(NETWORK_PRESETS)) {
      const section = { kind: 'unet', preset, ...NETWORK_PRESETS[preset as keyof typeof NETWORK_PRESETS] }
      expect(resolve({ network: { preset } }).network).toEqual(section)
      expect(resolve({ network: preset }).network).toEqual(section)
      expect(resolve({ network: { preset, dropout: 0.3 } }).network).toEqual({ ...section, dropout: 0.3 })
    }
  })

  test('files are paths from the root, names of modules stay', () => {
    const networkOf = (network: object): object => resolve({ network }).network
    const file = { kind: 'module', module: pathResolve('nets/mine.py'), sha256: null, options: {} }
    for (const module of ['nets/mine.py', './nets/mine.py', pathResolve('nets/mine.py')]) expect(networkOf({ module })).toEqual(file)
    expect(networkOf({ module: 'mine.py' })).toMatchObject({ module: pathResolve('mine.py') })
    expect(networkOf({ module: 'package.mine' })).toMatchObject({ module: 'package.mine' })
    expect(networkOf({ initFrom: 'runs/a/pipeline' })).toEqual({
      kind: 'pretrained',
      initFrom: pathResolve('runs/a/pipeline'),
      sha256: null,
    })
    expect(resolve({ objective: { kind: 'module', module: 'mine.py' } }).objective).toMatchObject({ module: pathResolve('mine.py') })
    expect(resolve(improved({ lpipsWeights: 'vgg.safetensors' })).objective).toMatchObject({ lpipsWeights: pathResolve('vgg.safetensors') })
  })

  test('a resolved config resolves to itself', () => {
    const networks = [{ initFrom: 'a' }, { module: 'mine.py', options: { k: [1] } }, 'consistency-64']
    const objectives = ['ddim', 'flow', improved({ lpipsWeights: 'a' }), original({}), { kind: 'module', module: 'a.b' }]
    for (const network of networks) expect(resolve(resolve({ network }))).toEqual(resolve({ network }))
    for (const objective of objectives) {
      const config = resolve(typeof objective === 'object' && 'objective' in objective ? objective : { objective })
      expect(resolve(config)).toEqual(config)
    }
  })
})
