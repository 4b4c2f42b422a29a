/** Parts of the dashboard that need no browser: the secret behind its addresses, the reader of a growing file, curves of bounded size. */
import { appendFileSync, mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { isToken, makeToken } from '../../ts/view/access.ts'
import { addRow, createModel, QUALITY_FIELDS, readCurve, STEP_FIELDS, toRow, type Row } from '../../ts/view/page/model.mjs'
import { readLines } from '../../ts/view/tail.ts'

function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'immiscible-view-'))
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

test('a token stays the same for the same runs, opens no others, and hangs on a secret that only the user can read', () => {
  const folder = join(temporaryFolder(), 'new')
  const token = makeToken(folder, ['/runs/a', '/runs/b'])
  expect(token).toMatch(/^[\w-]{43}$/)
  expect(makeToken(folder, ['/runs/a', '/runs/b'])).toBe(token)
  expect(statSync(join(folder, 'view-secret')).mode & 0o777).toBe(0o600)
  const others = [
    makeToken(folder, ['/runs/a']),
    makeToken(folder, ['/runs/b', '/runs/a']),
    makeToken(temporaryFolder(), ['/runs/a', '/runs/b']),
  ]
  for (const other of others) expect(isToken(other, token)).toBe(false)
  expect(isToken(token, token)).toBe(true)
  for (const other of ['', token.slice(1), `${token}A`, 'ü'.repeat(43)]) expect(isToken(other, token)).toBe(false)
})

test('without a place for the secret there is a token all the same, another each time; so with a secret that was cut short', () => {
  const folder = temporaryFolder()
  const file = join(folder, 'file')
  writeFileSync(file, '')
  expect(makeToken(file, ['/runs/a'])).not.toBe(makeToken(file, ['/runs/a']))
  mkdirSync(join(folder, 'cut'))
  writeFileSync(join(folder, 'cut', 'view-secret'), '')
  expect(makeToken(join(folder, 'cut'), ['/runs/a'])).not.toBe(makeToken(join(folder, 'cut'), ['/runs/a']))
})

test('a growing file is read by whole lines, from any byte on; one that was replaced or cut, from its start', () => {
  const file = join(temporaryFolder(), 'events.jsonl')
  expect(readLines(file, 0, undefined)).toBe(undefined)
  writeFileSync(file, 'one\ntwo\nthr')
  const first = readLines(file, 0, undefined)
  expect(first).toMatchObject({ lines: ['one', 'two'], offset: 8, isBehind: false })
  expect(readLines(file, 8, first?.identity)).toMatchObject({ lines: [], offset: 8, isBehind: false })
  appendFileSync(file, 'ee\n')
  expect(readLines(file, 8, first?.identity)).toMatchObject({ lines: ['three'], offset: 14 })
  writeFileSync(file, 'new\n')
  expect(readLines(file, 14, first?.identity)).toMatchObject({ lines: ['new'], offset: 4 })
  expect(readLines(file, 4, '1')).toMatchObject({ lines: ['new'], offset: 4 })
})

test('a long file comes in pieces that end with a line; what never ends is passed over', () => {
  const file = join(temporaryFolder(), 'events.jsonl')
  const lines = Array.from({ length: 30_000 }, (_, at) => `${at} ${'x'.repeat(80)}`)
  writeFileSync(file, `${lines.join('\n')}\n${'y'.repeat(3 << 20)}\nlast\n`)
  const found: string[] = []
  for (let [offset, isBehind] = [0, true]; isBehind;) {
    const read = readLines(file, offset, undefined)
    if (!read) throw new Error('gone')
    found.push(...read.lines)
    ;({ offset, isBehind } = read)
  }
  expect(found.slice(0, 30_000)).toEqual(lines)
  expect(found.at(-1)).toBe('last')
})

test('neighbours are joined as the mean, the least and the greatest of their steps; a missing value counts for none', () => {
  const model = createModel()
  const NUM = 50_000
  const valueAt = (step: number): number | null => (step % 5 === 0 ? null : (step * 7919) % 1000)
  for (let step = 0; step < NUM; step++) addRow(model, ['step', step, 1, valueAt(step), ...STEP_FIELDS.slice(1).map(() => 1)] as Row)
  const { x, mean, low, high } = readCurve(model.curves, 0)
  const { width } = model.curves
  expect(width).toBe(16)
  expect(x.length).toBe(NUM / width)
  for (const [at, middle] of x.entries()) {
    const start = middle - (width - 1) / 2
    const values = Array.from({ length: width }, (_, step) => valueAt(start + step)).filter((value) => value !== null)
    expect([low[at], high[at]]).toEqual([Math.min(...values), Math.max(...values)])
    expect(mean[at]).toBeCloseTo(values.reduce((sum, value) => sum + value, 0) / values.length, 8)
  }
  expect(JSON.stringify(model).length).toBeLessThan(1_500_000)
})

test('what is no event of a run is none', () => {
  for (const wrong of [
    null,
    5,
    'x',
    [],
    {},
    { kind: 5 },
    { kind: 'step' },
    { kind: 'step', step: -1 },
    { kind: 'sample', step: 1.5 },
    { kind: 'end', outcome: 'x' },
  ]) {
    expect(toRow(wrong)).toBe(undefined)
  }
})

test('sample quality is a curve of the first metric and its floor; an evaluation without metrics has no point', () => {
  const model = createModel()
  const evaluation = (step: number, measures: unknown): void => {
    const row = toRow({ kind: 'evaluation', time: 1, step, measures })
    if (row) addRow(model, row)
  }
  evaluation(100, [
    { name: 'fdClassifier', value: 12, floor: 0.5 },
    { name: 'kdClassifier', value: 3, floor: 0 },
  ])
  evaluation(200, [{ name: 'fdClassifier', value: 6, floor: null }])
  evaluation(300, [])
  evaluation(400, undefined)
  expect(toRow({ kind: 'evaluation', time: 1, step: -1, measures: [] })).toBe(undefined)
  const curve = (field: (typeof QUALITY_FIELDS)[number]) => readCurve(model.quality, QUALITY_FIELDS.indexOf(field))
  expect(curve('value')).toMatchObject({ x: [100, 200], mean: [12, 6] })
  expect(curve('floor')).toMatchObject({ x: [100], mean: [0.5] })
})
