import { expect, test } from 'vitest'
import type { AssignmentStrategy, Matrix } from '../../../ts/assignment/assignment.ts'
import { solvePool } from '../../../ts/assignment/assign.ts'
import type { Directions } from '../../../ts/assignment/directions.ts'
import { findDirections } from '../../../ts/assignment/directions.ts'
import { measureDrift } from '../../../ts/assignment/drift.ts'
import { independent } from '../../../ts/assignment/independent.ts'
import { linear } from '../../../ts/assignment/linear.ts'
import { plainKernel } from '../../../ts/kernel/plain.ts'
import { threadKernel } from '../../../ts/kernel/simd/simd.ts'
import { gaussian, identity } from '../../fixture/numbers.ts'

const DIMS = 48
const matrix = (data: Float32Array, dims = DIMS): Matrix => ({ data, rows: data.length / dims, dims, scale: 1, offset: 0 })

/** Two classes that lie apart along their first dimension, on a background of other differences. */
function twoClasses(seed: number, rows: number): { images: Matrix; labels: Int32Array } {
  const data = gaussian(seed, rows, DIMS, 1000)
  const labels = identity(rows).map((row) => row % 2)
  for (let row = 0; row < rows; row++) data[row * DIMS] += labels[row] === 1 ? 6 : -6
  return { images: matrix(data), labels }
}

const twoClassDirections = (): Directions => {
  const { images, labels } = twoClasses(77, 512)
  return findDirections(images, threadKernel(), { labels, numClasses: 2 })
}

/** The nearest of the image's own k noises, by distance. */
const nearest = (k: number): AssignmentStrategy => ({
  name: 'nearest',
  candidatesPerImage: k,
  assign(_pool, images, noise, noiseIndex) {
    const distance = (image: number, row: number): number => {
      let sum = 0
      for (let d = 0; d < images.dims; d++) sum += (images.data[image * images.dims + d] - noise.data[row * images.dims + d]) ** 2
      return sum
    }
    noiseIndex.forEach((_, image) => {
      noiseIndex[image] = identity(k)
        .map((at) => image * k + at)
        .reduce((best, row) => (distance(image, row) < distance(image, best) ? row : best))
    })
    return {}
  },
})

function assigned(strategy: AssignmentStrategy, seed: number, rows: number, directions: Directions) {
  const { images, labels } = twoClasses(seed, rows)
  const noise = matrix(gaussian(seed, rows * strategy.candidatesPerImage, DIMS))
  const pool = { epoch: 0, firstStep: 0, firstSample: 0, sampleIndices: identity(rows), flips: new Uint8Array(rows), labels }
  const { noiseIndex } = solvePool(strategy, pool, images, noise)
  return { noise, noiseIndex, labels, drift: measureDrift(strategy, noise, noiseIndex, threadKernel(), directions, labels) }
}

/** Assigned to the nearest noise of its own class only. */
const withinLabel: AssignmentStrategy = {
  name: 'within',
  candidatesPerImage: 1,
  assign(pool, images, noise, noiseIndex) {
    for (const label of [0, 1]) {
      const rows = identity(images.rows).filter((row) => pool.labels?.[row] === label)
      const pick = ({ data, dims }: Matrix): Matrix =>
        matrix(Float32Array.from([...rows].flatMap((row) => [...data.subarray(row * dims, (row + 1) * dims)])))
      const inner = new Int32Array(rows.length)
      linear().assign({ ...pool, sampleIndices: rows, flips: new Uint8Array(rows.length) }, pick(images), pick(noise), inner)
      rows.forEach((row, at) => (noiseIndex[row] = rows[inner[at]]))
    }
    return {}
  },
}

test('is what its definition says, number by number', () => {
  const directions = twoClassDirections()
  for (const [k, sign] of [
    [1, 1],
    [1, -1],
    [3, 1],
  ] as const) {
    const strategy: AssignmentStrategy = { ...nearest(k), noiseSign: sign }
    const { noise, noiseIndex, labels, drift } = assigned(strategy, 5, 71, directions)
    const rows = [...noiseIndex].map((row) => Float32Array.from(noise.data.subarray(row * DIMS, (row + 1) * DIMS), (value) => value * sign))
    const along = (direction: Float32Array): number[] => rows.map((row) => row.reduce((sum, value, d) => sum + value * direction[d], 0))
    const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length
    const variance = (values: readonly number[]): number =>
      (mean(values.map((value) => (value - mean(values)) ** 2)) * values.length) / (values.length - 1)
    const largest = (values: readonly number[]): number => values.toSorted((a, b) => Math.abs(b) - Math.abs(a))[0]
    const coordinates = [0, 1, 2, 3].map((at) => along(directions.principal.subarray(at * DIMS, (at + 1) * DIMS)))
    const norm = mean(rows.map((row) => row.reduce((sum, value) => sum + value ** 2, 0))) / DIMS
    const classes = directions.classes as Float32Array
    const own = rows.map((row, image) => row.reduce((sum, value, d) => sum + value * classes[labels[image] * DIMS + d], 0))
    expect(drift.norm).toBeCloseTo(norm, 5)
    expect(drift.normDeviation).toBeCloseTo((norm - 1) / Math.sqrt(2 / (DIMS * 71)), 3)
    expect(drift.meanDeviation).toBeCloseTo(largest(coordinates.map((values) => mean(values) / Math.sqrt(1 / 71))), 4)
    expect(drift.varianceDeviation).toBeCloseTo(largest(coordinates.map((values) => (variance(values) - 1) / Math.sqrt(2 / 70))), 4)
    expect(drift.classMean).toBeCloseTo(mean(own), 5)
    expect(drift.classMeanDeviation).toBeCloseTo(mean(own) * Math.sqrt(71), 4)
  }
})

