/** `immiscible keys`: parses, calls, prints. */
import type { Command } from 'commander'
import { makeKeys } from '../index.ts'

/** Adds the command. */
export function addKeys(program: Command, print: (text: string) => void): void {
  program
    .command('keys')
    .description('make a key pair for --listen: NAME.key for the other side, NAME.key_secret to keep, both readable by you alone')
    .argument('<folder>', 'where to put them')
    .option('--name <name>', 'of the files, and of the client in the log', 'immiscible')
    .option('--json', 'the two paths, for programs')
    .action((folder: string, { name, json }: { name: string; json?: boolean }) => {
      const files = makeKeys(folder, name)
      print(json ? JSON.stringify(files, null, 2) : `${files.publicFile}\n${files.secretFile}`)
    })
}
