/** The rows of `npm run bench -- --json FILE` as a Markdown table: node test/bench/table.ts FILE. */
import { readFileSync } from 'node:fs'
import type { Row } from './run.ts'

const rows = JSON.parse(readFileSync(process.argv[2] ?? 'bench.json', 'utf8')) as Row[]
const number = (value: number | null, digits: number, unit = ''): string =>
  value === null || Number.isNaN(value) ? '' : `${value.toFixed(digits)}${unit}`
const time = (ms: number | null): string => (ms === null ? '' : ms >= 1000 ? ms.toFixed(0) : ms.toPrecision(3))
const percent = (share: number | null, digits: number): string => number(share === null ? null : 100 * share, digits, ' %')

console.log(
  '| what | data | n x dims | against | ours, ms | theirs, ms | ratio | gain kept | certified gap | our peak, MiB | their peak, MiB |',
)
console.log('|---|---|---|---|---|---|---|---|---|---|---|')
for (const row of rows) {
  const cells = [
    [row.bench, row.case, `${row.size} x ${row.dims}`, row.competitor],
    [time(row.oursMs), time(row.theirsMs), number(row.ratio, 1, 'x')],
    [percent(row.gainShare, 2), percent(row.dualGap, 3), number(row.oursPeakMiB, 0), number(row.theirsPeakMiB, 0)],
  ].flat()
  console.log(`| ${cells.join(' | ')} |`)
}
