import { expect, test } from 'vitest'
import { assignmentMetrics } from '../../../protocol/index.ts'
import { createStrategy } from '../../../ts/assignment/table.ts'
import { loadDigits } from '../../../ts/dataset/digits.ts'
import { threadKernel } from '../../../ts/kernel/simd/simd.ts'
import { createPoolSource, type Batch } from '../../../ts/pipeline/source.ts'
import { testConfig } from '../../fixture/config.ts'

const digits = loadDigits()

function batchesOf(kind: 'independent' | 'quantized', dataset = digits): Batch[] {
  const config = testConfig({ globalBatchSize: 64, assignment: { kind, poolSize: 256 } })
  return createPoolSource(config, dataset, createStrategy(config.assignment), threadKernel()).pool(0)
}

test('every batch carries the drift of its pool, and the time of measuring beside that of assigning', () => {
  const batches = batchesOf('quantized')
  expect(batches).toHaveLength(4)
  for (const { assignment, assignMs, measureMs } of batches) {
    expect(assignmentMetrics.parse(assignment)).toEqual(batches[0].assignment)
    expect(assignMs).toBeGreaterThan(0)
    expect(measureMs).toBeGreaterThan(0)
  }
})

test('assigned digits keep length, mean and variance as drawn, and lean towards their class', () => {
  const [drawn, assigned] = [batchesOf('independent')[0].assignment.drift, batchesOf('quantized')[0].assignment.drift]
  const { classMean, classMeanDeviation, ...marginal } = assigned
  expect(drawn).toMatchObject(marginal)
  expect(Math.abs(drawn.classMeanDeviation as number)).toBeLessThan(4)
  expect(classMean).toBeGreaterThan(0.5)
  expect(classMeanDeviation).toBeGreaterThan(10)
})

test('without labels there is no class to lean towards', () => {
  const { labels: _, ...unlabelled } = digits
  const [{ assignment }] = batchesOf('quantized', { ...unlabelled, numClasses: 0 })
  expect(assignment.drift).toMatchObject({ classMean: null, classMeanDeviation: null })
  expect(assignment.drift.meanDeviation).not.toBe(null)
})
