/** Reports of runs that came out as written here: their tables, worked out by hand. */
import { beforeEach, expect, test, vi } from 'vitest'
import { drawPlot } from '../../../ts/plot.ts'
import { paper1Figure4 } from '../../../ts/recipe/paper/paper1-figure4.ts'
import { paper1Figure5 } from '../../../ts/recipe/paper/paper1-figure5.ts'
import { paper1Figure8 } from '../../../ts/recipe/paper/paper1-figure8.ts'
import { paper1Table1 } from '../../../ts/recipe/paper/paper1-table1.ts'
import { paper1Table4 } from '../../../ts/recipe/paper/paper1-table4.ts'
import { paper1Table5 } from '../../../ts/recipe/paper/paper1-table5.ts'
import { paper2Table3 } from '../../../ts/recipe/paper/paper2-table3.ts'
import { paper2Table4 } from '../../../ts/recipe/paper/paper2-table4.ts'
import { paper2Table8 } from '../../../ts/recipe/paper/paper2-table8.ts'
import { STUDY, summaryTable } from '../../../ts/recipe/study.ts'
import { SPEED_COLUMNS } from '../../../ts/recipe/tables.ts'
import { cellsOf } from '../../fixture/recipe-tables.ts'
import { FLOOR, GAIN, scriptedContext } from '../../fixture/recipe-runs.ts'

type DrawPlot = typeof drawPlot
vi.mock('../../../ts/plot.ts', () => ({ drawPlot: vi.fn<DrawPlot>() }))
beforeEach(() => vi.mocked(drawPlot).mockClear())

/** Falls by 1 with each measurement, from 9; `speed` times as fast. */
const falling = (step: number, speed = 1): number => 10 - (speed * step) / 125

test('paper 2, Table 8: best values over seeds, and how much sooner k = 8 is there', async () => {
  const context = scriptedContext(paper2Table8, {
    seeds: [0, 1, 2],
    value: ({ arm, seed, step }) =>
      arm === 'baseline' ? falling(step) + seed : arm === 'k = 8' ? Math.max(falling(step, 2), 1) + seed : 50,
    // A step of k = 8 takes twice as long.
    seconds: ({ arm, step }) => (arm === 'k = 8' ? 2 * step : step),
  })
  const { tables, pictures, notes } = await paper2Table8.report(context)
  expect(cellsOf(tables[0])).toEqual([
    ['', 'best fdClassifier', 'gain'],
    ['baseline', '3 | 6.63', GAIN],
    ['k = 2', '50 | 4.94', GAIN],
    ['k = 4', '50 | 4.77', GAIN],
    ['k = 8', '2 | 4.45', GAIN],
    ['k = 16', '50 | 4.85', GAIN],
    ['k = 32', '50 | 5.19', GAIN],
  ])
  // 2, 3 and 4: a standard deviation of 1, and Student's t of 4.3027 over the root of 3.
  const [{ ours }] = tables[0].rows[0].figures
  expect(ours).toMatchObject({ mean: 3, halfWidth: expect.closeTo(4.3027 / Math.sqrt(3), 6) as number })
  // At 50 all along, which the baseline is below at its first measurement.
  const never = ['not reached', 'not reached', '0 of 3', '3 of 3', '1.00x']
  expect(cellsOf(tables[1])).toEqual([
    ['median over seeds (range)', ...SPEED_COLUMNS],
    ['k = 2', ...never],
    ['k = 4', ...never],
    ['k = 8', '2.00x', '1.00x', '3 of 3', '3 of 3', 'not reached'],
    ['k = 16', ...never],
    ['k = 32', ...never],
  ])
  expect(pictures).toEqual([{ file: 'curves.png', caption: 'fdClassifier over training steps: mean over seeds, and their range' }])
  expect(notes).toEqual([])
})

test('the study in one table: every assignment beside the baseline of its part', () => {
  const contexts = STUDY.slice(1, 3).map(({ recipe }) =>
    scriptedContext(recipe, {
      seeds: [0],
      value: ({ arm, step }) => falling(step, arm === 'quantized' && recipe.id !== 'study-consistency' ? 2 : 1),
    }),
  )
  expect(cellsOf(summaryTable(contexts)).slice(1)).toEqual([
    ['[Digits, DDIM, v-prediction](study-ddim-v/README.md): quantized', 2, -6, '2.00x', '2.00x', '1 of 1', '1 of 1', 'not reached'],
    ['[Digits, consistency](study-consistency/README.md): quantized', 2, 2, '1.00x', '1.00x', '1 of 1', '1 of 1', '1.00x'],
  ])
})

test('seeds that differ have a range', async () => {
  const speedOf = (arm: string, seed: number): number => (arm === 'k = 8' ? seed + 2 : 1)
  const context = scriptedContext(paper2Table8, { seeds: [0, 1, 2], value: ({ arm, seed, step }) => falling(step, speedOf(arm, seed)) })
  const { tables } = await paper2Table8.report(context)
  expect(cellsOf(tables[1])[3]).toEqual(['k = 8', '3.00x (2.00x to 4.00x)', '3.00x (2.00x to 4.00x)', '3 of 3', '3 of 3', 'not reached'])
})

