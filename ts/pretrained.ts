/** The network of a pipeline folder as a run may begin from it: which files it is, and whether it fits the data. */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { ConfigProblem } from '../protocol/index.ts'
import type { Dataset } from './dataset/dataset.ts'

const SINGLE = 'diffusion_pytorch_model.safetensors'
const INDEX = `${SINGLE}.index.json`
const SHARD = /^diffusion_pytorch_model-\d+-of-\d+\.safetensors$/

/** Config and weights in order of name; or what is missing. */
export function listPretrainedFiles(folder: string): { readonly paths: readonly string[] } | { readonly problem: string } {
  const unet = join(folder, 'unet')
  if (!existsSync(join(unet, 'config.json'))) {
    return { problem: `expected a pipeline folder, one with unet/config.json, got ${folder}` }
  }
  const names = readdirSync(unet)
  // In the order in which diffusers looks for them.
  const weights = names.includes(INDEX) ? [INDEX, ...names.filter((name) => SHARD.test(name))] : names.includes(SINGLE) ? [SINGLE] : []
  if (weights.length === 0) {
    const pickles = names.find((name) => name.endsWith('.bin'))
    const reason = pickles ? `only unet/${pickles}, a pickle, which could run code: save it as safetensors first` : 'no weights'
    return { problem: `expected unet/${SINGLE} in ${folder}, got ${reason}` }
  }
  return { paths: ['config.json', ...weights].toSorted().map((name) => join(unet, name)) }
}

/** What of unet/config.json does not fit the data. numClasses: 0 for a network that is told no labels. */
export function checkPretrained(folder: string, { name, imageShape }: Dataset, numClasses: number): ConfigProblem[] {
  const config = readConfig(folder)
  if (typeof config === 'string') return [{ path: 'network.initFrom', message: config }]
  const [channels, height, width] = imageShape
  const problems: ConfigProblem[] = []
  const expect = (field: string, wanted: unknown, why: string, got = config[field]): void => {
    if (JSON.stringify(got) === JSON.stringify(wanted)) return
    const message = `${folder}: expected ${field} ${JSON.stringify(wanted)}, ${why}, got ${JSON.stringify(got)}`
    problems.push({ path: 'network.initFrom', message })
  }
  expect('_class_name', 'UNet2DModel', 'the only class that a run can begin from')
  if (problems.length > 0) return problems
  const data = `since the images of ${name} are ${channels} x ${height} x ${width}`
  expect('in_channels', channels, data, config['in_channels'] ?? 3)
  expect('out_channels', channels, data, config['out_channels'] ?? 3)
  const size = config['sample_size']
  expect('sample_size', [height, width], data, Array.isArray(size) ? size : [size, size])
  const why = numClasses > 0 ? `for the ${numClasses} classes of ${name} and none` : 'since conditioning.classLabels is false'
  expect('num_class_embeds', numClasses > 0 ? numClasses + 1 : null, why, config['num_class_embeds'] ?? null)
  expect('class_embed_type', null, 'a class being a number', config['class_embed_type'] ?? null)
  return problems
}

function readConfig(folder: string): Record<string, unknown> | string {
  try {
    return JSON.parse(readFileSync(join(folder, 'unet', 'config.json'), 'utf8')) as Record<string, unknown>
  } catch (error) {
    return `${folder}: unet/config.json cannot be read: ${(error as Error).message}`
  }
}
