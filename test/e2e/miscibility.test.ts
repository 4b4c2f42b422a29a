/** measureMiscibility() and `immiscible analyze miscibility` on real runs, and what they refuse. */
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { measureMiscibility, trainImmiscible, type Miscibility, type OwnDataset } from '../../ts/index.ts'
import { temporaryFolder, TINY } from './run.ts'

const CLI = fileURLToPath(new URL('../../ts/cli/main.ts', import.meta.url))

test('a run is measured; what has no classes of its own is refused', { timeout: 240_000 }, async () => {
  const folder = temporaryFolder()
  const [run, labelled, unlabelled] = ['run', 'labelled', 'unlabelled'].map((name) => join(folder, name))
  await trainImmiscible({ ...TINY, maxTrainSteps: 4, outputDir: run })
  const { stdout } = await promisify(execFile)(process.execPath, [CLI, 'analyze', 'miscibility', run, '--num-images', '300', '--json'])
  const [measured] = JSON.parse(stdout) as Miscibility[]
  expect(measured).toMatchObject({ run: 'run', numImages: 300, numInferenceSteps: 2, seed: 0 })
  expect(measured.sizes.reduce((sum, size) => sum + size, 0)).toBe(300)
  const { floor, corrected, distance } = measured
  expect(floor.low).toBeLessThanOrEqual(floor.value)
  // Of one standard normal noise in 64 dimensions the norm is 8.
  expect(distance).toBeLessThan(8)
  expect(corrected.low).toBeLessThanOrEqual(corrected.value)

  await trainImmiscible({ ...TINY, maxTrainSteps: 4, conditioning: { classLabels: true }, outputDir: labelled })
  await expect(measureMiscibility(labelled, { numImages: 20 })).rejects.toThrow('expected an unconditional model')
  const dataset: OwnDataset = { name: 'grey', imageShape: [1, 8, 8], images: [...Array(9).keys()].map((at) => ({ pixels: grey(at) })) }
  await trainImmiscible({ ...TINY, dataset, maxTrainSteps: 4, outputDir: unlabelled })
  await expect(measureMiscibility(unlabelled, { numImages: 20 })).rejects.toThrow('grey: expected labels')
})

const grey = (level: number): Uint8Array => new Uint8Array(64).fill(20 * level)
