import { describe, expect, test } from 'vitest'
import { analyzeAssignment, type AnalysisRow } from '../../../ts/analysis/assignment.ts'
import { formatAnalysis } from '../../../ts/analysis/format.ts'
import { PAPER_VALUES } from '../../../ts/analysis/paper-values.ts'
import type { AssignmentStrategy } from '../../../ts/assignment/assignment.ts'
import { linear } from '../../../ts/assignment/linear.ts'
import { createStrategy, STRATEGIES } from '../../../ts/assignment/table.ts'
import { loadDigits } from '../../../ts/dataset/digits.ts'
import { threadKernel } from '../../../ts/kernel/simd/simd.ts'
import { createPoolSource } from '../../../ts/pipeline/source.ts'
import { testConfig } from '../../fixture/config.ts'

const digits = { kind: 'digits' } as const

/** The nearest of eight noises drawn for the image. */
const nearest: AssignmentStrategy = {
  name: 'nearest',
  candidatesPerImage: 8,
  assign(_pool, images, noise, noiseIndex) {
    const { dims } = images
    const distance = (image: number, row: number): number => {
      let sum = 0
      for (let d = 0; d < dims; d++) sum += (images.data[image * dims + d] - noise.data[row * dims + d]) ** 2
      return sum
    }
    noiseIndex.forEach((_, image) => {
      const distances = Array.from({ length: 8 }, (__, at) => distance(image, 8 * image + at))
      noiseIndex[image] = 8 * image + distances.indexOf(Math.min(...distances))
    })
    return {}
  },
}

const find = (rows: readonly AnalysisRow[], strategy: string): AnalysisRow => {
  const row = rows.find((one) => one.strategy === strategy)
  if (!row) throw new Error(`no row of ${strategy}`)
  return row
}

test('every strategy of the table has a row for each size, in that order, without being named here', async () => {
  const seen: string[] = []
  const { rows, dataset, numSeeds } = await analyzeAssignment({
    dataset: digits,
    batchSizes: [16, 32],
    numSeeds: 2,
    onRow: ({ strategy, batchSize }) => seen.push(`${strategy} ${batchSize}`),
  })
  const expected = STRATEGIES.flatMap(({ kind }) => [16, 32].map((size) => `${kind} ${size}`))
  expect(rows.map(({ strategy, batchSize }) => `${strategy} ${batchSize}`)).toEqual(expected)
  expect(seen.toSorted()).toEqual(expected.toSorted())
  expect(dataset).toMatchObject({ name: 'digits', numImages: 1797, dims: 64 })
  expect(numSeeds).toBe(2)
  expect(find(rows, 'linear').gainShare).toEqual({ mean: 1, halfWidth: 0 })
  expect(find(rows, 'independent')).toMatchObject({ movedShare: { mean: 0 }, distanceChange: { mean: 0 }, dualGap: null })
})

test('a row says what training would say of its first batch', async () => {
  const { rows } = await analyzeAssignment({ dataset: digits, batchSizes: [64], strategies: ['quantized'], numSeeds: 1 })
  const config = testConfig({ globalBatchSize: 64, assignment: { kind: 'quantized' }, seed: 0 })
  const [{ assignment }] = createPoolSource(config, loadDigits(), createStrategy(config.assignment), threadKernel()).pool(0)
  const row = find(rows, 'quantized')
  expect(row.gain.mean).toBe(assignment.gain)
  expect(row.distanceBefore.mean).toBe(assignment.preCost)
  expect(row.distanceAfter.mean).toBe(assignment.postCost)
  expect(row.dualGap?.mean).toBe(assignment.dualGap)
  expect(row.movedShare.mean).toBe(assignment.numMoved / 64)
  const { norm, meanDeviation, varianceDeviation, classMean, classMeanDeviation } = assignment.drift
  expect([row.norm, row.meanDeviation, row.varianceDeviation, row.classMean, row.classMeanDeviation].map((one) => one?.mean)).toEqual([
    norm,
    meanDeviation,
    varianceDeviation,
    classMean,
    classMeanDeviation,
  ])
  expect(row.gain.halfWidth).toBe(null)
  expect(row.gainShare).toBe(null)
})

