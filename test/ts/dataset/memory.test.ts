/** Memory stays within the budget for a data set ten times larger: while it is decoded, opened and read. */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'

const SCRIPT = fileURLToPath(new URL('../../fixture/large-set.ts', import.meta.url))
const BUDGET = 32
/** Enough for the sample along which drift is measured, which is the same for all. */
const SMALL = 8

/** Of a process of its own, in MiB. */
function peakOf(megabytes: number, budget: number): number {
  const home = mkdtempSync(join(tmpdir(), 'immiscible-large-'))
  try {
    const env = { ...process.env, IMMISCIBLE_HOME: home }
    return Number(execFileSync(process.execPath, [SCRIPT, String(megabytes), String(budget)], { env, encoding: 'utf8' })) / 2 ** 20
  } finally {
    rmSync(home, { recursive: true, force: true })
  }
}

test('a set of ten budgets takes no budget more than a small one; control: held in memory it takes all', { timeout: 120_000 }, () => {
  const [small, streamed, held] = [peakOf(SMALL, BUDGET), peakOf(10 * BUDGET, BUDGET), peakOf(10 * BUDGET, 100 * BUDGET)]
  expect(streamed - small).toBeLessThan(BUDGET)
  expect(held - small).toBeGreaterThan(9 * BUDGET)
})
