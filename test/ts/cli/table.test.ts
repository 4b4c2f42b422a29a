import { expect, test } from 'vitest'
import { formatTable } from '../../../ts/cli/table.ts'

const ROWS = [
  ['name', 'what', 'from'],
  ['a', 'x'.repeat(70), 'here'],
  ['bb', 'y', 'there'],
]

test('columns are aligned, and nothing is cut where there is no terminal', () => {
  const lines = formatTable(ROWS, {}).split('\n')
  expect(lines[0]).toBe(`name  what${' '.repeat(66)}  from`)
  expect(lines[1]).toBe(`a     ${'x'.repeat(70)}  here`)
})

test('in a terminal the widest cells are cut, so that every line fits', () => {
  const lines = formatTable(ROWS, { columns: 70 }).split('\n')
  expect(lines.map((line) => line.length < 70)).toEqual([true, true, true])
  expect(lines[1]).toMatch(/^a {5}x+… {2}here$/)
  expect(lines[2]).toMatch(/^bb {4}y +there$/)
})

test('a very narrow one gets a line for each cell, as does prose that does not fit', () => {
  const stacked = `a\n  what ${'x'.repeat(70)}\n  from here\nbb\n  what y\n  from there`
  expect(formatTable(ROWS, { columns: 40 })).toBe(stacked)
  expect(formatTable(ROWS, { columns: 70, mayCut: false })).toBe(stacked)
  expect(formatTable(ROWS, { columns: 200, mayCut: false })).toBe(formatTable(ROWS, {}))
})