describe('on Gaussian images', () => {
  const reported = (strategy: string, imageRms: number, batchSize: number | null, candidates: number): number => {
    const value = PAPER_VALUES.find(
      (one) =>
        one.gaussian?.imageRms === imageRms &&
        one.strategies.includes(strategy) &&
        one.batchSize === batchSize &&
        one.candidates === candidates,
    )
    if (!value) throw new Error('no such value')
    return value.value
  }

  test('the distances are those that NumPy and SciPy gave, exact and nearest of eight', async () => {
    const { rows, comparisons } = await analyzeAssignment({
      dataset: { kind: 'gaussian', imageRms: 0.5 },
      batchSizes: [128],
      strategies: ['linear', nearest],
      numSeeds: 4,
    })
    const [exact, near] = [find(rows, 'linear'), find(rows, 'nearest')]
    expect(Math.abs(exact.distanceChange.mean - reported('linear', 0.5, 128, 1))).toBeLessThan(0.001)
    expect(Math.abs(near.distanceChange.mean - reported('nearest', 0.5, null, 8))).toBeLessThan(0.001)
    // Control: images of twice the size give another figure, and the one that is reported for them.
    const { rows: larger } = await analyzeAssignment({
      dataset: { kind: 'gaussian', imageRms: 1 },
      batchSizes: [128],
      strategies: [nearest],
      numSeeds: 4,
    })
    expect(Math.abs(near.distanceChange.mean - larger[0].distanceChange.mean)).toBeGreaterThan(0.001)
    expect(Math.abs(larger[0].distanceChange.mean - reported('nearest', 1, null, 8))).toBeLessThan(0.001)
    // A permutation keeps the length of noise, the nearest of eight shortens it.
    expect(Math.abs(exact.normDeviation.mean)).toBeLessThan(4)
    expect(near.normDeviation.mean).toBeLessThan(-10)
    expect(exact.classMean).toBe(null)
    expect(near.candidatesPerImage).toBe(8)
    const own = comparisons.filter(({ theirs, ours }) => theirs.trust === 'D' && ours.length > 0)
    expect(own.map(({ theirs, ours }) => [theirs.value, ...ours.map(({ strategy }) => strategy)])).toEqual([
      [-0.0178, 'linear'],
      [-0.0181, 'nearest'],
    ])
  })

  test('figures of other images do not stand beside them', async () => {
    const { comparisons } = await analyzeAssignment({
      dataset: { kind: 'gaussian', imageRms: 0.5, dims: 48 },
      batchSizes: [8],
      strategies: ['linear'],
      numSeeds: 1,
    })
    expect(comparisons.filter(({ theirs }) => theirs.gaussian)).toEqual([])
  })
})

test('options are in the name, and do something', async () => {
  const { rows } = await analyzeAssignment({
    dataset: digits,
    batchSizes: [64],
    strategies: ['quantized', 'quantized:tolerance=0.5', { kind: 'quantized', tolerance: 0.25 }, { ...linear(), name: 'mine' }],
    numSeeds: 2,
  })
  expect(rows.map(({ strategy }) => strategy)).toEqual(['quantized', 'quantized:tolerance=0.5', 'quantized:tolerance=0.25', 'mine'])
  expect(rows[1].dualGap?.mean).toBeGreaterThan(rows[0].dualGap?.mean as number)
  expect(rows[3].gain.mean).toBeGreaterThan(0.99 * rows[0].gain.mean)
})

test.each<[string, Parameters<typeof analyzeAssignment>[0], RegExp]>([
  ['an unknown strategy', { strategies: ['nearly'] }, /strategies\.kind: expected one of .*'nearly'/],
  ['an unknown option', { strategies: ['linear:speed=3'] }, /strategies\.speed: unknown key/],
  ['an unknown data set', { dataset: { kind: 'moon' } as never }, /dataset\.kind: expected one of .*'moon'/],
  [
    'more images than there are',
    { dataset: digits, batchSizes: [1798] },
    /batchSizes: expected at most the 1797 images of digits, got 1798/,
  ],
  ['half an image', { dataset: digits, batchSizes: [0.5] }, /batchSizes: expected an integer of at least 1, got 0\.5/],
  ['no seeds', { dataset: digits, numSeeds: 0 }, /numSeeds: expected an integer of at least 1, got 0/],
  [
    'images of no size',
    { dataset: { kind: 'gaussian', imageRms: 0, dims: 0 } },
    /imageRms: expected more than 0, got 0\n.*dims: expected an integer of at least 1, got 0/,
  ],
])('refuses %s', async (_name, input, message) => {
  await expect(analyzeAssignment(input)).rejects.toThrow(message)
})

describe('as text', async () => {
  const analysis = await analyzeAssignment({ dataset: digits, batchSizes: [128], strategies: ['independent', 'linear'], numSeeds: 3 })

  test('columns are aligned', () => {
    const [, rows] = formatAnalysis(analysis, 'text').split('\n\n')
    const [header, first, second] = rows.split('\n')
    for (const line of [first, second]) expect(line.indexOf('128')).toBe(header.indexOf('batch'))
    expect(first).toMatch(/^independent {2}128 {4}[\d.]+ ± [\d.]+ +[\d.]+ ± [\d.]+ +0\.00 ± 0\.00/)
  })

  test('Markdown has as many cells in each line as in the header', () => {
    const text = formatAnalysis(analysis, 'markdown')
    const tables = text.split('\n\n').filter((block) => block.startsWith('|'))
    expect(tables).toHaveLength(2)
    for (const lines of tables.map((block) => block.split('\n'))) expect(new Set(lines.map((line) => line.split('|').length)).size).toBe(1)
  })

  test('says whose images and hardware were compared, and how sure it is of what is reported', () => {
    const text = formatAnalysis(analysis, 'text')
    expect(text).toContain('-1.93 %')
    expect(text).toMatch(/\[S\] Li et al\. 2024, arXiv 2406\.12303, Table 2 +linear -\d/)
    expect(text).toContain('ours digits')
    expect(text).toContain("ours one CPU thread's")
    expect(text).toContain('means of 3 seeds with 95 % intervals')
  })
})

test('reported values are shares and milliseconds of a plausible size, each with its source, none twice', () => {
  for (const { quantity, value, source, trust } of PAPER_VALUES) {
    expect(source).not.toBe('')
    expect(trust).toMatch(/^[PSD]$/)
    if (quantity === 'assignMs') expect(value).toBeGreaterThan(0)
    else expect(value > -0.05 && value < 0).toBe(true)
  }
  const keys = PAPER_VALUES.map(({ quantity, batchSize, candidates, source, data }) =>
    JSON.stringify([quantity, batchSize, candidates, source, data]),
  )
  expect(new Set(keys).size).toBe(keys.length)
})
