/** `immiscible analyze denoising` and `miscibility`: of finished runs; parses, calls, prints. */
import { basename, resolve } from 'node:path'
import type { Command } from 'commander'
import { drawDenoising, measureMiscibility, type Miscibility } from '../index.ts'
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

interface MiscibilityFlags {
  numImages: number
  numInferenceSteps?: number
  seed: number
  json?: boolean
}

/** Adds the command. */
export function addMiscibility(analyze: Command, print: Output, log: Output): void {
  analyze
    .command('miscibility')
    .description('how far apart the noises lie that finished runs turn into images of different classes')
    .argument('<run...>', 'run folders, of unconditional models and data sets with labels')
    .option('--num-images <images>', 'noises that are sampled', integer, 2000)
    .option('--num-inference-steps <steps>', 'calls of the network for each; else as the run sampled', integer)
    .option('--seed <seed>', 'of the noise', integer, 0)
    .option('--json', 'everything, for programs')
    .action(async (folders: string[], { json, ...options }: MiscibilityFlags) => {
      const measured: (Miscibility & { run: string })[] = []
      for (const folder of folders) {
        measured.push({ run: basename(resolve(folder)), ...(await measureMiscibility(folder, { ...options, onSetup: log })) })
      }
      if (json) return print(JSON.stringify(measured, null, 2))
      const rows = measured.map(({ run, corrected, distance, floor, pValue, confidentShare, numImages }) => [
        run,
        ...[corrected, { value: distance }, floor].map(showInterval),
        pValue.toFixed(3),
        (100 * confidentShare).toFixed(1),
        String(numImages),
      ])
      return print(formatTable([['run', 'distance', 'uncorrected', 'by chance', 'p', 'confident %', 'noises'], ...rows]))
    })
}

function showInterval({ value, low, high }: { value: number; low?: number; high?: number }): string {
  return low === undefined || high === undefined ? value.toFixed(2) : `${value.toFixed(2)} [${low.toFixed(2)}, ${high.toFixed(2)}]`
}
