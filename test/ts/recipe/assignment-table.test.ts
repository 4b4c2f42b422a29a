/** Tables of what strategies do, on one small batch size: ours as analyzeAssignment() measures it, the papers' once each. */
import { expect, test } from 'vitest'
import { analyzeAssignment } from '../../../ts/analysis/assignment.ts'
import { assignmentTables, toPaperResult } from '../../../ts/recipe/assignment-table.ts'
import { paper1Table2 } from '../../../ts/recipe/paper1-table2.ts'
import { scriptedContext } from '../../fixture/recipe-runs.ts'

const strategies = ['quantized', 'paper-linear', 'paper-knn']
const context = scriptedContext(paper1Table2, { value: () => 0 })

test('a column for each quantity and strategy; a number of the papers stands beside the first that it is comparable with', async () => {
  const tables = await assignmentTables(context, { strategies, batchSizes: [128], quantities: ['distanceChange', 'assignMs'] })
  expect(tables.map(({ title }) => title.split(',')[0])).toEqual(['digits', 'emoji'])
  expect(tables[0].columns).toEqual([
    'batch',
    'quantized: distance change, %',
    'paper-linear: distance change, %',
    'paper-knn: distance change, %',
    'quantized: assignment, ms',
    'paper-linear: assignment, ms',
    'paper-knn: assignment, ms',
  ])
  for (const { rows } of tables) {
    expect(rows.map(({ label }) => label)).toEqual(['128'])
    // The papers' distance of the nearest of k is of no batch size: it is in Table 7.
    expect(rows[0].figures.map(({ paper }) => paper?.value)).toEqual([-1.93, undefined, undefined, 5.4, undefined, 0.2])
    expect(rows[0].figures[0].paper).toMatchObject({ recipe: 'paper1-table2', row: '128', column: 'distance change, %', trust: 'S' })
  }
  const { rows } = await analyzeAssignment({ dataset: { kind: 'digits' }, strategies, batchSizes: [128] })
  rows.forEach(({ distanceChange: { mean, halfWidth } }, at) => {
    expect(tables[0].rows[0].figures[at].ours).toEqual({ mean: 100 * mean, halfWidth: 100 * Number(halfWidth) })
  })
})

test("what this project measured by other code is not shown as a paper's", async () => {
  const { comparisons } = await analyzeAssignment({ dataset: { kind: 'gaussian' }, strategies: ['quantized'], batchSizes: [128] })
  const own = comparisons.filter(({ theirs }) => theirs.trust === 'D')
  expect(own.length).toBeGreaterThan(0)
  expect(own.map((comparison) => toPaperResult(comparison, 'paper1-table2', '128'))).toEqual(own.map(() => undefined))
})
