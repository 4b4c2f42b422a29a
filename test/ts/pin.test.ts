/** Files that a run uses are known by content: missing, of another kind, changed or unfit ones are refused before anything is written. */
import { createHash } from 'node:crypto'
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { beforeEach, describe, expect, onTestFinished, test } from 'vitest'
import { hashConfig, type TrainConfig, type TrainConfigInput } from '../../protocol/index.ts'
import { checkData } from '../../ts/conditions.ts'
import { loadDigits } from '../../ts/dataset/digits.ts'
import { ConfigError } from '../../ts/errors.ts'
import { pinFiles } from '../../ts/pin.ts'
import { prepare } from '../../ts/prepare.ts'
import { testConfig } from '../fixture/config.ts'

const digits = loadDigits()
const unlabelled = (({ labels, ...rest }) => ({ ...rest, numClasses: 0 }))(digits)
const UNET = { _class_name: 'UNet2DModel', sample_size: 8, in_channels: 1, out_channels: 1, num_class_embeds: null, class_embed_type: null }
const WEIGHTS = 'diffusion_pytorch_model.safetensors'

let folder = ''
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'immiscible-pin-'))
  onTestFinished(() => rmSync(folder, { recursive: true }))
})

const sha256 = (text: string | Buffer): string => createHash('sha256').update(text).digest('hex')

/** The least safetensors file: its header's length, its header, a byte. */
function safetensors(byte = 0): Buffer {
  const header = Buffer.from('{"x":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}')
  const length = Buffer.alloc(8)
  length.writeBigUInt64LE(BigInt(header.length))
  return Buffer.concat([length, header, Buffer.from([byte])])
}

/** A pipeline folder with these files in unet/. */
function writePipeline(config: object = UNET, weights: Readonly<Record<string, Buffer | string>> = { [WEIGHTS]: safetensors() }): string {
  mkdirSync(join(folder, 'unet'), { recursive: true })
  writeFileSync(join(folder, 'unet', 'config.json'), JSON.stringify(config))
  for (const [name, content] of Object.entries(weights)) writeFileSync(join(folder, 'unet', name), content)
  return folder
}

function write(name: string, content: string | Buffer): string {
  writeFileSync(join(folder, name), content)
  return join(folder, name)
}

const from = (initFrom: string): TrainConfig => testConfig({ network: { initFrom } })

function problemsOf(act: () => unknown): readonly { path: string; message: string }[] {
  try {
    act()
  } catch (error) {
    if (error instanceof ConfigError) return error.problems
    throw error
  }
  return []
}