test('a baseline that has no finite value has no speed to compare with, and the rest of the report stands', async () => {
  const context = scriptedContext(paper2Table8, { seeds: [0], value: ({ arm, step }) => (arm === 'baseline' ? null : falling(step)) })
  const { tables } = await paper2Table8.report(context)
  expect(cellsOf(tables[0])[2]).toEqual(['k = 2', '2 | 4.94', expect.anything()])
  expect(cellsOf(tables[1])[1]).toEqual(['k = 2', 'no finite value of the baseline'])
})

test('the plot has a line for each arm: means over seeds within their range, and the real images', async () => {
  const context = scriptedContext(paper2Table8, { seeds: [0, 1, 2], folder: '/out', value: ({ seed, step }) => falling(step) + seed })
  await paper2Table8.report(context)
  const [spec, output] = vi.mocked(drawPlot).mock.calls[0]
  expect(output).toBe('/out/curves')
  expect(spec.series.map(({ label }) => label)).toEqual(['baseline', 'k = 2', 'k = 4', 'k = 8', 'k = 16', 'k = 32'])
  expect(spec.series[0]).toMatchObject({
    x: [125, 250, 375, 500, 625, 750, 875, 1000],
    y: [10, 9, 8, 7, 6, 5, 4, 3],
    low: [9, 8, 7, 6, 5, 4, 3, 2],
    high: [11, 10, 9, 8, 7, 6, 5, 4],
  })
  expect(spec.horizontals).toEqual([{ label: 'real images', y: FLOOR }])
})

test('paper 1, Table 5: the last five of seven measurements', async () => {
  const small = scriptedContext(paper1Table5, { value: ({ arm, step }) => (arm === 'vanilla' ? step : step / 2) })
  expect(cellsOf((await paper1Table5.report(small)).tables[0])).toEqual([
    ['fdClassifier', '420 steps', '560 steps', '700 steps', '840 steps', '980 steps'],
    ['vanilla', 420, 560, 700, 840, 980],
    ['immiscible L1', 210, 280, 350, 420, 490],
    ['immiscible L2', 210, 280, 350, 420, 490],
  ])
  const paper = scriptedContext(paper1Table5, { scale: 'paper', value: ({ step }) => step })
  expect(cellsOf((await paper1Table5.report(paper)).tables[0]).slice(0, 2)).toEqual([
    ['fdClassifier', '70.2k', '93.6k', '117.0k', '140.4k', '163.8k'],
    ['vanilla', 70_200, 93_600, 117_000, 140_400, 163_800],
  ])
})

test('paper 1, Table 4: by inference steps, and the change seed by seed', async () => {
  const context = scriptedContext(paper1Table4, {
    seeds: [0, 1],
    // Seeds differ far more than arms: their pairs do not.
    value: ({ arm, seed, numInferenceSteps }) => 100 * seed + (arm === 'vanilla' ? 10 : 8) + 1 / numInferenceSteps,
  })
  const [table] = (await paper1Table4.report(context)).tables
  expect(cellsOf(table)).toEqual([
    ['inference steps', 'vanilla', 'immiscible', 'change of fdClassifier'],
    ['100', 60.01, 58.01, -2],
    ['50', 60.02, 58.02, -2],
    ['20', 60.05, 58.05, -2],
    ['10', 60.1, 58.1, -2],
    ['5', 60.2, 58.2, -2],
  ])
  const [before, , change] = table.rows[0].figures.map(({ ours }) => (typeof ours === 'object' ? ours?.halfWidth : undefined))
  expect(before).toBeGreaterThan(100)
  expect(change).toBeCloseTo(0, 9)
})

test('paper 1, Figure 5: a speed and a plot for each number of inference steps', async () => {
  const speeds: Readonly<Record<number, number>> = { 5: 4, 10: 2, 20: 1 }
  const context = scriptedContext(paper1Figure5, {
    value: ({ arm, step, numInferenceSteps }) => falling(step, arm === 'vanilla' ? 1 : speeds[numInferenceSteps]),
  })
  const { tables, pictures } = await paper1Figure5.report(context)
  expect(cellsOf(tables[0])).toEqual([
    ['inference steps', 'vanilla', 'immiscible', 'change of fdClassifier'],
    ['5', 2, -22, -24],
    ['10', 2, -6, -8],
    ['20', 2, 2, 0],
  ])
  // At 4 times the pace the value of step 1,000 is there at 250.
  expect(tables.slice(1).map((table) => cellsOf(table)[1].slice(0, 2))).toEqual([
    ['immiscible', '4.00x'],
    ['immiscible', '2.00x'],
    ['immiscible', '1.00x'],
  ])
  expect(tables[1].title).toBe(
    'Training speed: steps of "vanilla" to its best fdClassifier, over the steps of the other to the same, 5 inference steps',
  )
  expect(pictures.map(({ file }) => file)).toEqual([
    'curves-5-inference-steps.png',
    'curves-10-inference-steps.png',
    'curves-20-inference-steps.png',
  ])
  const [five] = vi.mocked(drawPlot).mock.calls[0][0].series.filter(({ label }) => label === 'immiscible')
  expect(five.y[0]).toBe(6)
})

