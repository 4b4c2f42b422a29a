import { expect, test } from 'vitest'
import { estimate, studentQuantile } from '../../../ts/analysis/estimate.ts'
import { gaussian } from '../../fixture/numbers.ts'
import { runPython } from '../../fixture/python.ts'

test("the quantiles are SciPy's", async () => {
  const degrees = [...Array.from({ length: 40 }, (_, at) => at + 1), 100, 1000]
  const expected = await runPython<number[]>(
    'from scipy.stats import t\nanswer = [float(t.ppf(0.975, degrees)) for degrees in args]',
    degrees,
  )
  degrees.forEach((one, at) => expect(Math.abs(studentQuantile(one) - expected[at])).toBeLessThan(2e-4))
})

test('an interval holds the truth about 95 times of 100, also from five values', () => {
  const values = gaussian(1, 2000, 5)
  const hits = Array.from({ length: 2000 }, (_, at) => estimate([...values.subarray(5 * at, 5 * at + 5)])).filter(
    ({ mean, halfWidth }) => Math.abs(mean) <= (halfWidth as number),
  )
  // 0.95 give or take four standard errors.
  expect(hits.length / 2000).toBeGreaterThan(0.93)
  expect(hits.length / 2000).toBeLessThan(0.97)
})

test('one value has no interval', () => expect(estimate([3])).toEqual({ mean: 3, halfWidth: null }))
