/** The autoencoder that decodes latents: whether a folder holds one that a run can use, and whether it is that of the data. */
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { ConfigProblem } from '../protocol/index.ts'
import type { Dataset } from './dataset/dataset.ts'

/** As `data encode` refuses them. */
const BEYOND_A_FACTOR = ['shift_factor', 'latents_mean', 'latents_std']
const WEIGHTS = 'diffusion_pytorch_model.safetensors'

/** What of a folder of diffusers does not fit the data. */
export function checkVae(folder: string, { name, imageShape, dtype }: Dataset): ConfigProblem[] {
  const problem = (message: string): ConfigProblem[] => [{ path: 'dataset.vae', message }]
  if (dtype !== 'float32') return problem(`expected null, since ${name} holds pixels and not latents, got ${folder}`)
  if (!existsSync(join(folder, WEIGHTS))) return problem(`expected a folder with config.json and ${WEIGHTS}, got ${folder}`)
  let config: Record<string, unknown>
  try {
    config = JSON.parse(readFileSync(join(folder, 'config.json'), 'utf8')) as Record<string, unknown>
  } catch (error) {
    return problem(`${folder}: config.json cannot be read: ${(error as Error).message}`)
  }
  const { _class_name: kind, latent_channels: channels = 4 } = config
  const expected = (field: string, wanted: unknown, why: string, got: unknown): ConfigProblem[] =>
    problem(`${folder}: expected ${field} ${JSON.stringify(wanted)}, ${why}, got ${JSON.stringify(got)}`)
  if (kind !== 'AutoencoderKL') return expected('_class_name', 'AutoencoderKL', 'the only class that decodes here', kind)
  if (channels !== imageShape[0]) {
    return expected('latent_channels', imageShape[0], `since the latents of ${name} are ${imageShape.join(' x ')}`, channels)
  }
  const beyond = BEYOND_A_FACTOR.find((field) => (config[field] ?? null) !== null)
  return beyond === undefined ? [] : expected(beyond, null, 'since latents are multiplied by a factor alone', config[beyond])
}
