/** The rows of `npm run bench -- --json FILE` as a Markdown table: node test/bench/table.ts FILE. */
import { readFileSync } from 'node:fs'
import type { Row } from './run.ts'

const rows = JSON.parse(readFileSync(process.argv[2] ?? 'bench.json', 'utf8')) as Row[]
const share = (value: number | null): string => (value === null || Number.isNaN(value) ? '' : `${(100 * value).toFixed(2)} %`)
const time = (ms: number): string => ms.toPrecision(3)

console.log('| what | data | n x dims | against | ours, ms | theirs, ms | ratio | gain kept |')
console.log('|---|---|---|---|---|---|---|---|')
for (const { bench, case: data, size, dims, competitor, oursMs, theirsMs, ratio, gainShare } of rows) {
  const cells = [bench, data, `${size} x ${dims}`, competitor, time(oursMs), time(theirsMs), `${ratio.toFixed(1)}x`, share(gainShare)]
  console.log(`| ${cells.join(' | ')} |`)
}
