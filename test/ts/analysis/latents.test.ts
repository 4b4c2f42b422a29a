/** An analysis of latents is of their means, as floats, and not of bytes. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test, vi } from 'vitest'
import { openScene } from '../../../ts/analysis/scene.ts'
import { threadKernel } from '../../../ts/kernel/simd/simd.ts'
import { runPython } from '../../fixture/python.ts'

test('a scene draws the means, scaled, and knows their size', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'immiscible-scene-'))
  onTestFinished(() => {
    vi.unstubAllEnvs()
    rmSync(folder, { recursive: true })
  })
  vi.stubEnv('IMMISCIBLE_HOME', folder)
  const path = join(folder, 'latents.npz')
  const means = await runPython<number[]>(
    `
mean = np.random.default_rng(3).normal(0, 5, (40, 4, 2, 2)).astype(np.float32)
np.savez(args, mean=mean, std=np.ones_like(mean))
answer = (mean * np.float32(0.18215)).reshape(-1).tolist()
`,
    path,
  )
  const scene = await openScene({ kind: 'arrays', path, scalingFactor: 0.18215 })
  expect(scene).toMatchObject({ numImages: 40, dims: 16 })
  expect(scene.imageRms).toBeCloseTo(Math.sqrt(means.reduce((sum, value) => sum + value ** 2, 0) / means.length), 5)
  expect(scene.imageRms).toBeGreaterThan(0.8)
  threadKernel().scope((arena) => {
    const { images, sampleIndices } = scene.draw(1, 40, threadKernel(), arena)
    expect(new Set(sampleIndices).size).toBe(40)
    expect({ ...images, data: undefined }).toEqual({ data: undefined, rows: 40, dims: 16, scale: 1, offset: 0 })
    const expected = [...sampleIndices].flatMap((image) => means.slice(image * 16, (image + 1) * 16))
    expect([...images.data]).toEqual(expected)
    expect(expected, 'control: in another order').not.toEqual(means)
  })
})
