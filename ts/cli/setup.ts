/** `immiscible setup`: the Python environment that trains, made where there is none, and why it is this one. */
import type { Command } from 'commander'
import { ensureEnvironment } from '../index.ts'

/** Adds the command. */
export function addSetup(program: Command, print: (text: string) => void, log: (text: string) => void): void {
  program
    .command('setup')
    .description('find the Python environment that trains, or install one, and say which it is and why')
    .option('--json', 'the answer, for programs')
    .action(async ({ json }: { json?: boolean }) => {
      const environment = await ensureEnvironment({ onProgress: log })
      print(json ? JSON.stringify(environment, null, 2) : `${environment.python}\n${environment.reason}`)
    })
}
