/** `npm run reliability [-- NAME ... --quick --seed N --write]`: every campaign, or those named; ends with the table, and with 1 where a promise did not hold. */
import { execFileSync } from 'node:child_process'
import { randomInt } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { setUp } from '../../ts/bootstrap/setup.ts'
import { workerEnv } from '../../ts/worker/environment.ts'
import { describeCpu } from '../bench/cpu.ts'
import type { Campaign, Outcome, Scale } from './campaign.ts'
import { CAMPAIGNS } from './campaigns.ts'
import { formatTable, holds, type Row } from './table.ts'

const PAGE = join(import.meta.dirname, 'README.md')
/** The table on the page stands between these. */
const MARKS = ['<!-- table: npm run reliability -- --write -->', '<!-- end of table -->'] as const

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { quick: { type: 'boolean' }, seed: { type: 'string' }, write: { type: 'boolean' } },
  })
  const campaigns = select(positionals)
  const scale: Scale = values.quick ? 'quick' : 'long'
  const seed = values.seed === undefined ? randomInt(2 ** 32) : Number(values.seed)
  if (!Number.isInteger(seed) || seed < 0 || seed >= 2 ** 32) throw new Error(`--seed: expected 0 to 4294967295, got ${values.seed}`)
  const { python } = await setUp(['test'])
  Object.assign(process.env, workerEnv(), { IMMISCIBLE_PYTHON: python })
  const rows: Row[] = []
  for (const campaign of campaigns) rows.push(await runOne(campaign, scale, seed, python))
  const text = `${describeRun(scale, seed)}\n\n${formatTable(rows)}`
  process.stdout.write(`\n${text}\n`)
  if (values.write) writePage(text)
  process.exitCode = rows.every(({ outcome }) => holds(outcome)) ? 0 : 1
}

function select(names: readonly string[]): readonly Campaign[] {
  const unknown = names.find((name) => !CAMPAIGNS.some((campaign) => campaign.name === name))
  if (unknown !== undefined) throw new Error(`expected some of ${CAMPAIGNS.map(({ name }) => name).join(', ')}, got ${unknown}`)
  return names.length > 0 ? CAMPAIGNS.filter(({ name }) => names.includes(name)) : CAMPAIGNS
}

async function runOne(campaign: Campaign, scale: Scale, seed: number, python: string): Promise<Row> {
  const folder = mkdtempSync(join(tmpdir(), 'immiscible-reliability-'))
  const log = (line: string): void => void process.stderr.write(`[${campaign.name}] ${line}\n`)
  const started = performance.now()
  let outcome: Outcome
  try {
    log(campaign.promise)
    outcome = await campaign.run(scale, { python, seed, folder, log })
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
  for (const violation of outcome.violations.slice(0, 20)) log(`VIOLATION ${violation}`)
  for (const { name, isCaught } of outcome.controls) log(`control ${name}: ${isCaught ? 'caught' : 'NOT CAUGHT'}`)
  return { campaign, outcome, seconds: (performance.now() - started) / 1000 }
}

function describeRun(scale: Scale, seed: number): string {
  const git = (...args: string[]): string => execFileSync('git', args, { cwd: import.meta.dirname, encoding: 'utf8' }).trim()
  const changes = git('status', '--porcelain', '--untracked-files=no') === '' ? '' : ' with changes'
  const commit = `commit ${git('rev-parse', '--short', 'HEAD')}${changes}`
  return `${new Date().toISOString().slice(0, 10)}, ${commit}, ${describeCpu()}, ${scale} form, seed ${seed}:`
}

function writePage(table: string): void {
  const [begin, end] = MARKS
  const page = readFileSync(PAGE, 'utf8')
  const [before, after] = [page.indexOf(begin), page.indexOf(end)]
  if (before < 0 || after < before) throw new Error(`${PAGE}: expected ${begin} and later ${end}`)
  writeFileSync(PAGE, `${page.slice(0, before + begin.length)}\n\n${table}\n\n${page.slice(after)}`)
}

await main()
