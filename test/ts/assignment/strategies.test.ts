import { createHash } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { resolveConfig, type AssignmentConfig } from '../../../protocol/index.ts'
import { assign, runStrategy } from '../../../ts/assignment/assign.ts'
import type { AssignmentStrategy, Matrix, PoolContext } from '../../../ts/assignment/assignment.ts'
import { linear } from '../../../ts/assignment/linear.ts'
import { nearest } from '../../../ts/assignment/nearest.ts'
import { negated } from '../../../ts/assignment/negated.ts'
import { quantized } from '../../../ts/assignment/quantized.ts'
import { createStrategy, STRATEGIES } from '../../../ts/assignment/table.ts'
import { gaussian, identity, integers, isPermutation } from '../../fixture/numbers.ts'

/** Every strategy that a config can name, with its defaults. */
const strategies = STRATEGIES.map(({ kind }): [string, AssignmentStrategy] => [kind, createStrategy(sectionOf(kind))])

function sectionOf(kind: AssignmentConfig['kind'], more: object = {}): AssignmentConfig {
  const resolved = resolveConfig({ dataset: { kind: 'digits' }, outputDir: 'unused', assignment: { kind, ...more } })
  if ('problems' in resolved) throw new Error(JSON.stringify(resolved.problems))
  return resolved.config.assignment
}

function pixels(seed: number, rows: number, dims: number): Uint8Array<ArrayBuffer> {
  const next = integers(seed)
  return Uint8Array.from({ length: rows * dims }, () => next(256))
}

/** Mean inner product of image and noise: what an assignment raises. */
function meanProduct(images: ArrayLike<number>, noise: Float32Array, dims: number, noiseIndex: Int32Array): number {
  let sum = 0
  noiseIndex.forEach((row, image) => {
    for (let d = 0; d < dims; d++) sum += images[image * dims + d] * noise[row * dims + d]
  })
  return sum / noiseIndex.length
}

describe.each(strategies)('%s', (kind, strategy) => {
  test('has the name that the config gives it', () => {
    expect(strategy.name).toBe(kind)
  })

  test('reads its inputs only, answers the same again, and keeps nothing from call to call', () => {
    const [n, dims] = [64, 48]
    const image: Matrix = {
      data: Int8Array.from(pixels(1, n, dims), (pixel) => pixel - 128),
      rows: n,
      dims,
      scale: 1 / 127.5,
      offset: 0.5 / 127.5,
    }
    const numNoise = n * strategy.candidatesPerImage
    const noise: Matrix = { data: gaussian(1, numNoise, dims), rows: numNoise, dims, scale: 1, offset: 0 }
    const pool: PoolContext = {
      epoch: 3,
      firstStep: 10,
      firstSample: 640,
      sampleIndices: identity(n),
      flips: new Uint8Array(n),
      labels: identity(n).map((at) => at % 10),
    }
    const inputs = [image.data, noise.data, pool.sampleIndices, pool.flips, pool.labels as Int32Array]
    const digest = (): string => inputs.reduce((hash, array) => hash.update(array), createHash('sha256')).digest('hex')
    const before = digest()
    const first = runStrategy(strategy, pool, image, noise)
    assign(strategy, { images: pixels(2, 33, 7), noise: gaussian(3, 33 * strategy.candidatesPerImage, 7), dims: 7 })
    const second = runStrategy(strategy, pool, image, noise)
    expect(digest()).toBe(before)
    expect(second).toEqual(first)
  })
})

