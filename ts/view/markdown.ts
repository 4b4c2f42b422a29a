/** Runs as Markdown: for a pull request, a notebook, an issue. */
import { flatten, summarizeRun } from './page/summary.mjs'
import { STAGES, summarizeRecent } from './page/model.mjs'
import type { ReportedRun } from './reported-run.ts'

type Pairs = readonly (readonly [name: string, value: string])[]

/** Result, time per stage, what differs between the configs (or all of one config), versions, warnings. */
export function toMarkdown(runs: readonly ReportedRun[]): string {
  const table = (columns: readonly Pairs[]): string => toTable(runs, columns)
  const configs = runs.map(({ about }) => flatten(about.config ?? {}))
  const isAlone = runs.length === 1
  return [
    `# ${runs.map(({ name }) => escape(name)).join(', ')}`,
    table(runs.map(summarizeRun)),
    '## Milliseconds per step: median (95th percentile)',
    table(runs.map(toStages)),
    isAlone ? '## Config' : '## What differs in the config',
    table(isAlone ? configs : keepDifferences(configs)),
    '## Versions',
    table(runs.map(({ about }) => flatten(about.environment ?? {}))),
    '## Warnings',
    runs.map(toWarnings).filter(Boolean).join('\n') || 'none',
    '',
  ].join('\n\n')
}

function toTable(runs: readonly ReportedRun[], columns: readonly Pairs[]): string {
  const names = [...new Set(columns.flatMap((pairs) => pairs.map(([name]) => name)))]
  if (names.length === 0) return 'none'
  const maps = columns.map((pairs) => new Map(pairs))
  const rows = names.map((name) => [name, ...maps.map((map) => map.get(name) ?? '–')])
  const line = (cells: readonly string[]): string => `| ${cells.map(escape).join(' | ')} |`
  return [line(['', ...runs.map(({ name }) => name)]), line(['---', ...runs.map(() => '---')]), ...rows.map(line)].join('\n')
}

function toStages({ model }: ReportedRun): Pairs {
  const { stages } = summarizeRecent(model)
  return STAGES.map((name, at) => [name, `${stages[at].p50.toFixed(2)} (${stages[at].p95.toFixed(2)})`])
}

function keepDifferences(columns: readonly Pairs[]): Pairs[] {
  const maps = columns.map((pairs) => new Map(pairs))
  return columns.map((pairs) => pairs.filter(([name, value]) => maps.some((map) => map.get(name) !== value)))
}

function toWarnings({ name, model }: ReportedRun): string {
  return model.warnings.map(({ code, message }) => `- ${escape(name)}: ${escape(code)}: ${escape(message)}`).join('\n')
}

/** What a run says stays text. */
function escape(text: string): string {
  return text.replaceAll(/[\\`*_[\]|<>]/g, String.raw`\$&`).replaceAll(/\s+/g, ' ')
}
