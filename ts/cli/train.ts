/** `immiscible train` and `immiscible resume`: parse, call, show the run while it goes. */
import type { Command } from 'commander'
import { resumeImmiscible, trainImmiscible } from '../index.ts'
import { addConfigFlags, loadFlags } from './config-flags.ts'
import { follow } from './follow.ts'
import { integer } from './parse.ts'

/** Adds the command. */
export function addTrain(program: Command, print: (text: string) => void, log: (text: string) => void): void {
  addConfigFlags(program.command('train'))
    .description('train a model into a new run folder')
    .option('--json', 'the result on stdout, for programs')
    .action(async (flags: Readonly<Record<string, unknown>>) => {
      const { input, file, run } = await loadFlags(flags)
      if (file !== undefined) log(`config ${file}${run === undefined ? '' : `, run ${run}`}`)
      const result = await follow(trainImmiscible(input, { onSetup: log }))
      if (flags['json']) print(JSON.stringify(result, null, 2))
    })
}

/** Adds the command. */
export function addResume(program: Command, print: (text: string) => void, log: (text: string) => void): void {
  program
    .command('resume')
    .description('go on with a run from its last checkpoint')
    .argument('<run>', 'run folder')
    .option('--max-train-steps <steps>', 'go further than planned', integer)
    .option('--json', 'the result on stdout, for programs')
    .action(async (runFolder: string, { json, ...flags }: { maxTrainSteps?: number; json?: boolean }) => {
      const result = await follow(resumeImmiscible(runFolder, { ...flags, onSetup: log }))
      if (json) print(JSON.stringify(result, null, 2))
    })
}
