/** Sample quality of a finished run: from TypeScript, of a folder of the same images, and as the command line prints it. */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { beforeAll, expect, test } from 'vitest'
import { measureRun, sampleFiles, trainImmiscible } from '../../ts/index.ts'
import { measureFolder, openPython } from '../../ts/python/index.ts'
import { TINY } from './run.ts'

const SECONDS = 1000
const CLI = fileURLToPath(new URL('../../ts/cli/main.ts', import.meta.url))
const DRAWN = { numImages: 32, seed: 3, numInferenceSteps: 2 }

let folder: string
let runFolder: string

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'immiscible-e2e-'))
  runFolder = join(folder, 'run')
  await trainImmiscible({ ...TINY, maxTrainSteps: 4, outputDir: runFolder })
  return () => rmSync(folder, { recursive: true, force: true })
}, 120 * SECONDS)

function immiscible(...args: string[]): { status: number | null; stdout: string; stderr: string } {
  return spawnSync(process.execPath, [CLI, 'measure', ...args], { encoding: 'utf8' })
}

test('a run and a folder with the same images have the same measures', { timeout: 240 * SECONDS }, async () => {
  const judging = { seed: DRAWN.seed, numBootstrap: 4, device: 'cpu' } as const
  const ofRun = await measureRun(runFolder, { ...DRAWN, ...judging })
  expect(ofRun).toMatchObject({
    features: 'classifier',
    numImages: 32,
    numReference: 898,
    reference: '898 of the 1,797 images of digits; floors: 32 others',
  })
  expect(ofRun.featuresSha256).toMatch(/^[0-9a-f]{64}$/)
  const measures = new Map(ofRun.measures.map((measure) => [measure.name, measure]))
  const { value, low, high, floor } = measures.get('fdClassifier') ?? { value: 0, low: 0, high: 0, floor: 0 }
  // Of a network that was trained for four steps.
  expect(value).toBeGreaterThan(10 * Number(floor))
  expect([low, high].map((bound) => Number(bound) - Number(value)).map(Math.sign)).toEqual([-1, 1])

  const images = join(folder, 'images')
  await sampleFiles(runFolder, images, DRAWN)
  await using python = await openPython()
  expect(await measureFolder(python, images, judging)).toEqual(ofRun)
  await expect(measureFolder(python, join(folder, 'run', 'samples'))).rejects.toThrow(/expected images/)
})

test('the command prints each number with what it is of, and that it is not FID', { timeout: 120 * SECONDS }, () => {
  const { status, stdout, stderr } = immiscible(runFolder, '--num-images', '16', '--num-inference-steps', '1', '--bootstrap', '0')
  expect(status, stderr).toBe(0)
  expect(stdout).toMatch(/^metric +value +95 % interval +floor$/m)
  expect(stdout).toMatch(/^fdClassifier +[\d.]+ +- +[\d.]+$/m)
  expect(stdout).not.toMatch(/^fid\b/m)
  expect(stdout).toMatch(/^reference: 898 of the 1,797 images of digits; floors: 16 others$/m)
  expect(stdout).toMatch(/^features: classifier, SHA-256 [0-9a-f]{64}$/m)
  expect(stdout).toMatch(/^These are not FID, which wants --inception FILE .*inception-2015-12-05\.pt \(torchscript; SHA-256 f58cb9b6/m)
})

test.each([
  [['--inception', 'file.pt'], 2, /inception-sha256: expected the SHA-256 of the Inception file, got nothing/],
  [['--inception', 'nowhere.pt', '--inception-sha256', 'ab'.repeat(32)], 1, /inception: expected a file, got .*nowhere\.pt: No such file/],
  [['--inception', 'other', '--inception-sha256', 'ab'.repeat(32)], 1, /other\.pt: expected SHA-256 abab.*, got [0-9a-f]{64}/],
  [['--inception-mode', 'clean'], 2, /--inception-mode.*expected one of legacy-tensorflow, pytorch-fid/],
  [['--num-images', '3'], 2, /evaluation\.numImages: expected at least 16, got 3/],
])('measure %j exits %i with one clear message', { timeout: 60 * SECONDS }, (flags, expected, message) => {
  const other = join(folder, 'other.pt')
  writeFileSync(other, 'no network')
  const { status, stdout, stderr } = immiscible(runFolder, ...flags.map((flag) => (flag === 'other' ? other : flag)))
  expect(stderr).toMatch(message)
  expect([status, stdout]).toEqual([expected, ''])
})
