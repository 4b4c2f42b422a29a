/** drawPlot(): a real Python writes both files; what cannot be drawn is refused by name, before any Python starts. */
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test, vi } from 'vitest'
import { drawPlot, type Plot } from '../../ts/index.ts'
import { pythonPath } from '../fixture/python.ts'
import { temporaryFolder } from './run.ts'

const hasMatplotlib = spawnSync(pythonPath(), ['-c', 'import matplotlib']).status === 0
const WHY_SKIPPED = hasMatplotlib ? '' : ' (skipped: matplotlib, of the test extra, is not installed)'

const spec: Plot = {
  title: 'FID',
  xLabel: 'steps',
  yLabel: 'FID',
  isLogY: true,
  series: [{ label: 'one', x: [1, 2, 3], y: [3, null, 1], low: [2, null, 0.5], high: [4, null, 2] }],
  horizontals: [{ label: 'theirs', y: 4 }],
}

test.skipIf(!hasMatplotlib)(`both files are written, twice with the same bytes${WHY_SKIPPED}`, async () => {
  const folder = temporaryFolder()
  const [first, second] = [await drawPlot(spec, join(folder, 'new', 'one')), await drawPlot(spec, join(folder, 'two.v2'))]
  expect([first.svg, second.png]).toEqual([join(folder, 'new', 'one.svg'), join(folder, 'two.v2.png')])
  expect(readFileSync(first.svg, 'utf8')).toContain('<svg')
  expect(readFileSync(first.png).subarray(1, 4).toString()).toBe('PNG')
  for (const kind of ['svg', 'png'] as const) expect(readFileSync(first[kind]).equals(readFileSync(second[kind]))).toBe(true)
})

test("a Python of the user's own without matplotlib is refused with the command that installs it", async () => {
  // It sees the standard library alone: no package at all.
  const bare = spawnSync(pythonPath(), ['-c', 'import sys; print(sys._base_executable)'], { encoding: 'utf8' }).stdout.trim()
  vi.stubEnv('IMMISCIBLE_PYTHON', bare)
  vi.stubEnv('PYTHONPATH', '')
  try {
    await expect(drawPlot(spec, 'unused')).rejects.toThrow(/cannot run the worker: without .*matplotlib.*pip install .*"matplotlib==/)
  } finally {
    vi.unstubAllEnvs()
  }
})

test.each<[string, Partial<Plot>, string]>([
  ['no series', { series: [] }, 'series: expected at least one point, got none'],
  ['gaps alone', { series: [{ label: '', x: [1], y: [null] }] }, 'series: expected at least one point, got none'],
  ['a short column', { series: [{ label: '', x: [1, 2], y: [1] }] }, 'series[0].y: expected 2 numbers, as many as x has, got 1'],
  ['one bound', { series: [{ label: '', x: [1], y: [1], low: [1] }] }, 'series[0]: expected both low and high or neither, got one'],
  ['not a number', { series: [{ label: '', x: [1], y: [NaN] }] }, 'series[0].y[0]: expected a finite number or null, got NaN'],
  ['a gap in x', { series: [{ label: '', x: [Infinity], y: [1] }] }, 'series[0].x[0]: expected a finite number, got Infinity'],
  ['zero on a log axis', { series: [{ label: '', x: [0], y: [0] }] }, 'series[0].y[0]: expected more than 0 on a logarithmic axis, got 0'],
  [
    'a horizontal below it',
    { horizontals: [{ label: '', y: -1 }] },
    'horizontals[0].y: expected more than 0 on a logarithmic axis, got -1',
  ],
])('%s is refused', async (_name, part, message) => {
  await expect(drawPlot({ ...spec, ...part }, 'unused')).rejects.toThrow(`invalid config\n  ${message}`)
})
