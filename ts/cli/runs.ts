/** `immiscible runs`: the runs of a folder as a table, and in what some of them differ. */
import type { Command } from 'commander'
import { compareRuns, listRuns, type RunComparison, type RunSummary } from '../index.ts'
import { formatTable } from './table.ts'

/** Adds the commands. */
export function addRuns(program: Command, print: (text: string) => void, log: (text: string) => void): void {
  const runs = program.command('runs').description('the runs on this disk')
  runs
    .command('list', { isDefault: true })
    .description('what became of each run in a folder and those below it')
    .argument('[folder]', 'where they lie', 'runs')
    .option('--json', 'everything, for programs')
    .action(async (folder: string, { json }: { json?: boolean }) => {
      const summaries = await listRuns(folder, { onUnreadable: (message) => log(`warning: ${message}`) })
      print(json ? JSON.stringify(summaries, null, 2) : summaries.length === 0 ? `no runs in ${folder}` : listTable(summaries))
    })
  runs
    .command('compare')
    .description('the config fields in which runs differ, and how each ended')
    .argument('<runs...>', 'run folders')
    .option('--json', 'everything, for programs')
    .action(async (folders: string[], { json }: { json?: boolean }) => {
      const comparison = await compareRuns(folders)
      print(json ? JSON.stringify(comparison, null, 2) : compareTable(comparison))
    })
}

const LIST_HEADER = ['run', 'state', 'step', 'loss', 'gain', 'objective', 'strategy', 'started', 'minutes']

function listTable(summaries: readonly RunSummary[]): string {
  const rows = summaries.map(({ name, state, step, maxTrainSteps, loss, gain, objective, strategy, started, minutes }) => [
    name,
    state,
    `${step}/${maxTrainSteps}`,
    figure(loss, 4),
    figure(gain, 2),
    objective,
    strategy,
    started.slice(0, 16).replace('T', ' '),
    minutes.toFixed(1),
  ])
  return formatTable([LIST_HEADER, ...rows])
}

function compareTable({ runs, differences }: RunComparison): string {
  const row = (title: string, value: (run: RunSummary) => string): string[] => [title, ...runs.map(value)]
  return formatTable([
    row('', ({ name }) => name),
    ...differences.map(({ path, values }) => [path, ...values.map((value) => (value === undefined ? '-' : JSON.stringify(value)))]),
    row('state', ({ state }) => state),
    row('step', ({ step, maxTrainSteps }) => `${step}/${maxTrainSteps}`),
    row('loss', ({ loss }) => figure(loss, 4)),
    row('held-out loss', ({ validationLoss }) => figure(validationLoss, 4)),
    row('held-out loss, EMA', ({ validationEmaLoss }) => figure(validationEmaLoss, 4)),
    row('gain', ({ gain }) => figure(gain, 2)),
    row('ms per step', ({ msPerStep }) => figure(msPerStep, 1)),
    row('wait, ms per step', ({ waitMs }) => figure(waitMs, 1)),
    row('minutes', ({ minutes }) => minutes.toFixed(1)),
  ])
}

function figure(value: number | null, digits: number): string {
  return value === null ? '-' : value.toFixed(digits)
}
