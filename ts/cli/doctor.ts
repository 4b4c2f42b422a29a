/** `immiscible doctor`: parses, calls, prints. */
import type { Command } from 'commander'
import { diagnose, formatDiagnosis, ImmiscibleError } from '../index.ts'

/** Adds the command. */
export function addDoctor(program: Command, print: (text: string) => void): void {
  program
    .command('doctor')
    .description('say whether training can work here, and what to do where it cannot; installs nothing')
    .option('--json', 'for programs')
    .action(async ({ json }: { json?: boolean }) => {
      const diagnosis = await diagnose()
      print(json ? JSON.stringify(diagnosis, null, 2) : formatDiagnosis(diagnosis))
      if (!diagnosis.canTrain) throw new ImmiscibleError('ENVIRONMENT', 'training cannot work here')
    })
}
