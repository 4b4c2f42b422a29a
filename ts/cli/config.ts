/** `immiscible config`: the resolved config, and where each value came from. */
import type { Command } from 'commander'
import { describeSource } from '../index.ts'
import { addConfigFlags, loadFlags } from './config-flags.ts'
import { formatTable } from './table.ts'

/** Adds the command. */
export function addConfig(program: Command, print: (text: string) => void, log: (text: string) => void): void {
  addConfigFlags(program.command('config'))
    .description('print the config that train would use, and where each value comes from: default < preset < file < env < flag')
    .option('--json', 'everything, for programs')
    .action(async (flags: Readonly<Record<string, unknown>>) => {
      const { config, values, file, run } = await loadFlags(flags)
      if (flags['json']) {
        print(JSON.stringify({ file: file ?? null, run: run ?? null, config, values }, null, 2))
        return
      }
      log(file === undefined ? 'no config file' : `config ${file}${run === undefined ? '' : `, run ${run}`}`)
      const rows = values.map(({ path, value, source }) => [path, JSON.stringify(value), describeSource(source)])
      print(formatTable([['field', 'value', 'from'], ...rows]))
    })
}
