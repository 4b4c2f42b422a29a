/** Tables of what strategies do, on one small batch size: ours as analyzeAssignment() measures it, the paper's where the recipe says so. */
import { expect, test } from 'vitest'
import { analyzeAssignment } from '../../../ts/analysis/assignment.ts'
import { assignmentTables } from '../../../ts/recipe/assignment-table.ts'
import { paper1Table2 } from '../../../ts/recipe/paper/paper1-table2.ts'
import { scriptedContext } from '../../fixture/recipe-runs.ts'

test('a table for each data set, a row for each batch size, and the columns that are asked for', async () => {
  const context = scriptedContext(paper1Table2, { value: () => 0 })
  const tables = await assignmentTables(
    context,
    [64, 128],
    [
      { strategy: 'quantized', quantity: 'distanceChange', paper: 'distance change, %' },
      { strategy: 'paper-knn', quantity: 'distanceChange' },
      { strategy: 'quantized', quantity: 'assignMs', paper: 'assignment, ms' },
    ],
  )
  expect(tables.map(({ title }) => title.split(',')[0])).toEqual(['digits', 'emoji', 'gaussian'])
  expect(tables[0].columns).toEqual([
    'batch',
    'quantized: distance change, %',
    'paper-knn: distance change, %',
    'quantized: assignment, ms',
  ])
  for (const { rows } of tables) {
    expect(rows.map(({ label }) => label)).toEqual(['64', '128'])
    // The paper has none of 64.
    expect(rows.map(({ figures }) => figures.map(({ paper }) => paper?.value))).toEqual([
      [undefined, undefined, undefined],
      [-1.93, undefined, 5.4],
    ])
  }
  const { rows } = await analyzeAssignment({ dataset: { kind: 'digits' }, strategies: ['quantized', 'paper-knn'], batchSizes: [128] })
  rows.forEach(({ distanceChange: { mean, halfWidth } }, at) => {
    expect(tables[0].rows[1].figures[at].ours).toEqual({ mean: 100 * mean, halfWidth: 100 * Number(halfWidth) })
  })
})
