/** The options that any strategy takes: within, startStep, poolSize. */
import { describe, expect, test } from 'vitest'
import { assign, runStrategy } from '../../../ts/assignment/assign.ts'
import type { AssignmentReport, AssignmentStrategy, Matrix, PoolContext } from '../../../ts/assignment/assignment.ts'
import { greedy } from '../../../ts/assignment/greedy.ts'
import { linear } from '../../../ts/assignment/linear.ts'
import { nearest } from '../../../ts/assignment/nearest.ts'
import { negated } from '../../../ts/assignment/negated.ts'
import { quantized } from '../../../ts/assignment/quantized.ts'
import { fromStep } from '../../../ts/assignment/start-step.ts'
import { createStrategy } from '../../../ts/assignment/table.ts'
import { withinLabel } from '../../../ts/assignment/within-label.ts'
import { loadDigits } from '../../../ts/dataset/digits.ts'
import { threadKernel } from '../../../ts/kernel/simd/simd.ts'
import { createPoolSource, type Batch } from '../../../ts/pipeline/source.ts'
import type { TrainConfigInput } from '../../../protocol/index.ts'
import { testConfig } from '../../fixture/config.ts'
import { gaussian, identity, isPermutation } from '../../fixture/numbers.ts'

const digits = loadDigits()

const sourceOf = (changes: Partial<TrainConfigInput>) => {
  const config = testConfig(changes)
  return createPoolSource(config, digits, createStrategy(config.assignment), threadKernel())
}

const tensor = ({ tensors }: Batch, name: string): Uint8Array => tensors.find(({ spec }) => spec.name === name)?.data ?? new Uint8Array()

/** Two classes of Gaussian images whose means lie 2 apart along the first axis. */
function twoClasses(seed: number, n: number, dims: number) {
  const images = gaussian(seed, n, dims)
  const labels = Int32Array.from({ length: n }, (_, row) => (row * 7 + (row >> 3)) % 2)
  labels.forEach((label, row) => (images[row * dims] += label === 0 ? -1 : 1))
  return { images, labels, noise: gaussian(seed, n, dims, n), dims }
}

