/** The demo as `npm run demo` runs it, to its end: the longest test there is, about five minutes on one core. */
import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { temporaryFolder } from './run.ts'

const MINUTES = 60_000
const CLI = fileURLToPath(new URL('../../ts/cli/main.ts', import.meta.url))

test('at least 60 % of its samples are digits with confidence, and an untrained network has none', { timeout: 25 * MINUTES }, async () => {
  const folder = temporaryFolder()
  const { stdout } = await promisify(execFile)(process.execPath, [CLI, 'demo'], { cwd: folder, maxBuffer: 2 ** 24 })
  const [, trained, untrained] = /digits\s+([\d.]+) % of 512 samples[^]*untrained network: ([\d.]+) %/.exec(stdout) ?? []
  expect(Number(trained)).toBeGreaterThanOrEqual(60)
  expect(Number(untrained)).toBeLessThan(60)
  expect(Number(/gain ([\d.]+)/.exec(stdout)?.[1])).toBeGreaterThan(1)
  for (const label of ['run folder', 'sample grid', 'pipeline']) {
    const path = new RegExp(`^${label}\\s+(\\S+)`, 'm').exec(stdout)?.[1] as string
    expect(path).toContain(join(folder, 'runs'))
    expect(existsSync(path)).toBe(true)
  }
})
