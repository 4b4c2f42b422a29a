/** A class-conditional run on latents from a safetensors file: exact over SIGKILL and resume, decoded by its autoencoder, sampled by the command. */
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeEach, expect, test, vi } from 'vitest'
import type { TrainInput } from '../../ts/index.ts'
import { evaluateRun, resumeImmiscible, sampleFiles, trainImmiscible } from '../../ts/index.ts'
import { runPython } from '../fixture/python.ts'
import { eventsOf, readEvents, temporaryFolder, TINY } from './run.ts'

const SECONDS = 1000
const SCALING_FACTOR = 0.18215

let folder: string
beforeEach(async () => {
  folder = temporaryFolder()
  vi.stubEnv('IMMISCIBLE_HOME', join(folder, 'home'))
  await runPython(
    `
import torch
from diffusers import AutoencoderKL
from safetensors.numpy import save_file
random = np.random.default_rng(1)
parts = {name: random.normal(0, 6, (96, 4, 4, 4)).astype(np.float32) for name in ("mean", "std", "mean_mirrored", "std_mirrored")}
parts = {name: np.abs(part) if name.startswith("std") else part for name, part in parts.items()}
save_file({**parts, "labels": np.arange(96) % 3}, args + "/latents.safetensors", {"scaling_factor": "${SCALING_FACTOR}"})
blocks = {"down_block_types": ("DownEncoderBlock2D",) * 2, "up_block_types": ("UpDecoderBlock2D",) * 2}
AutoencoderKL(**blocks, block_out_channels=(8, 8), latent_channels=4, norm_num_groups=4).save_pretrained(args + "/vae")
answer = None
`,
    folder,
  )
})

function inputOf(outputDir: string, more: Partial<TrainInput> = {}): TrainInput {
  const dataset = { kind: 'arrays', path: join(folder, 'latents.safetensors'), vae: join(folder, 'vae'), horizontalFlip: true } as const
  const conditioning = { classLabels: true }
  const lengths = { checkpoint: { everySteps: 4 }, maxTrainSteps: 12, validation: { numImages: 8, everySteps: 6 } }
  return { ...TINY, ...lengths, dataset, conditioning, tracking: { reportTo: [] }, outputDir: join(folder, outputDir), ...more }
}

test('straight, killed, and resumed: the same latents and the same state; then it is sampled', { timeout: 180 * SECONDS }, async () => {
  const straight = await trainImmiscible(inputOf('straight'))

  const killed = trainImmiscible(inputOf('killed', { pipeline: { datasetBytes: 0, threads: 2 } }))
  let pid: number | null = null
  let isKilled = false
  for await (const event of killed) {
    if (event.kind === 'worker' && event.state === 'ready') pid = event.pid
    if (event.kind === 'step' && event.step === 6 && !isKilled) isKilled = process.kill(pid as number, 'SIGKILL')
  }
  expect(isKilled).toBe(true)
  expect((await killed).stateSha256).toBe(straight.stateSha256)

  await trainImmiscible(inputOf('resumed', { maxTrainSteps: 5 }))
  const resumed = await resumeImmiscible(join(folder, 'resumed'), { maxTrainSteps: 12 })
  expect(resumed.stateSha256).toBe(straight.stateSha256)

  const batchesOf = (name: string): string[] => [
    ...new Set(eventsOf(readEvents(join(folder, name)), 'step').map(({ step, batchSha256 }) => `${step} ${batchSha256}`)),
  ]
  expect(batchesOf('killed')).toEqual(batchesOf('straight'))
  expect(batchesOf('resumed')).toEqual(batchesOf('straight'))
  expect(new Set(batchesOf('straight')).size).toBe(12)

  const record = JSON.parse(readFileSync(join(straight.pipelineFolder, 'immiscible.json'), 'utf8')) as Record<string, unknown>
  expect(record).toMatchObject({ scalingFactor: SCALING_FACTOR, numClasses: 3 })
  expect(existsSync(join(straight.pipelineFolder, 'vae', 'config.json'))).toBe(true)
  const [first] = await sampleFiles(straight.runFolder, join(folder, 'samples'), { numImages: 3 })
  // Twice the latents' sides: the autoencoder's pixels.
  expect([readFileSync(first).readUInt32BE(16), readFileSync(first).readUInt32BE(20)]).toEqual([8, 8])
  await expect(evaluateRun(straight.runFolder)).rejects.toThrow('latents: expected pixels, got latents')
})

test('without the latents of the mirror images a flip is refused before anything is written', async () => {
  const { dataset } = inputOf('refused')
  const means = { ...(dataset as object), images: 'mean_mirrored', horizontalFlip: true } as TrainInput['dataset']
  await expect(trainImmiscible({ ...inputOf('refused'), dataset: means })).rejects.toThrow(
    'dataset.horizontalFlip: expected false, since latents holds latents without those of the mirror images, got true',
  )
  expect(existsSync(join(folder, 'refused'))).toBe(false)
})
