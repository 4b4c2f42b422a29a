/** drawDenoising() and `immiscible analyze denoising`: real runs beside each other, on the same noises. */
import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { drawDenoising, trainImmiscible } from '../../ts/index.ts'
import { temporaryFolder, TINY } from './run.ts'

const CLI = fileURLToPath(new URL('../../ts/cli/main.ts', import.meta.url))

test('models of every objective have their rows; the command prints what the function answers', { timeout: 180_000 }, async () => {
  const folder = temporaryFolder()
  const objectives = ['ddim', 'consistency', 'flow'] as const
  for (const objective of objectives) {
    const sampling = { ...TINY.sampling, numInferenceSteps: objective === 'ddim' ? 2 : 1 }
    await trainImmiscible({ ...TINY, objective, sampling, maxTrainSteps: 8, outputDir: join(folder, objective) })
  }
  const models = objectives.map((label) => ({ label, folder: join(folder, label) }))
  const output = join(folder, 'one.png')
  const answer = await drawDenoising(models, output, { numImages: 3, numNoises: 8 })
  expect(answer.png).toBe(output)
  expect(answer.models.map(({ label, sampler, level }) => [label, sampler, level])).toEqual([
    ['ddim', 'ddim', 't = 950 of 1000'],
    ['consistency', 'consistency', 'sigma = 80'],
    ['flow', 'flow', 't = 1'],
  ])
  for (const { meanShare, noiseShare, imageShare } of answer.models) expect(meanShare + noiseShare + imageShare).toBeCloseTo(1, 9)

  const runs = models.map((model) => model.folder)
  const again = join(folder, 'two.png')
  const { stdout } = await promisify(execFile)(process.execPath, [
    CLI,
    'analyze',
    'denoising',
    ...runs,
    '--num-images',
    '3',
    '--output',
    again,
  ])
  expect(stdout).toMatch(/^model +sampler +noise layer .*\nddim +ddim +t = 950 of 1000 /)
  expect(readFileSync(again).equals(readFileSync(output))).toBe(true)
})