test('of noise as drawn goes beyond 3 standard errors as seldom as chance does, over 200 seeds', () => {
  const directions = twoClassDirections()
  const drifts = Array.from({ length: 200 }, (_, seed) => assigned(independent(), seed, 64, directions).drift)
  const beyond = (field: 'normDeviation' | 'meanDeviation' | 'varianceDeviation' | 'classMeanDeviation', limit: number): number =>
    drifts.filter((drift) => Math.abs(drift[field] as number) > limit).length
  // Normal: 0.0027 of 200 each; the largest of four has four times that, and the variance of 64 has a heavier upper tail (0.009 each, by the chi-squared law).
  expect(beyond('normDeviation', 3)).toBeLessThanOrEqual(3)
  expect(beyond('meanDeviation', 3)).toBeLessThanOrEqual(7)
  expect(beyond('varianceDeviation', 3)).toBeLessThanOrEqual(14)
  expect(beyond('classMeanDeviation', 3)).toBeLessThanOrEqual(3)
  // Control: the scale is not so wide that nothing would ever show.
  expect(beyond('normDeviation', 1)).toBeGreaterThan(40)
  expect(beyond('normDeviation', 1)).toBeLessThan(90)
  expect(beyond('classMeanDeviation', 1)).toBeGreaterThan(40)
})

test('shows that the nearest of k candidates is short, and along the images no longer spread as drawn', () => {
  const { drift } = assigned(nearest(16), 1, 512, twoClassDirections())
  expect(drift.norm).toBeLessThan(0.97)
  expect(drift.normDeviation).toBeLessThan(-4)
  expect(Math.abs(drift.varianceDeviation as number)).toBeGreaterThan(4)
})

test('a permutation leaves length, mean and variance as drawn, to the rounding of the sums', () => {
  const directions = twoClassDirections()
  const drawn = assigned(independent(), 3, 256, directions).drift
  const paired = assigned(linear(), 3, 256, directions).drift
  expect({ ...paired, classMean: 0, classMeanDeviation: 0 }).toEqual({ ...drawn, classMean: 0, classMeanDeviation: 0 })
  const negated = assigned({ ...linear(), noiseSign: -1 }, 3, 256, directions).drift
  expect(negated.meanDeviation).toBe(-(drawn.meanDeviation as number))
  expect(negated.varianceDeviation).toBe(drawn.varianceDeviation)
})

test('label-blind assignment shifts the mean of each class by more than 10 standard errors, assignment within the class by less than 3', () => {
  const directions = twoClassDirections()
  const blind = assigned(linear(), 4, 512, directions).drift
  const within = assigned(withinLabel, 4, 512, directions).drift
  expect(blind.classMean).toBeGreaterThan(0.5)
  expect(blind.classMeanDeviation).toBeGreaterThan(10)
  expect(Math.abs(within.classMeanDeviation as number)).toBeLessThan(3)
})

test('what cannot be known is null', () => {
  const noise = matrix(gaussian(1, 8, DIMS))
  const directions = twoClassDirections()
  const drift = measureDrift(independent(), noise, identity(8), plainKernel)
  expect(drift).toMatchObject({ meanDeviation: null, varianceDeviation: null, classMean: null, classMeanDeviation: null })
  expect(measureDrift(independent(), noise, identity(8), plainKernel, directions).classMean).toBe(null)
  expect(
    measureDrift(independent(), noise, identity(8), plainKernel, { principal: directions.principal }, new Int32Array(8)).classMean,
  ).toBe(null)
  const one = measureDrift(independent(), matrix(gaussian(1, 1, DIMS)), identity(1), plainKernel, directions, new Int32Array(1))
  expect(one.varianceDeviation).toBe(null)
  expect(Number.isFinite(one.meanDeviation)).toBe(true)
})

test('has the same bits with the plain kernel', () => {
  const directions = twoClassDirections()
  const { noise, noiseIndex, labels, drift } = assigned(nearest(2), 9, 67, directions)
  expect(measureDrift(nearest(2), noise, noiseIndex, plainKernel, directions, labels)).toEqual(drift)
})
