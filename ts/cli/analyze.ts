/** `immiscible analyze`: parses, calls, prints. */
import type { Command } from 'commander'
import { analyzeAssignment, formatAnalysis, type AnalysisDataset } from '../index.ts'
import { addDenoising } from './analyze-runs.ts'
import { number } from './parse.ts'

interface Flags {
  dataset: string
  path?: string
  resolution?: number
  imageRms?: number
  dims?: number
  batchSizes?: number[]
  strategies?: string[]
  seeds: number
  json?: boolean
  markdown?: boolean
}

/** Adds the command. */
export function addAnalyze(program: Command, print: (text: string) => void, log: (text: string) => void): void {
  const analyze = program.command('analyze').description('numbers about assignments, and about what models have learnt of them')
  addDenoising(analyze, print, log)
  analyze
    .command('assignment')
    .description('what each strategy does to batches of a data set, beside what the papers report')
    .option('--dataset <kind>', "data set, or 'gaussian'", 'emoji')
    .option('--path <path>', 'file or folder of the data set, where it has one')
    .option('--resolution <pixels>', 'height and width, where the data set has a choice', number)
    .option('--image-rms <rms>', 'root mean square of Gaussian images', number)
    .option('--dims <numbers>', 'numbers per Gaussian image', number)
    .option('--batch-sizes <sizes>', 'images per assignment, as in 128,256', (text) => text.split(',').map(number))
    .option('--strategies <list>', 'as in linear,nearest:candidates=8; all that are built in', (text) => text.split(','))
    .option('--seeds <count>', 'batches per row', number, 5)
    .option('--json', 'everything, for programs')
    .option('--markdown', 'tables in Markdown')
    .action(async ({ dataset, path, resolution, imageRms, dims, batchSizes, strategies, seeds, json, markdown }: Flags) => {
      const given = Object.entries({ path, resolution, imageRms, dims }).filter(([, value]) => value !== undefined)
      const analysis = await analyzeAssignment({
        // Kinds stay unchecked here: the schema knows them, and says what it expected.
        dataset: { kind: dataset, ...Object.fromEntries(given) } as AnalysisDataset,
        ...(batchSizes && { batchSizes }),
        ...(strategies && { strategies }),
        numSeeds: seeds,
        onRow: ({ strategy, batchSize }) => log(`${strategy} ${batchSize}`),
      })
      print(json ? JSON.stringify(analysis, null, 2) : formatAnalysis(analysis, markdown ? 'markdown' : 'text'))
    })
}
