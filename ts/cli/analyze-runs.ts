/** `immiscible analyze denoising`: parses, calls, prints. */
import { basename, resolve } from 'node:path'
import type { Command } from 'commander'
import { drawDenoising } from '../index.ts'
import { integer } from './parse.ts'
import { formatTable } from './table.ts'

type Output = (text: string) => void

interface DenoisingFlags {
  output: string
  numImages: number
  numInferenceSteps: number
  seed: number
  json?: boolean
}

/** Adds the command. */
export function addDenoising(analyze: Command, print: Output, log: Output): void {
  analyze
    .command('denoising')
    .description('what finished runs answer to pure noise: a picture, and how far it is an image')
    .argument('<run...>', 'run folders, or pipeline folders, of images of one shape')
    .option('--output <file>', 'PNG', 'denoising.png')
    .option('--num-images <images>', 'columns', integer, 8)
    .option('--num-inference-steps <steps>', 'of ddim: the schedule whose first timestep is looked at', integer, 20)
    .option('--seed <seed>', 'of the noise', integer, 0)
    .option('--json', 'everything, for programs')
    .action(async (folders: string[], { output, json, ...options }: DenoisingFlags) => {
      const models = folders.map((folder) => ({ label: basename(resolve(folder)), folder }))
      const denoising = await drawDenoising(models, output, { ...options, onSetup: log })
      if (json) return print(JSON.stringify(denoising, null, 2))
      const rows = denoising.models.map(({ label, sampler, level, noiseR2, meanShare, noiseShare, imageShare }) => [
        label,
        sampler,
        level,
        (1 - noiseR2).toExponential(2),
        ...[meanShare, noiseShare, imageShare].map((share) => (100 * share).toFixed(1)),
      ])
      const titles = ['model', 'sampler', 'noise layer', '1 - R2', 'mean image %', 'noise %', 'own image %']
      return print([formatTable([titles, ...rows]), denoising.png].join('\n'))
    })
}