describe("within: 'label'", () => {
  const [N, DIMS] = [256, 32]

  /** Mean along the first axis of the noise of class 1 less that of class 0, over 20 seeds, in standard errors; and the share of the blind gain. */
  function shift(strategy: AssignmentStrategy): { score: number; gain: number } {
    let score = 0
    let gain = 0
    for (let seed = 0; seed < 20; seed++) {
      const { images, labels, noise, dims } = twoClasses(seed, N, DIMS)
      const { noiseIndex, metrics } = assign(strategy, { images, noise, dims, labels })
      noiseIndex.forEach((row, image) => (score += noise[row * DIMS] * (labels[image] === 0 ? -1 : 1)))
      gain += metrics.gain - metrics.preGain
    }
    return { score: score / Math.sqrt(20 * N), gain: gain / 20 }
  }

  test.for([linear(), quantized(), greedy()])(
    "brings the noise of a class back to where it was drawn, and keeps most of $name's gain",
    async (strategy, { annotate }) => {
      const blind = shift(strategy)
      const within = shift(withinLabel(strategy))
      expect(blind.score).toBeGreaterThan(10)
      expect(Math.abs(within.score)).toBeLessThan(3)
      expect(within.gain / blind.gain).toBeGreaterThan(0.8)
      expect(within.gain / blind.gain).toBeLessThan(1)
      const standardErrors = `${blind.score.toFixed(1)} standard errors apart, ${within.score.toFixed(1)} within labels`
      await annotate(`${strategy.name}: ${standardErrors}; share of the gain kept ${(within.gain / blind.gain).toFixed(3)}`)
    },
  )

  test('is the best assignment of each class, put together', () => {
    const { images, labels, noise, dims } = twoClasses(3, 64, 8)
    const { noiseIndex } = assign(withinLabel(linear()), { images, noise, dims, labels })
    expect(isPermutation(noiseIndex)).toBe(true)
    for (const label of [0, 1]) {
      const rows = identity(64).filter((row) => labels[row] === label)
      const take = (all: Float32Array): Float32Array =>
        Float32Array.from([...rows].flatMap((row) => [...all.subarray(row * dims, (row + 1) * dims)]))
      const alone = assign(linear(), { images: take(images), noise: take(noise), dims })
      expect([...rows].map((row) => noiseIndex[row])).toEqual([...alone.noiseIndex].map((row) => rows[row]))
    }
  })

  test('an image that is alone in its class keeps its noise; with none else there is nothing to miss', () => {
    const { images, noise, dims } = twoClasses(4, 5, 8)
    const alone = assign(withinLabel(quantized()), { images, noise, dims, labels: identity(5) })
    expect(alone.metrics).toMatchObject({ numMoved: 0, dualGap: 0 })
    const pair = assign(withinLabel(linear()), { images, noise, dims, labels: Int32Array.of(3, 1, 4, 1, 5) })
    expect([0, 2, 4].map((row) => pair.noiseIndex[row])).toEqual([0, 2, 4])
  })

  test('reports the largest dual gap of its parts, none where a part has none, and the sign', () => {
    const reporting = (reports: readonly AssignmentReport[]): AssignmentStrategy => {
      let call = 0
      return { ...linear(), assign: (_pool, _x, _n, index) => (index.forEach((_, at) => (index[at] = at)), reports[call++]) }
    }
    const { images, noise, dims } = twoClasses(5, 6, 4)
    const labels = Int32Array.of(0, 0, 1, 1, 2, 2)
    const gapOf = (...gaps: (number | undefined)[]) =>
      assign(withinLabel(reporting(gaps.map((dualGap) => (dualGap === undefined ? {} : { dualGap })))), { images, noise, dims, labels })
        .metrics.dualGap
    expect(gapOf(0.1, 0.3, 0.2)).toBe(0.3)
    expect(gapOf(0.1, undefined, 0.2)).toBe(null)
    expect(assign(withinLabel(negated()), { images, noise, dims, labels }).noiseSign).toBe(-1)
    expect(() => assign(withinLabel(reporting([{ noiseSign: 1 }, { noiseSign: -1 }, {}])), { images, noise, dims, labels })).toThrow(
      /noiseSign: expected one for all labels/,
    )
  })

  test('the dual gap bounds the distance from the best within labels', () => {
    const { images, labels, noise, dims } = twoClasses(6, N, DIMS)
    const sum = (strategy: AssignmentStrategy): [number, number | null] => {
      const { noiseIndex, metrics } = assign(strategy, { images, noise, dims, labels })
      let total = 0
      noiseIndex.forEach((row, image) => {
        for (let d = 0; d < dims; d++) total += images[image * dims + d] * noise[row * dims + d]
      })
      return [total, metrics.dualGap]
    }
    const drawn = images.reduce((total, value, at) => total + value * noise[at], 0)
    const [best] = sum(withinLabel(linear()))
    const [reached, gap] = sum(withinLabel(quantized({ tolerance: 0.2 })))
    expect(gap).toBeGreaterThan(0.001)
    // Quantized products are not quite the exact ones.
    expect((best - reached) / (best - drawn)).toBeLessThan((gap as number) + 0.002)
  })

  test('a strategy that forgets an image or takes one twice is caught as ever', () => {
    const { images, labels, noise, dims } = twoClasses(7, 16, 4)
    const writing = (write: (index: Int32Array) => void): AssignmentStrategy => ({
      ...linear(),
      assign: (_p, _x, _n, index) => (write(index), {}),
    })
    expect(() => assign(withinLabel(writing(() => undefined)), { images, noise, dims, labels })).toThrow(
      /noiseIndex\[0\]: expected a noise row/,
    )
    expect(() => assign(withinLabel(writing((index) => index.fill(0))), { images, noise, dims, labels })).toThrow(/expected a permutation/)
    expect(() => assign(withinLabel(writing((index) => index.fill(999))), { images, noise, dims, labels })).toThrow(/expected a noise row/)
  })

  test('needs labels, and a strategy that permutes', () => {
    const { images, noise, dims } = twoClasses(8, 8, 4)
    expect(() => assign(withinLabel(linear()), { images, noise, dims })).toThrow(
      "[assignment:linear] labels: expected one for each image for within: 'label', got none",
    )
    expect(() => withinLabel(nearest())).toThrow(
      "[assignment:nearest] within: expected a strategy that permutes for 'label', got 4 candidates per image",
    )
  })
})

