/** `immiscible data encode`: the latents that diffusers itself computes, whole or not there, and refused in one line where they cannot be. */
import { execFile, spawn } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { openDataset } from '../../ts/dataset/table.ts'
import { encodeDataset, type EncodeOptions } from '../../ts/index.ts'
import { testConfig } from '../fixture/config.ts'
import { runPython } from '../fixture/python.ts'

const SECONDS = 1000
const CLI = fileURLToPath(new URL('../../ts/cli/main.ts', import.meta.url))

const folder = mkdtempSync(join(tmpdir(), 'immiscible-encode-'))
const vae = join(folder, 'vae')
const dataset = { kind: 'emoji', resolution: 16 } as const
beforeAll(async () => {
  process.env['IMMISCIBLE_HOME'] = join(folder, 'home')
  // Two levels: sides halved once.
  await runPython(
    `
import torch
from diffusers import AutoencoderKL
torch.manual_seed(0)
AutoencoderKL(
    in_channels=3, out_channels=3, latent_channels=4, block_out_channels=(8, 8), norm_num_groups=4, layers_per_block=1,
    down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2, sample_size=16, scaling_factor=0.25,
).save_pretrained(args)
answer = 0
`,
    vae,
  )
}, 60 * SECONDS)
afterAll(() => {
  delete process.env['IMMISCIBLE_HOME']
  rmSync(folder, { recursive: true, force: true })
})

const optionsOf = (changes: Partial<EncodeOptions> = {}): EncodeOptions => ({
  dataset,
  vae,
  output: join(folder, 'latents.safetensors'),
  batchSize: 64,
  device: 'cpu',
  ...changes,
})

interface Reference {
  readonly names: string[]
  readonly shape: number[]
  readonly metadata: Record<string, string>
  readonly labels: number[]
  readonly worst: number
}

test("mean and std are those of diffusers' posterior, for the images and for their mirror images", { timeout: 120 * SECONDS }, async () => {
  const progress: [number, number][] = []
  const result = await encodeDataset(optionsOf({ mirrored: true, onEncoded: (done, total) => progress.push([done, total]) }))
  expect(result).toMatchObject({ shape: [1412, 4, 8, 8], scalingFactor: 0.25, file: join(folder, 'latents.safetensors') })
  expect(progress[0]).toEqual([64, 1412])
  expect(progress.at(-1)).toEqual([1412, 1412])
  expect(readdirSync(folder).filter((name) => name.startsWith('.tmp-'))).toEqual([])

  const emoji = await openDataset(testConfig({ dataset }).dataset)
  const numChecked = 100
  const pixels = new Uint8Array(numChecked * 768)
  for (let index = 0; index < numChecked; index++) emoji.read(index, pixels, index * 768)
  const reference = await runPython<Reference>(
    `
import torch
from diffusers import AutoencoderKL
from safetensors import safe_open
x = torch.from_numpy(arrays[0].reshape(-1, 3, 16, 16)).float() / 127.5 - 1
vae = AutoencoderKL.from_pretrained(args["vae"]).eval()
worst = 0.0
with safe_open(args["file"], "np") as file, torch.no_grad():
    for suffix, shown in (("", x), ("_mirrored", x.flip(-1))):
        posterior = vae.encode(shown).latent_dist
        for name, expected in (("mean", posterior.mean), ("std", posterior.std)):
            stored = file.get_tensor(name + suffix)
            worst = max(worst, float(np.abs(stored[: len(x)] - expected.numpy()).max()))
    answer = {
        "names": sorted(file.keys()), "shape": list(file.get_tensor("mean").shape), "metadata": file.metadata(),
        "labels": file.get_tensor("labels").tolist(), "worst": worst,
    }
`,
    { vae, file: result.file },
    [pixels],
  )
  expect(reference.names).toEqual(['labels', 'mean', 'mean_mirrored', 'std', 'std_mirrored'])
  expect(reference.worst).toBeLessThan(1e-5)
  expect(reference.labels).toEqual([...(emoji.labels ?? [])])
  expect(reference.metadata).toMatchObject({ format: 'immiscible-latents/1', scaling_factor: '0.25', dataset_sha256: emoji.sha256 })
  expect(JSON.parse(reference.metadata['class_names'])).toHaveLength(7)

  const latents = await openDataset(testConfig({ dataset: { kind: 'arrays', path: result.file } }).dataset)
  expect(latents).toMatchObject({ dtype: 'float32', numImages: 1412, imageShape: [4, 8, 8], numClasses: 7 })
  expect(latents.stored.record).toMatchObject({ hasStd: true, hasMirrored: true })
})

