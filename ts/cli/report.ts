/** `immiscible report`: parses, calls, prints. */
import type { Command } from 'commander'
import { writeReport } from '../index.ts'

interface Flags {
  output: string
  markdown?: boolean
  json?: boolean
}

/** Adds the command. */
export function addReport(program: Command, print: (text: string) => void): void {
  program
    .command('report')
    .description('write runs as one HTML file that needs nothing else, and as Markdown beside it')
    .argument('<run...>', 'run folders, in any state')
    .option('--output <file>', 'the HTML file', 'report.html')
    .option('--markdown', 'print the Markdown, and write no file')
    .option('--json', 'print {"files"}')
    .action((runFolders: string[], { output, markdown, json }: Flags) => {
      if (markdown) return print(writeReport(runFolders).markdown)
      const { files } = writeReport(runFolders, { output })
      return print(json ? JSON.stringify({ files }) : files.join('\n'))
    })
}
