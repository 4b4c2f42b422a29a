/** measureGaussianity() on small images: what is Gaussian is found so, what is not is not; and the command. */
import { execFile } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { describe, expect, onTestFinished, test, vi } from 'vitest'
import { drawAssignedNoise } from '../../ts/analysis/assigned-noise.ts'
import { openScene } from '../../ts/analysis/scene.ts'
import { independent, measureGaussianity, negated, nearest, quantized, type AssignmentStrategy } from '../../ts/index.ts'
import { temporaryFolder } from './run.ts'

const CLI = fileURLToPath(new URL('../../ts/cli/main.ts', import.meta.url))
const dataset = { kind: 'gaussian', dims: 24, imageRms: 1 } as const

/** All images of a batch get the longest noise: a control. */
const longest: AssignmentStrategy = {
  ...independent(),
  name: 'longest',
  candidatesPerImage: 2,
  assign(_pool, images, noise, noiseIndex) {
    const [data, dims] = [noise.data as Float32Array, noise.dims]
    const norm = (row: number): number => data.subarray(row * dims, (row + 1) * dims).reduce((sum, value) => sum + value ** 2, 0)
    for (let image = 0; image < images.rows; image++) noiseIndex[image] = norm(2 * image) > norm(2 * image + 1) ? 2 * image : 2 * image + 1
    return {}
  },
}

test('permuted noise is Gaussian, the nearest of some and the longer of two are not', { timeout: 120_000 }, async () => {
  const folder = temporaryFolder()
  vi.stubEnv('TMPDIR', folder)
  onTestFinished(() => void vi.unstubAllEnvs())
  const seen: string[] = []
  const strategies = ['independent', 'quantized', nearest({ candidates: 8 }), longest]
  const measured = await measureGaussianity({
    dataset,
    batchSize: 64,
    numNoises: 6000,
    strategies,
    onRow: ({ strategy }) => seen.push(strategy),
  })
  expect(measured).toMatchObject({ dims: 24, numNoises: 6000, seed: 0 })
  expect(measured.expectedKl / ((24 * 27) / (4 * 6000))).toBeCloseTo(1, 1)
  const deviations = Object.fromEntries(measured.rows.map(({ strategy, deviation }) => [strategy, deviation]))
  expect(Object.keys(deviations)).toEqual(seen)
  expect(Math.abs(deviations['independent'])).toBeLessThan(4)
  expect(Math.abs(deviations['quantized'])).toBeLessThan(4)
  expect(deviations['nearest']).toBeGreaterThan(10)
  expect(deviations['longest']).toBeGreaterThan(10)
  const norms = measured.rows.map(({ meanSquaredNorm }) => meanSquaredNorm / 24)
  expect(norms[0]).toBeCloseTo(1, 1)
  expect(norms[2]).toBeLessThan(0.95)
  expect(norms[3]).toBeGreaterThan(1.05)
  expect(readdirSync(folder), 'the temporary files are gone').toEqual([])

  const flags = ['--dims', '24', '--image-rms', '1', '--batch-size', '64', '--num-noises', '6000', '--strategies', 'independent']
  const { stdout } = await promisify(execFile)(process.execPath, [CLI, 'analyze', 'gaussianity', ...flags])
  expect(stdout).toContain(`independent  ${measured.rows[0].kl.toFixed(3)}`)
})

describe('the noise that is measured', () => {
  const draw = async (strategy: AssignmentStrategy): Promise<number[][]> => {
    const parts = drawAssignedNoise(await openScene(dataset), strategy, { batchSize: 8, numNoises: 20, seed: 3 })
    return [...parts].map((part) => [...part])
  }

  test('is as many rows as asked for, of batches that differ, and of its sign', async () => {
    const parts = await draw(quantized())
    expect(parts.map((part) => part.length / 24)).toEqual([8, 8, 4])
    expect(parts[0].slice(0, 24)).not.toEqual(parts[1].slice(0, 24))
    const opposite = await draw(negated())
    expect(opposite.flat()).toEqual(parts.flat().map((value) => -value))
  })
})

test('what is wrong is said by field', async () => {
  await expect(measureGaussianity({ dataset, numNoises: 24 })).rejects.toThrow('numNoises: expected more than the 24 numbers')
  await expect(measureGaussianity({ dataset, batchSize: 0 })).rejects.toThrow('batchSize: expected an integer of at least 1, got 0')
  await expect(measureGaussianity({ dataset, strategies: ['nearly'] })).rejects.toThrow("got 'nearly'")
  await expect(measureGaussianity({ dataset: { kind: 'digits' }, batchSize: 2000 })).rejects.toThrow('at most the 1797 images of digits')
})
