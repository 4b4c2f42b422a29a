import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'

const MAIN = join(import.meta.dirname, '..', '..', '..', 'ts', 'cli', 'main.ts')
const analyze = (...flags: string[]): Promise<{ stdout: string }> =>
  promisify(execFile)(process.execPath, [MAIN, 'analyze', 'assignment', ...flags])

test('immiscible analyze assignment --json prints what the function answers', async () => {
  const { stdout } = await analyze(
    '--dataset',
    'gaussian',
    '--image-rms',
    '1',
    '--dims',
    '12',
    '--batch-sizes',
    '4,8',
    '--strategies',
    'linear,quantized:tolerance=0.5',
    '--seeds',
    '2',
    '--json',
  )
  const { dataset, numSeeds, rows } = JSON.parse(stdout) as {
    dataset: object
    numSeeds: number
    rows: { strategy: string; batchSize: number }[]
  }
  expect(dataset).toMatchObject({ imageRms: 1, dims: 12, numImages: null })
  expect(numSeeds).toBe(2)
  expect(rows.map(({ strategy, batchSize }) => [strategy, batchSize])).toEqual([
    ['linear', 4],
    ['linear', 8],
    ['quantized:tolerance=0.5', 4],
    ['quantized:tolerance=0.5', 8],
  ])
})

test('and tables otherwise; what is wrong ends it with 2 and the field', async () => {
  const { stdout } = await analyze(
    '--dataset',
    'emoji',
    '--resolution',
    '4',
    '--batch-sizes',
    '8',
    '--strategies',
    'independent',
    '--seeds',
    '1',
    '--markdown',
  )
  expect(stdout).toMatch(/^emoji-4: 1412 images, 48 numbers each/)
  expect(stdout).toContain('| independent | 8 |')
  await expect(analyze('--strategies', 'nearly')).rejects.toMatchObject({
    code: 2,
    stderr: expect.stringContaining("got 'nearly'") as string,
  })
  await expect(analyze('--batch-sizes', '8,many')).rejects.toMatchObject({
    code: 2,
    stderr: expect.stringContaining('expected a number') as string,
  })
})
