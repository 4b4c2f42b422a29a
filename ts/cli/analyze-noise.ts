/** `immiscible analyze assignment` and `gaussianity`: of batches of a data set; parses, calls, prints. */
import type { Command } from 'commander'
import { analyzeAssignment, formatAnalysis, measureGaussianity, type AnalysisDataset } from '../index.ts'
import { integer, number } from './parse.ts'
import { formatTable } from './table.ts'

type Output = (text: string) => void

interface SceneFlags {
  dataset: string
  path?: string
  resolution?: number
  imageRms?: number
  dims?: number
}

interface AssignmentFlags extends SceneFlags {
  batchSizes?: number[]
  strategies?: string[]
  seeds: number
  json?: boolean
  markdown?: boolean
}

/** Adds the command. */
export function addAssignment(analyze: Command, print: Output, log: Output): void {
  withScene(analyze.command('assignment'), 'emoji')
    .description('what each strategy does to batches of a data set, beside what the papers report')
    .option('--batch-sizes <sizes>', 'images per assignment, as in 128,256', (text) => text.split(',').map(number))
    .option('--strategies <list>', 'as in linear,nearest:candidates=8; all that are built in', splitList)
    .option('--seeds <count>', 'batches per row', number, 5)
    .option('--json', 'everything, for programs')
    .option('--markdown', 'tables in Markdown')
    .action(async (flags: AssignmentFlags) => {
      const { batchSizes, strategies, seeds, json, markdown } = flags
      const analysis = await analyzeAssignment({
        dataset: toDataset(flags),
        ...(batchSizes && { batchSizes }),
        ...(strategies && { strategies }),
        numSeeds: seeds,
        onRow: ({ strategy, batchSize }) => log(`${strategy} ${batchSize}`),
      })
      print(json ? JSON.stringify(analysis, null, 2) : formatAnalysis(analysis, markdown ? 'markdown' : 'text'))
    })
}

interface GaussianityFlags extends SceneFlags {
  batchSize: number
  strategies?: string[]
  numNoises: number
  seed: number
  json?: boolean
}

/** Adds the command. */
export function addGaussianity(analyze: Command, print: Output, log: Output): void {
  withScene(analyze.command('gaussianity'), 'gaussian')
    .description('how far the noise that images are assigned is from Gaussian noise, on the whole')
    .option('--batch-size <images>', 'images per assignment', integer, 256)
    .option('--strategies <list>', 'as in linear,nearest:candidates=8; else independent, quantized and the nearest of 8', splitList)
    .option('--num-noises <noises>', 'how many, more than an image has numbers', integer, 50_000)
    .option('--seed <seed>', 'of the first batch', integer, 0)
    .option('--json', 'everything, for programs')
    .action(async (flags: GaussianityFlags) => {
      const { batchSize, strategies, numNoises, seed, json } = flags
      const input = { dataset: toDataset(flags), batchSize, numNoises, seed, ...(strategies && { strategies }) }
      const measured = await measureGaussianity({ ...input, onRow: ({ strategy }) => log(strategy), onSetup: log })
      if (json) return print(JSON.stringify(measured, null, 2))
      const { dataset, dims, expectedKl, klDeviation } = measured
      const rows = measured.rows.map(({ strategy, kl, deviation, meanSquaredNorm }) => [
        strategy,
        kl.toFixed(3),
        deviation.toFixed(1),
        (meanSquaredNorm / dims).toFixed(5),
      ])
      const head = `${dataset}: ${numNoises} noises of ${dims} numbers; true Gaussian noise: ${expectedKl.toFixed(3)} ± ${klDeviation.toFixed(3)}.`
      return print([head, formatTable([['strategy', 'KL', 'deviations', 'squared norm'], ...rows])].join('\n'))
    })
}

function withScene(command: Command, dataset: string): Command {
  return command
    .option('--dataset <kind>', "data set, or 'gaussian'", dataset)
    .option('--path <path>', 'file or folder of the data set, where it has one')
    .option('--resolution <pixels>', 'height and width, where the data set has a choice', number)
    .option('--image-rms <rms>', 'root mean square of Gaussian images', number)
    .option('--dims <numbers>', 'numbers per Gaussian image', number)
}

/** Kinds stay unchecked here: the schema knows them, and says what it expected. */
function toDataset({ dataset, path, resolution, imageRms, dims }: SceneFlags): AnalysisDataset {
  const given = Object.entries({ path, resolution, imageRms, dims }).filter(([, value]) => value !== undefined)
  return { kind: dataset, ...Object.fromEntries(given) } as AnalysisDataset
}

function splitList(text: string): string[] {
  return text.split(',')
}
