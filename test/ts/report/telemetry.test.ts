/** Nested figures become named numbers, and nothing else does. */
import { expect, test } from 'vitest'
import { flattenNumbers } from '../../../ts/report/telemetry.ts'

test('every finite number, by its path', () => {
  const figures = { assignment: { gain: 2.5, dualGap: null, drift: { norm: 0 } }, noiseMs: 3, name: 'x', loss: NaN, far: Infinity }
  expect(flattenNumbers(figures)).toEqual([
    { name: 'assignment/gain', value: 2.5 },
    { name: 'assignment/drift/norm', value: 0 },
    { name: 'noiseMs', value: 3 },
  ])
})
