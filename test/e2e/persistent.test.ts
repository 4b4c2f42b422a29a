/** Noise kept from epoch to epoch survives what a run survives: its orchestrator is killed in the middle of an epoch, and the run goes on. */
import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, onTestFinished, test } from 'vitest'
import { resumeImmiscible, trainImmiscible } from '../../ts/index.ts'
import { eventsOf, readEvents, temporaryFolder, TINY, until } from './run.ts'

/** Seven steps to an epoch of digits, six epochs. */
const PERSISTENT = {
  ...TINY,
  dataset: { kind: 'digits', horizontalFlip: true },
  assignment: { kind: 'persistent', noisesPerImage: 2, refreshShare: 0.05 },
  globalBatchSize: 256,
  maxTrainSteps: 42,
} as const
const CLI = fileURLToPath(new URL('../../ts/cli/main.ts', import.meta.url))

const tablesOf = (runFolder: string): Map<string, string> => {
  const folder = join(runFolder, 'noise-keys')
  const sha = (name: string): string =>
    createHash('sha256')
      .update(readFileSync(join(folder, name)))
      .digest('hex')
  return new Map(
    readdirSync(folder)
      .filter((name) => name.endsWith('.keys'))
      .map((name) => [name, sha(name)]),
  )
}

const batchesOf = (runFolder: string): Map<number, string> =>
  new Map(eventsOf(readEvents(runFolder), 'step').map(({ step, batchSha256 }) => [step, batchSha256]))

test(
  'killed in the middle of an epoch, with its tables and without: the same tables, batches and weights',
  { timeout: 180_000 },
  async () => {
    const straight = await trainImmiscible({ ...PERSISTENT, outputDir: join(temporaryFolder(), 'run') })
    const tables = tablesOf(straight.runFolder)
    expect(tables.size).toBeGreaterThanOrEqual(4)

    for (const keepsTables of [true, false]) {
      const folder = temporaryFolder()
      const outputDir = join(folder, 'run')
      const config = join(folder, 'config.json')
      writeFileSync(config, JSON.stringify({ ...PERSISTENT, outputDir }))
      const orchestrator = spawn(process.execPath, [CLI, 'train', '--config', config], { stdio: 'ignore' })
      onTestFinished(() => void orchestrator.kill('SIGKILL'))
      const ended = new Promise((resolve) => orchestrator.on('close', resolve))
      await until('step 25, in the fourth epoch', 100, () => {
        try {
          return eventsOf(readEvents(outputDir), 'step').some(({ step }) => step >= 25)
        } catch {
          return false // nothing written yet, or half a line
        }
      })
      orchestrator.kill('SIGKILL')
      await ended
      if (!keepsTables) rmSync(join(outputDir, 'noise-keys'), { recursive: true })
      const resumed = await resumeImmiscible(outputDir)
      expect(resumed).toMatchObject({ outcome: 'finished', step: 42, stateSha256: straight.stateSha256 })
      expect(batchesOf(outputDir)).toEqual(batchesOf(straight.runFolder))
      const after = tablesOf(outputDir)
      const common = [...after].filter(([name]) => tables.has(name))
      expect(common.length).toBeGreaterThanOrEqual(3)
      expect(common).toEqual(common.map(([name]) => [name, tables.get(name)]))
    }
  },
)