describe('startStep', () => {
  test('a pool is assigned when its first step is at or after it, and keeps its noise before', () => {
    const layout = { globalBatchSize: 16, dataset: { kind: 'digits' } } as const
    const drawn = sourceOf({ ...layout, assignment: { kind: 'independent', poolSize: 64 } })
    for (const kind of ['linear', 'quantized', 'greedy', 'negated'] as const) {
      const assigned = sourceOf({ ...layout, assignment: { kind, poolSize: 64 } })
      for (const [startStep, firstAssigned] of [
        [1, 1],
        [4, 1],
        [5, 2],
        [8, 2],
      ] as const) {
        const source = sourceOf({ ...layout, assignment: { kind, poolSize: 64, startStep } })
        for (let pool = 0; pool < 3; pool++) {
          const expected = pool < firstAssigned ? drawn : assigned
          expect(source.pool(pool).map(({ tensors }) => tensors)).toEqual(expected.pool(pool).map(({ tensors }) => tensors))
        }
        const { gain, preGain, numMoved } = source.pool(0)[0].assignment
        expect({ gain, numMoved }).toEqual({ gain: preGain, numMoved: 0 })
      }
    }
  })

  test('of several candidates the first is the noise as drawn', () => {
    const [before] = sourceOf({ globalBatchSize: 16, assignment: { kind: 'nearest', startStep: 1 } }).pool(0)
    const [all] = sourceOf({ globalBatchSize: 64, assignment: 'independent' }).pool(0)
    const rowBytes = 64 * 2
    const row = (batch: Batch, at: number): Uint8Array => tensor(batch, 'noise').subarray(at * rowBytes, (at + 1) * rowBytes)
    for (const image of [0, 1, 15]) expect(row(before, image)).toEqual(row(all, image * 4))
  })

  test('an inner strategy is not even asked before', () => {
    const never: AssignmentStrategy = {
      ...linear(),
      assign() {
        throw new Error('asked')
      },
    }
    const matrix: Matrix = { data: gaussian(1, 4, 3), rows: 4, dims: 3, scale: 1, offset: 0 }
    const pool = (firstStep: number): PoolContext => ({
      epoch: 0,
      firstStep,
      firstSample: 0,
      sampleIndices: identity(4),
      flips: new Uint8Array(4),
    })
    expect(runStrategy(fromStep(never, 8), pool(7), matrix, matrix).metrics.numMoved).toBe(0)
    expect(() => runStrategy(fromStep(never, 8), pool(8), matrix, matrix)).toThrow('asked')
  })
})

test.each(['linear', 'quantized', 'greedy', 'negated', 'nearest'] as const)(
  'batches of 1 from pools of 1024 are the rows of one batch of 1024: %s',
  (kind) => {
    const small = sourceOf({ globalBatchSize: 1, assignment: { kind, poolSize: 1024 } }).pool(1)
    const [large] = sourceOf({ globalBatchSize: 1024, assignment: { kind } }).pool(1)
    expect(small.map(({ step }) => step)).toEqual(Array.from({ length: 1024 }, (_, at) => 1024 + at))
    for (const name of ['images', 'noise', 'labels', 'uniforms']) {
      expect(Buffer.concat(small.map((batch) => tensor(batch, name)))).toEqual(Buffer.from(tensor(large, name)))
    }
    expect(small[0].assignment).toEqual(large.assignment)
    // Alone, a batch of one has nothing to be paired with, but for the strategy that draws several.
    expect(sourceOf({ globalBatchSize: 1, assignment: { kind } }).pool(1)[0].assignment.numMoved).toBeLessThanOrEqual(
      kind === 'nearest' ? 1 : 0,
    )
    expect(large.assignment.numMoved).toBeGreaterThan(700)
  },
)