test('paper 1, Figures 4 and 8: each arm is compared with the vanilla arm of its own data set or batch size', async () => {
  const value = ({ arm, step }: { arm: string; step: number }): number => {
    const isOther = /^(emoji|batch 64)/.test(arm)
    // The other baseline is 100 worse: beside it, and only beside it, its immiscible arm is twice as fast.
    return falling(step, arm.endsWith('vanilla') ? 1 : 2) + (isOther ? 100 : 0)
  }
  for (const [recipe, names] of [
    [paper1Figure4, ['digits', 'emoji']],
    [paper1Figure8, ['batch 32', 'batch 64', 'batch 128']],
  ] as const) {
    const { tables } = await recipe.report(scriptedContext(recipe, { value }))
    expect(
      cellsOf(tables[1])
        .slice(1)
        .map(([label, speed]) => [label, speed]),
    ).toEqual(names.map((name) => [`${name} immiscible`, '2.00x']))
  }
})

test('paper 2, Table 3: an objective to a column, an assignment to a row', async () => {
  const value = ({ arm, step }: { arm: string; step: number }): number =>
    falling(step) + ['DDIM', 'FM', 'CM'].indexOf(arm.split(' ')[0]) + 10 * ['vanilla', 'KNN', 'LA'].indexOf(arm.split(' ')[1])
  const { tables, pictures } = await paper2Table3.report(scriptedContext(paper2Table3, { value }))
  expect(cellsOf(tables[0])).toEqual([
    ['best fdClassifier', 'DDIM', 'FM', 'CM'],
    ['vanilla', '2 | 6.63', '3 | 4.92', '4 | 10.22'],
    ['KNN', '12 | 4.45', '13 | 3.56', '14 | 9.16'],
    ['LA', '22 | 5.14', '23 | 5.02', '24 | 8.54'],
  ])
  expect(
    cellsOf(tables[1])
      .slice(1)
      .map(([label]) => label),
  ).toEqual(['DDIM KNN', 'DDIM LA', 'FM KNN', 'FM LA', 'CM KNN', 'CM LA'])
  expect(pictures.map(({ file }) => file)).toEqual(['curves-ddim.png', 'curves-fm.png', 'curves-cm.png'])
  // The title of the recipe is longer than the plot is wide.
  expect(vi.mocked(drawPlot).mock.calls.map(([{ title }]) => title)).toEqual(['DDIM', 'FM', 'CM'])
})

test('paper 2, Table 4: half way and at the end, and what the paper has of methods that are not here', async () => {
  const small = scriptedContext(paper2Table4, { value: ({ step }) => step })
  expect(cellsOf((await paper2Table4.report(small)).tables[0])).toEqual([
    ['fdClassifier', '500 steps', '1000 steps'],
    ['base', '500 | 6.1', '1000 | 5.07'],
    ['base with ID', '500 | 4.28', '1000 | 3.68'],
    ['reference 14', 'null | 6.43', 'null | 5.38'],
    ['reference 14 with ID', 'null | 4.75', 'null | 3.93'],
    ['reference 4', 'null | 5.58', 'null | 5.41'],
    ['reference 4 with ID', 'null | 4.26', 'null | 3.86'],
  ])
  const paper = scriptedContext(paper2Table4, { scale: 'paper', value: ({ step }) => step })
  expect(cellsOf((await paper2Table4.report(paper)).tables[0]).slice(0, 2)).toEqual([
    ['fdClassifier', '100k', '200k'],
    ['base', '100000 | 6.1', '200000 | 5.07'],
  ])
})

test("paper 1, Table 1: the paper's settings beside those of the arms, and what is not trained", async () => {
  const { tables } = await paper1Table1.report(scriptedContext(paper1Table1, { scale: 'paper', value: () => 1 }))
  const cells = cellsOf(tables[0])
  expect(cells[2]).toEqual([
    'CM CelebA',
    'CelebA',
    'not found',
    '1024',
    '8 A800',
    'openai/consistency_models',
    '[S]',
    'celeba at 64',
    '1024',
    'consistency-64',
    '100000',
  ])
  expect(cells[4].slice(7)).toEqual(['cifar10', '256', 'ddpm-cifar10', '163800'])
  expect(cells.slice(5).map((row) => row.slice(7))).toEqual(Array.from({ length: 3 }, () => ['not trained', '-', '-', '-']))
  expect(
    cellsOf(tables[1])
      .slice(1)
      .map(([label]) => label),
  ).toEqual(['CM CIFAR-10', 'CM CelebA', 'CM Tiny-ImageNet', 'DDIM CIFAR-10'])
})
