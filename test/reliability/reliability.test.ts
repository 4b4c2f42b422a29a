/** Every campaign in its short form: the promise holds, and each control is caught. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { pythonPath } from '../fixture/python.ts'
import { CAMPAIGNS } from './campaigns.ts'
import { holds } from './table.ts'

test.each(CAMPAIGNS)('$name: $promise', { timeout: 300_000 }, async (campaign) => {
  const folder = mkdtempSync(join(tmpdir(), 'immiscible-reliability-'))
  try {
    const outcome = await campaign.run('short', { python: pythonPath(), seed: 1, folder, log: () => undefined })
    expect(outcome.violations).toEqual([])
    expect(outcome.controls.filter(({ isCaught }) => !isCaught)).toEqual([])
    expect(holds(outcome)).toBe(true)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
})

test('a campaign that tried nothing, or that has no control, does not hold', () => {
  const good = { trials: 1, faults: {}, violations: [], controls: [{ name: 'a fault', isCaught: true }] }
  expect(holds(good)).toBe(true)
  for (const bad of [{ trials: 0 }, { controls: [] }, { violations: ['one'] }, { controls: [{ name: 'a fault', isCaught: false }] }]) {
    expect(holds({ ...good, ...bad })).toBe(false)
  }
})
