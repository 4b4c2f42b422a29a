/** `immiscible strategies`: the table of strategies and presets. */
import type { Command } from 'commander'
import { ASSIGNMENT_PRESETS, STRATEGIES } from '../index.ts'
import { formatTable } from './table.ts'

const HEADER = ['strategy', 'what it does', 'options', 'source']

interface Entry {
  readonly name: string
  readonly summary: string
  readonly options: readonly string[]
  readonly source: string
}

/** Adds the command. */
export function addStrategies(program: Command, print: (text: string) => void): void {
  program
    .command('strategies')
    .description('list the assignment strategies and presets')
    .option('--json', 'the list, for programs')
    .action(({ json = false }: { json?: boolean }) => {
      print(listStrategies(json))
    })
}

/** Strategies and presets as one list; `json` for programs. */
function listStrategies(json: boolean): string {
  const entries: Entry[] = [
    ...STRATEGIES.map(({ kind, ...entry }) => ({ name: kind, ...entry })),
    ...Object.entries(ASSIGNMENT_PRESETS).map(([name, { summary, source }]) => ({ name, summary, options: [], source })),
  ]
  if (json) return JSON.stringify(entries, null, 2)
  const rows = entries.map(({ name, summary, options, source }) => [name, summary, options.join(' '), source])
  return [
    formatTable([HEADER, ...rows], { mayCut: false }),
    '',
    'A module of your own: --assignment ./mine.ts, whose default export is a strategy or a function of its options.',
  ].join('\n')
}