describe('a pipeline folder to begin from', () => {
  test('is known by its config and weights, in order of name, wherever it lies', () => {
    const pinned = pinFiles(from(writePipeline()))
    const lines = [`config.json ${sha256(JSON.stringify(UNET))}\n`, `${WEIGHTS} ${sha256(safetensors())}\n`]
    expect(pinned.network).toMatchObject({ kind: 'pretrained', initFrom: folder, sha256: sha256(lines.join('')) })
    expect(pinFiles(pinned)).toEqual(pinned)
    const copy = `${folder}-copy`
    cpSync(folder, copy, { recursive: true })
    onTestFinished(() => rmSync(copy, { recursive: true }))
    expect(hashConfig(pinFiles(from(copy)))).toBe(hashConfig(pinned))
    writeFileSync(join(copy, 'unet', WEIGHTS), safetensors(1))
    expect(hashConfig(pinFiles(from(copy)))).not.toBe(hashConfig(pinned))
  })

  test('may have its weights in shards, each of which counts', () => {
    const shard = (at: number): string => `diffusion_pytorch_model-0000${at}-of-00002.safetensors`
    const weights = { [`${WEIGHTS}.index.json`]: '{}', [shard(1)]: safetensors(1), [shard(2)]: safetensors(2) }
    const before = pinFiles(from(writePipeline(UNET, weights)))
    writePipeline(UNET, { [shard(2)]: safetensors(3) })
    expect(problemsOf(() => pinFiles(before))).toMatchObject([
      { path: 'network.initFrom', message: expect.stringContaining('has changed') },
    ])
  })

  test('that has changed since is refused with both hashes', () => {
    const pinned = pinFiles(from(writePipeline()))
    writePipeline(UNET, { [WEIGHTS]: safetensors(9) })
    const [{ path, message }] = problemsOf(() => pinFiles(pinned))
    expect(path).toBe('network.initFrom')
    expect(message).toMatch(/has changed since the run was made: expected SHA-256 [0-9a-f]{64}, got [0-9a-f]{64}$/)
  })

  test.each([
    ['no folder', () => join(folder, 'nowhere'), 'expected a pipeline folder, one with unet/config.json, got '],
    ['no unet', () => folder, 'expected a pipeline folder, one with unet/config.json, got '],
    ['no weights', () => writePipeline(UNET, {}), `expected unet/${WEIGHTS} in `],
    [
      'only a pickle',
      () => writePipeline(UNET, { 'diffusion_pytorch_model.bin': 'x' }),
      'got only unet/diffusion_pytorch_model.bin, a pickle, which could run code',
    ],
    ['weights that are none', () => writePipeline(UNET, { [WEIGHTS]: 'not tensors at all' }), 'expected a safetensors file, got '],
    ['weights cut short', () => writePipeline(UNET, { [WEIGHTS]: safetensors().subarray(0, 20) }), 'expected a safetensors file, got '],
    ['empty weights', () => writePipeline(UNET, { [WEIGHTS]: '' }), 'expected a safetensors file, got '],
  ])('%s', (_name, make, message) => {
    expect(problemsOf(() => pinFiles(from(make())))).toMatchObject([
      { path: 'network.initFrom', message: expect.stringContaining(message) },
    ])
  })

  test.each([
    [
      'another class',
      { _class_name: 'DiTTransformer2DModel' },
      'expected _class_name "UNet2DModel", the only class that a run can begin from, got "DiTTransformer2DModel"',
    ],
    ['other channels', { in_channels: 3 }, 'expected in_channels 1, since the images of digits are 1 x 8 x 8, got 3'],
    ['learned variances', { out_channels: 2 }, 'expected out_channels 1, since the images of digits are 1 x 8 x 8, got 2'],
    ['another size', { sample_size: 32 }, 'expected sample_size [8,8], since the images of digits are 1 x 8 x 8, got [32,32]'],
    ['classes', { num_class_embeds: 11 }, 'expected num_class_embeds null, since conditioning.classLabels is false, got 11'],
    ['classes by timestep', { class_embed_type: 'timestep' }, 'expected class_embed_type null, a class being a number, got "timestep"'],
  ])('%s does not fit', (_name, change, message) => {
    const config = from(writePipeline({ ...UNET, ...change }))
    expect(checkData(config, digits)).toEqual([{ path: 'network.initFrom', message: `${folder}: ${message}` }])
  })

  test('has a class more than the data where labels are told', () => {
    const labelled = (classes: number | null): TrainConfig =>
      testConfig({ network: { initFrom: writePipeline({ ...UNET, num_class_embeds: classes }) }, conditioning: { classLabels: true } })
    expect(checkData(labelled(11), digits)).toEqual([])
    const message = `${folder}: expected num_class_embeds 11, for the 10 classes of digits and none, got 10`
    expect(checkData(labelled(10), digits)).toEqual([{ path: 'network.initFrom', message }])
  })

  test('control: fits as it is, written with one side or two, and with fields left to their defaults', () => {
    expect(checkData(from(writePipeline()), digits)).toEqual([])
    const { num_class_embeds: _, class_embed_type: __, ...old } = UNET
    expect(checkData(from(writePipeline({ ...old, sample_size: [8, 8] })), digits)).toEqual([])
  })
})