test('the command says what it wrote; a second time it refuses, and is told to', { timeout: 120 * SECONDS }, async () => {
  const output = join(folder, 'by-command.safetensors')
  const flags = ['data', 'encode', '--dataset', 'emoji', '--resolution', '16', '--vae', vae, '--output', output, '--batch-size', '256']
  const run = (more: string[] = []): Promise<{ stdout: string; stderr: string }> =>
    promisify(execFile)(process.execPath, [CLI, ...flags, '--device', 'cpu', ...more])
  const first = await run()
  expect(first.stdout).toBe(`${output}  1412 x 4 x 8 x 8, to be multiplied by 0.25\n`)
  expect(first.stderr).toContain('encoding  1,412 of 1,412  100 %')
  const bytes = readFileSync(output)
  await expect(run()).rejects.toMatchObject({
    code: 2,
    stderr: expect.stringContaining(`output: expected no file, got ${output}`) as string,
  })
  expect(JSON.parse((await run(['--overwrite', '--json'])).stdout)).toMatchObject({ shape: [1412, 4, 8, 8] })
  expect(readFileSync(output).equals(bytes), 'the same again, bit for bit').toBe(true)
})

test('a SIGKILL in the middle leaves no output, and the next call makes it', { timeout: 120 * SECONDS }, async () => {
  const output = join(folder, 'killed.safetensors')
  const flags = ['data', 'encode', '--dataset', 'emoji', '--vae', vae, '--output', output, '--batch-size', '1', '--device', 'cpu']
  const child = spawn(process.execPath, [CLI, ...flags], { stdio: 'ignore', detached: true })
  const temporary = join(folder, '.tmp-killed.safetensors')
  while (!existsSync(temporary)) await new Promise((resolve) => setTimeout(resolve, 20))
  process.kill(-(child.pid as number), 'SIGKILL')
  await new Promise((resolve) => child.once('exit', resolve))
  expect(existsSync(output)).toBe(false)
  await encodeDataset(optionsOf({ output }))
  expect(existsSync(output)).toBe(true)
  expect(existsSync(temporary)).toBe(false)
})

test.skipIf(process.platform === 'win32').each(['SIGINT', 'SIGTERM'] as const)(
  '%s ends it, and nothing is left',
  { timeout: 120 * SECONDS },
  async (signal) => {
    const output = join(folder, 'stopped.safetensors')
    const flags = ['data', 'encode', '--dataset', 'emoji', '--vae', vae, '--output', output, '--batch-size', '1', '--device', 'cpu']
    const child = spawn(process.execPath, [CLI, ...flags], { stdio: ['ignore', 'ignore', 'pipe'], detached: true })
    let said = ''
    child.stderr.on('data', (text: Buffer) => (said += text.toString()))
    const temporary = join(folder, '.tmp-stopped.safetensors')
    while (!existsSync(temporary)) await new Promise((resolve) => setTimeout(resolve, 20))
    // A terminal's Ctrl-C reaches Python as well.
    process.kill(signal === 'SIGINT' ? -(child.pid as number) : (child.pid as number), signal)
    const code = await new Promise((resolve) => child.once('exit', resolve))
    expect([code, said.split('\n').slice(-2)]).toEqual([130, ['immiscible: interrupted', '']])
    expect(readdirSync(folder).filter((name) => name.includes('stopped'))).toEqual([])
  },
)

test('what the worker refuses comes without its prefix', { timeout: 60 * SECONDS }, async () => {
  const gone = join(folder, 'gone')
  await expect(encodeDataset(optionsOf({ vae: gone, output: join(folder, 'refused.safetensors') }))).rejects.toThrow(/^encode: vae: /)
})

// What does not fit the autoencoder: test/py/test_encode.py.
const refused: readonly [string, Partial<EncodeOptions>, string][] = [
  ['a grey data set', { dataset: 'digits' }, 'dataset: expected images of 3 channels, as the autoencoder takes, got 1'],
  ['another ending', { output: join(folder, 'latents.pt') }, 'output: expected a name that ends in .safetensors'],
  ['no images at once', { batchSize: 0 }, 'batchSize: expected an integer of at least 1, got 0'],
]
test.each(refused)('%s is refused in one line, and nothing is written', { timeout: 60 * SECONDS }, async (_what, changes, message) => {
  const output = join(folder, 'refused.safetensors')
  await expect(encodeDataset(optionsOf({ output, ...changes }))).rejects.toThrow(message)
  expect(readdirSync(folder).filter((name) => name.includes('refused') || name.endsWith('.pt'))).toEqual([])
})
