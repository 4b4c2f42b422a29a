/** `immiscible train` and `immiscible resume`: parse, call, show the run while it goes. */
import type { Command } from 'commander'
import { resumeImmiscible, trainImmiscible, type TrainOptions } from '../index.ts'
import { addConfigFlags, loadFlags } from './config-flags.ts'
import { follow } from './follow.ts'
import { integer } from './parse.ts'
import { createProgress } from './progress.ts'

const DASHBOARD = 'show the run in the browser while it trains; prints the address'

/** Adds the command. */
export function addTrain(program: Command, print: (text: string) => void, log: (text: string) => void): void {
  addConfigFlags(program.command('train'))
    .description('train a model into a new run folder')
    .option('--dashboard', DASHBOARD)
    .option('--json', 'the result on stdout, for programs')
    .action(async (flags: Readonly<Record<string, unknown>>) => {
      const { input, file, run } = await loadFlags(flags)
      if (file !== undefined) log(`config ${file}${run === undefined ? '' : `, run ${run}`}`)
      const result = await follow(trainImmiscible(input, watching(log)), { dashboard: flags['dashboard'] === true })
      if (flags['json']) print(JSON.stringify(result, null, 2))
    })
}

/** What happens before a run begins: packages are installed, a data set is decoded. */
function watching(log: (text: string) => void): Pick<TrainOptions, 'onSetup' | 'onDataset'> {
  const progress = createProgress(process.stderr)
  return {
    onSetup: log,
    onDataset({ name, numImages, total, isDone }) {
      progress.show(`decoding ${name}`, numImages, total)
      if (isDone) progress.end()
    },
  }
}

/** Adds the command. */
export function addResume(program: Command, print: (text: string) => void, log: (text: string) => void): void {
  program
    .command('resume')
    .description('go on with a run from its last checkpoint')
    .argument('<run>', 'run folder')
    .option('--max-train-steps <steps>', 'go further than planned', integer)
    .option('--dashboard', DASHBOARD)
    .option('--json', 'the result on stdout, for programs')
    .action(
      async (runFolder: string, { json, dashboard = false, ...flags }: { maxTrainSteps?: number; json?: boolean; dashboard?: boolean }) => {
        const result = await follow(resumeImmiscible(runFolder, { ...flags, ...watching(log) }), { dashboard })
        if (json) print(JSON.stringify(result, null, 2))
      },
    )
}