describe.each([
  ['network', (module: string): TrainConfigInput['network'] => ({ module })],
  ['objective', (module: string): TrainConfigInput['objective'] => ({ kind: 'module', module })],
] as const)('a Python file as %s', (section, written) => {
  const configOf = (module: string): TrainConfig => testConfig({ [section]: written(module) })

  test('is known by its content, wherever it lies', () => {
    const pinned = pinFiles(configOf(write('mine.py', 'x = 1')))
    expect(pinned[section]).toMatchObject({ kind: 'module', module: join(folder, 'mine.py'), sha256: sha256('x = 1') })
    expect(hashConfig(pinFiles(configOf(write('elsewhere.py', 'x = 1'))))).toBe(hashConfig(pinned))
    write('mine.py', 'x = 2')
    const message = `${join(folder, 'mine.py')} has changed since the run was made: expected SHA-256 ${sha256('x = 1')}, got ${sha256('x = 2')}`
    expect(problemsOf(() => pinFiles(pinned))).toEqual([{ path: `${section}.module`, message }])
  })

  test('that is not there, or no file, is refused', () => {
    const path = join(folder, 'gone.py')
    expect(problemsOf(() => pinFiles(configOf(path)))).toEqual([
      { path: `${section}.module`, message: `expected a file, got ${path}, where there is none` },
    ])
    expect(problemsOf(() => pinFiles(configOf(folder)))).toEqual([
      { path: `${section}.module`, message: `expected a file, got ${folder}, which is none` },
    ])
  })

  test('by its dotted name is left to the worker', () => {
    expect(pinFiles(configOf('package.mine'))[section]).toMatchObject({ module: 'package.mine', sha256: null })
  })
})

describe('weights of LPIPS', () => {
  const configOf = (fields: object): TrainConfig => testConfig({ objective: { kind: 'consistency', ...fields } })

  test('are known by content', () => {
    const lpipsWeights = write('vgg.safetensors', safetensors())
    const pinned = pinFiles(configOf({ loss: 'lpips', lpipsWeights }))
    expect(pinned.objective).toMatchObject({ lpipsWeights, lpipsSha256: sha256(safetensors()) })
    const copy = write('copy.safetensors', safetensors())
    expect(hashConfig(pinFiles(configOf({ loss: 'lpips', lpipsWeights: copy })))).toBe(hashConfig(pinned))
    write('vgg.safetensors', safetensors(1))
    expect(problemsOf(() => pinFiles(pinned))).toMatchObject([{ path: 'objective.lpipsWeights' }])
  })

  test('that are not there, or no safetensors, are refused', () => {
    const of = (lpipsWeights: string) => problemsOf(() => pinFiles(configOf({ loss: 'lpips', lpipsWeights })))
    const path = 'objective.lpipsWeights'
    const gone = join(folder, 'gone.safetensors')
    expect(of(gone)).toEqual([{ path, message: `expected a file, got ${gone}, where there is none` }])
    const pickle = write('vgg.pth', 'PK\u0003\u0004 a zip of pickles, as torch saves')
    expect(of(pickle)).toEqual([{ path, message: `expected a safetensors file, got ${pickle}, which is none` }])
  })

  test('control: are not looked for where the loss has no use for them', () => {
    const config = configOf({ loss: 'l2', lpipsWeights: join(folder, 'gone.safetensors') })
    expect(pinFiles(config)).toEqual(config)
  })
})

describe('what a config asks of its data', () => {
  test('labels to be told', () => {
    const config = testConfig({ conditioning: { classLabels: true } })
    expect(checkData(config, digits)).toEqual([])
    expect(checkData(config, unlabelled)).toEqual([
      { path: 'conditioning.classLabels', message: 'expected false, since digits has no labels, got true' },
    ])
  })

  test('sides that its levels can halve', async () => {
    const channels = Array<number>(5).fill(8)
    const network: TrainConfigInput['network'] = {
      blockOutChannels: channels,
      downBlockTypes: channels.map(() => 'DownBlock2D' as const),
      upBlockTypes: channels.map(() => 'UpBlock2D' as const),
    }
    const message = 'expected at most as many levels as images can be halved for: 5 need sides divisible by 16, got 8 x 8 of digits'
    await expect(prepare({ dataset: { kind: 'digits' }, network, outputDir: join(folder, 'run') })).rejects.toMatchObject({
      problems: [{ path: 'network.blockOutChannels', message }],
    })
    expect(checkData(testConfig({ network: 'ddpm-cifar10' }), digits)).toEqual([])
  })
})