describe.each(strategies.filter(([, { candidatesPerImage }]) => candidatesPerImage === 1))('%s permutes', (kind, strategy) => {
  test('answers a permutation that is no worse than the noise as drawn, whatever the images', () => {
    const sizes = fc.record({ n: fc.integer({ min: 1, max: 20 }), dims: fc.integer({ min: 1, max: 40 }), seed: fc.nat(1000) })
    const kinds = fc.constantFrom('pixels', 'black', 'white', 'same', 'two kinds', 'floats', 'zeros', 'tiny floats', 'huge floats')
    fc.assert(
      fc.property(sizes, kinds, ({ n, dims, seed }, content) => {
        const noise = gaussian(seed, n, dims)
        const floats = gaussian(seed + 1, n, dims)
        const random = pixels(seed, n, dims)
        const images = {
          pixels: random,
          black: new Uint8Array(n * dims),
          white: new Uint8Array(n * dims).fill(255),
          same: random.map((_, at) => random[at % dims]),
          'two kinds': random.map((_, at) => random[at % (2 * dims)]),
          floats,
          zeros: new Float32Array(n * dims),
          'tiny floats': floats.map((value) => value * 1e-42),
          'huge floats': floats.map((value) => value * 1e30),
        }[content]
        const { noiseIndex } = assign(strategy, { images, noise, dims })
        expect(isPermutation(noiseIndex)).toBe(true)
        const reached = meanProduct(images, noise, dims, noiseIndex)
        const before = meanProduct(images, noise, dims, identity(n))
        // Quantized costs see an eighth of a standard deviation at best: half a level of noise and half a step of image on each product.
        const largest = Float32Array.from(images).reduce((most, value) => Math.max(most, Math.abs(value)), 0)
        // Whoever comes first may leave little to those after: greedy is better on the whole, not always.
        if (kind === 'greedy') return
        const slack = strategy.name === 'linear' ? 1e-5 : 0.1
        expect(reached).toBeGreaterThanOrEqual(before - slack * largest * dims)
      }),
      { numRuns: 150 },
    )
  })

  test('pairs the same when the images are other numbers of the same scale', () => {
    const [n, dims] = [40, 64]
    const bytes = pixels(4, n, dims)
    const noise = gaussian(4, n, dims)
    const asPixels = assign(strategy, { images: bytes, noise, dims })
    // Twice the range, still multiples of one step: both kinds of image see exact multiples.
    const asFloats = assign(strategy, { images: Float32Array.from(bytes, (pixel) => (pixel - 128) * 2), noise, dims })
    const product = ({ noiseIndex }: { noiseIndex: Int32Array }): number => meanProduct(bytes, noise, dims, noiseIndex)
    // One other choice of greedy's changes all that follow.
    const share = kind === 'greedy' ? 0.02 : 0.005
    expect(Math.abs(product(asFloats) - product(asPixels))).toBeLessThan(share * product(asPixels))
  })
})

test('the assigning strategies gain about what theory says, the baseline nothing', () => {
  const [n, dims] = [256, 64]
  const images = gaussian(8, n, dims)
  const gains = Object.fromEntries(
    strategies.map(([kind, strategy]) => {
      const noise = gaussian(9, n * strategy.candidatesPerImage, dims)
      return [kind, assign(strategy, { images, noise, dims }).metrics]
    }),
  )
  expect(gains.independent).toMatchObject({ numMoved: 0, dualGap: null })
  expect(gains.independent.gain).toBe(gains.independent.preGain)
  expect(Math.abs(gains.independent.gain)).toBeLessThan(0.25)
  expect(gains.linear.gain).toBeGreaterThan(1.5)
  expect(gains.linear.dualGap).toBe(null)
  expect(gains.quantized.gain).toBeGreaterThan(0.998 * gains.linear.gain)
  expect(gains.quantized.dualGap).toBeLessThanOrEqual(0.001)
  expect(gains.greedy.gain).toBeGreaterThan(0.85 * gains.linear.gain)
  expect(gains.greedy.gain).toBeLessThan(0.98 * gains.linear.gain)
  expect(gains.negated).toMatchObject({ dualGap: gains.quantized.dualGap, gain: -gains.quantized.gain })
})

test('the list of strategies names every field of their sections', () => {
  for (const { kind, options } of STRATEGIES) {
    expect(['kind', ...options].toSorted()).toEqual(Object.keys(sectionOf(kind)).toSorted())
  }
})

test("the stand-alone defaults are the protocol's", () => {
  const [n, dims] = [64, 32]
  const input = { images: gaussian(1, n, dims), noise: gaussian(2, n, dims), dims }
  const section = sectionOf('quantized')
  expect(section).toMatchObject({ tolerance: 0.001 })
  expect(assign(quantized(), input)).toEqual(assign(createStrategy(section), input))
  expect(assign(linear(), input)).toEqual(assign(createStrategy(sectionOf('linear')), input))
  expect(assign(negated(), input)).toEqual(assign(createStrategy(sectionOf('negated')), input))
  const candidates = { ...input, noise: gaussian(2, 4 * n, dims) }
  expect(assign(nearest(), candidates)).toEqual(assign(createStrategy(sectionOf('nearest')), candidates))
})

test('a custom strategy is its object: its name alone makes none', () => {
  expect(() => createStrategy(sectionOf('custom', { name: 'mine' }))).toThrow(
    /expected one of independent, linear, quantized, greedy, negated, nearest, persistent, got the custom strategy 'mine'/,
  )
})
