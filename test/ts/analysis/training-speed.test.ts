/** trainingSpeed() against cases worked out by hand. */
import { expect, test } from 'vitest'
import { ConfigError } from '../../../ts/errors.ts'
import { trainingSpeed, type MetricCurve } from '../../../ts/analysis/training-speed.ts'

/** Measured every 100 steps, which take a second each. */
function curve(values: readonly number[], secondsPerStep = 1): MetricCurve {
  const steps = values.map((_, at) => 100 * (at + 1))
  return { steps, seconds: steps.map((step) => step * secondsPerStep), values }
}

test('as good at a measured step: the ratio of the steps, and of the times', () => {
  const { pairs, numReached, steps, seconds } = trainingSpeed([curve([8, 6, 5, 4])], [curve([6, 4, 3, 2], 3)])
  expect(pairs).toEqual([{ baselineStep: 400, isBestLast: true, best: 4, otherStep: 200, stepRatio: 2, secondsRatio: 400 / 600 }])
  expect(numReached).toBe(1)
  expect(steps).toEqual({ median: 2, low: 2, high: 2 })
  expect(seconds.median).toBeCloseTo(2 / 3, 12)
})

test('between two measurements it is reached on the line that joins them', () => {
  // From 7 at 200 to 3 at 300: 4 is three quarters of the way.
  const [pair] = trainingSpeed([curve([8, 6, 5, 4])], [curve([9, 7, 3, 2], 2)]).pairs
  expect(pair.otherStep).toBeCloseTo(275, 9)
  expect(pair.stepRatio).toBeCloseTo(400 / 275, 9)
  expect(pair.secondsRatio).toBeCloseTo(400 / 550, 9)
})

test('there at the first measurement: as if it took until then, since nothing is known before', () => {
  const [pair] = trainingSpeed([curve([8, 4])], [curve([1, 1])]).pairs
  expect(pair).toMatchObject({ otherStep: 100, stepRatio: 2 })
})

test('never reached: 0, counted as such, and part of no mean', () => {
  const { pairs, numReached, steps } = trainingSpeed([curve([8, 4]), curve([8, 4])], [curve([9, 4.001]), curve([4, 1])])
  expect(pairs[0]).toMatchObject({ otherStep: null, stepRatio: 0, secondsRatio: 0 })
  expect(numReached).toBe(1)
  expect(steps).toEqual({ median: 0, low: 0, high: 2 })
})

test('a baseline that was best before its last measurement was done, one that was best there may not have been', () => {
  const { pairs, numBestLast } = trainingSpeed([curve([8, 4, 5]), curve([8, 5, 4])], [curve([4, 4, 4]), curve([4, 4, 4])])
  expect(pairs.map(({ isBestLast }) => isBestLast)).toEqual([false, true])
  expect(numBestLast).toBe(1)
})

test('a best value that the baseline has twice counts from the first time', () => {
  const [pair] = trainingSpeed([curve([8, 4, 5, 4])], [curve([8, 7, 6, 4])]).pairs
  expect(pair).toMatchObject({ baselineStep: 200, otherStep: 400, stepRatio: 0.5 })
})

test('a curve that worsens later was as good when it was', () => {
  const [pair] = trainingSpeed([curve([8, 6, 4])], [curve([4, 9, 9])]).pairs
  expect(pair).toMatchObject({ otherStep: 100, stepRatio: 3 })
})

test('a baseline beside itself is as fast as itself', () => {
  const same = curve([9, 7, 5, 6])
  expect(trainingSpeed([same], [same]).steps).toEqual({ median: 1, low: 1, high: 1 })
})

test('the median of an odd number of pairs is the middle one, of an even number the mean of the two in the middle', () => {
  const baseline = curve([9, 8, 7, 4])
  // Reached at 100, 200 and 400: four times, twice and just as fast.
  const others = [curve([4, 4, 4, 4]), curve([9, 4, 4, 4]), curve([9, 8, 7, 4])]
  expect(trainingSpeed([baseline, baseline, baseline], others).steps).toEqual({ median: 2, low: 1, high: 4 })
  expect(trainingSpeed([baseline, baseline], others.slice(0, 2)).steps).toEqual({ median: 3, low: 2, high: 4 })
})

test('pairs that are none, and curves without a value, are refused', () => {
  expect(() => trainingSpeed([], [])).toThrow(
    new ConfigError([{ path: 'curves', message: 'expected as many curves as of the baseline (0, at least 1), got 0' }]),
  )
  expect(() => trainingSpeed([curve([1])], [])).toThrow('expected as many curves as of the baseline (1, at least 1), got 0')
  expect(() => trainingSpeed([curve([])], [curve([1])])).toThrow('expected finite values, got none')
})
