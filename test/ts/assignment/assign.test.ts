import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { assign, gather, runStrategy } from '../../../ts/assignment/assign.ts'
import type { AssignmentStrategy, Matrix, PoolContext } from '../../../ts/assignment/assignment.ts'
import { independent } from '../../../ts/assignment/independent.ts'
import { linear } from '../../../ts/assignment/linear.ts'
import { quantized } from '../../../ts/assignment/quantized.ts'
import { ImmiscibleError } from '../../../ts/errors.ts'
import { gaussian, identity } from '../../fixture/numbers.ts'

const [N, DIMS] = [6, 5]
const images = gaussian(1, N, DIMS)
const noise = gaussian(2, N, DIMS)

function mine(write: (noiseIndex: Int32Array) => unknown, more: Partial<AssignmentStrategy> = {}): AssignmentStrategy {
  return {
    name: 'mine',
    candidatesPerImage: 1,
    assign: (_pool, _images, _noise, noiseIndex) => write(noiseIndex) ?? {},
    ...more,
  }
}

const writes = (...rows: number[]): AssignmentStrategy => mine((noiseIndex) => noiseIndex.set(rows))

/** What is thrown: its message, once it is known to be ours. */
function complaint(run: () => unknown): string {
  try {
    run()
  } catch (error) {
    expect(error).toBeInstanceOf(ImmiscibleError)
    expect((error as ImmiscibleError).code).toBe('ASSIGNMENT')
    return (error as Error).message
  }
  return 'nothing thrown'
}

describe('the metrics of an assignment', () => {
  test('are means over the images, in the scale of the images', () => {
    // Pixels 0 and 255 are -1 and 1; image 1 is nearer to noise 0, and the other way round.
    const twoImages = Uint8Array.of(255, 255, 0, 0)
    const twoNoises = Float32Array.of(-1, -2, 3, 1)
    const { noiseIndex, metrics } = assign(linear(), { images: twoImages, noise: twoNoises, dims: 2 })
    expect([...noiseIndex]).toEqual([1, 0])
    expect(metrics.numMoved).toBe(2)
    expect(metrics.preCost).toBeCloseTo((Math.hypot(2, 3) + Math.hypot(4, 2)) / 2)
    expect(metrics.postCost).toBeCloseTo((Math.hypot(2, 0) + Math.hypot(0, 1)) / 2)
    expect(metrics.preGain).toBeCloseTo((-3 - 4) / Math.SQRT2 / 2)
    expect(metrics.gain).toBeCloseTo((4 + 3) / Math.SQRT2 / 2)
    expect(metrics.dualGap).toBe(null)
  })

  test('count an image that is zero as no gain', () => {
    const { metrics } = assign(independent(), { images: Float32Array.of(0, 0, 3, 4), noise: Float32Array.of(9, 9, 1, 2), dims: 2 })
    expect(metrics.gain).toBeCloseTo((0 + (3 + 8) / 5) / 2)
  })

  test('are those of what is sent when the noise is negated', () => {
    const plain = assign(
      mine((index) => index.set(identity(N))),
      { images, noise, dims: DIMS },
    ).metrics
    const negated = assign(
      mine((index) => index.set(identity(N)), { noiseSign: -1 }),
      { images, noise, dims: DIMS },
    ).metrics
    expect(negated.gain).toBeCloseTo(-plain.gain)
    expect(negated.preGain).toBe(plain.preGain)
  })

  test('with several candidates per image take the first one as its own', () => {
    const candidates = gaussian(3, 2 * N, DIMS)
    const first = mine((index) => index.set(identity(N).map((image) => 2 * image)), { candidatesPerImage: 2 })
    const { metrics } = assign(first, { images, noise: candidates, dims: DIMS })
    expect(metrics).toMatchObject({ numMoved: 0, preCost: metrics.postCost })
    const shared = mine((index) => index.fill(11), { candidatesPerImage: 2 })
    expect(assign(shared, { images, noise: candidates, dims: DIMS }).metrics.numMoved).toBe(N)
  })
})

describe('a strategy that breaks the contract is named, with what it did', () => {
  test.each<[string, AssignmentStrategy, string]>([
    ['gives a noise twice', writes(0, 1, 2, 3, 1, 5), '[assignment:mine] noiseIndex[4]: expected a permutation (no row twice), got 1'],
    ['points past the end', writes(0, 1, 2, 3, 4, 6), '[assignment:mine] noiseIndex[5]: expected a noise row from 0 to 5, got 6'],
    ['points before the beginning', writes(0, -2, 2, 3, 4, 5), '[assignment:mine] noiseIndex[1]: expected a noise row from 0 to 5, got -2'],
    ['forgets an image', writes(0, 1, 2, 3, 4), '[assignment:mine] noiseIndex[5]: expected a noise row from 0 to 5, got -1'],
    ['reports no object', mine((index) => (index.set(identity(N)), 7)), '[assignment:mine] report: expected an object, {} at least, got 7'],
    [
      'reports a gap that is no share',
      mine((index) => (index.set(identity(N)), { dualGap: NaN })),
      '[assignment:mine] report.dualGap: expected a share from 0 to 1, got NaN',
    ],
    [
      'reports a sign that is none',
      mine((index) => (index.set(identity(N)), { noiseSign: 0 })),
      '[assignment:mine] report.noiseSign: expected 1 or -1, got 0',
    ],
    [
      'wants no candidates',
      mine(() => undefined, { candidatesPerImage: 0 }),
      '[assignment:mine] candidatesPerImage: expected an integer of at least 1, got 0',
    ],
  ])('%s', (_, strategy, message) => {
    expect(complaint(() => assign(strategy, { images, noise, dims: DIMS }))).toBe(message)
  })

  test('throws: its own error is the cause', () => {
    const cause = new RangeError('too far')
    const failing = mine(() => {
      throw cause
    })
    expect(() => assign(failing, { images, noise, dims: DIMS })).toThrow(
      expect.objectContaining({ message: '[assignment:mine] too far', cause }) as Error,
    )
  })
})

describe('input that does not fit is named, with what was expected', () => {
  const input = { images, noise, dims: DIMS }
  test.each<[string, object, string]>([
    ['dims that are no count', { dims: 2.5 }, 'dims: expected an integer of at least 1, got 2.5'],
    ['dims that do not divide the images', { dims: 7 }, 'images.length: expected a positive multiple of dims (7), got 30'],
    ['no images', { images: new Float32Array() }, 'images.length: expected a positive multiple of dims (5), got 0'],
    ['images of another type', { images: new Float64Array(30) }, 'images: expected a Uint8Array or a Float32Array, got Float64Array'],
    ['noise of another type', { noise: new Uint8Array(30) }, 'noise: expected a Float32Array, got Uint8Array'],
    ['dims that do not divide the noise', { noise: new Float32Array(31) }, 'noise.length: expected a multiple of dims (5), got 31'],
    ['fewer noises than images', { noise: new Float32Array(25) }, 'noise.rows: expected 6 for 6 images, got 5'],
    ['more noises than images', { noise: new Float32Array(35) }, 'noise.rows: expected 6 for 6 images, got 7'],
    ['an image that is not finite', { images: images.with(12, NaN) }, 'images: expected finite values, got NaN in row 2'],
    ['a noise that is not finite', { noise: noise.with(29, Infinity) }, 'noise: expected finite values, got Infinity in row 5'],
    ['labels for fewer images', { labels: new Int32Array(5) }, 'labels.length: expected 6, one for each image, got 5'],
  ])('%s', (_, change, message) => {
    for (const strategy of [independent(), linear(), quantized()]) {
      expect(complaint(() => assign(strategy, { ...input, ...change }))).toBe(`[assignment:${strategy.name}] ${message}`)
    }
  })

  test('a pool whose matrices or columns disagree', () => {
    const matrix: Matrix = { data: images, rows: N, dims: DIMS, scale: 1, offset: 0 }
    const pool: PoolContext = { epoch: 0, firstStep: 0, firstSample: 0, sampleIndices: identity(N), flips: new Uint8Array(N) }
    const run = (change: Partial<Matrix>, poolChange: Partial<PoolContext> = {}): string =>
      complaint(() => runStrategy(independent(), { ...pool, ...poolChange }, matrix, { ...matrix, data: noise, ...change }))
    expect(run({})).toBe('nothing thrown')
    expect(run({ rows: 5 })).toContain('noise.data.length: expected 5 x 5 = 25, got 30')
    expect(run({ rows: 5, dims: 6 })).toContain('noise.dims: expected 5, got 6')
    expect(run({ data: new Int8Array(30) })).toContain('noise.data: expected a Float32Array, got Int8Array')
    expect(run({}, { flips: new Uint8Array(2) })).toContain('flips.length: expected 6, one for each image, got 2')
    expect(run({}, { sampleIndices: new Int32Array(2) })).toContain('sampleIndices.length: expected 6, one for each image, got 2')
  })

  test('more dimensions than the integers of quantized hold', () => {
    const dims = 132_105
    expect(complaint(() => assign(quantized(), { images: new Uint8Array(dims), noise: new Float32Array(dims), dims }))).toBe(
      '[assignment:quantized] images.dims: expected at most 132104 (sums are int32), got 132105',
    )
    expect(
      assign(quantized(), { images: new Uint8Array(dims - 1), noise: new Float32Array(dims - 1), dims: dims - 1 }).metrics.numMoved,
    ).toBe(0)
  })

  test('costs that float32 cannot hold', () => {
    const huge = new Float32Array(30).fill(3e38)
    expect(complaint(() => assign(linear(), { images: huge, noise, dims: DIMS }))).toMatch(
      /^\[assignment:linear\] expected finite costs, got /,
    )
  })
})

describe('gather', () => {
  test('puts row noiseIndex[i] of the noise at row i, by what assign answers', () => {
    const sizes = fc.record({ n: fc.integer({ min: 1, max: 12 }), dims: fc.integer({ min: 1, max: 9 }), seed: fc.nat(1000) })
    fc.assert(
      fc.property(sizes, ({ n, dims, seed }) => {
        const fresh = gaussian(seed, n, dims)
        const { noiseIndex, metrics } = assign(linear(), { images: gaussian(seed + 1, n, dims), noise: fresh, dims })
        const out = new Float32Array(n * dims)
        const paired = gather(fresh, noiseIndex, dims, out)
        expect(paired).toBe(out)
        expect(gather(fresh, noiseIndex, dims)).toEqual(out)
        noiseIndex.forEach((row, image) =>
          expect(out.slice(image * dims, (image + 1) * dims)).toEqual(fresh.slice(row * dims, (row + 1) * dims)),
        )
        // Gathered noise needs no assignment any more: as drawn it has the cost that was promised.
        const again = assign(independent(), { images: gaussian(seed + 1, n, dims), noise: paired, dims })
        expect(again.metrics.preCost).toBe(metrics.postCost)
      }),
      { numRuns: 60 },
    )
  })

  test('names an index or a length that does not fit', () => {
    expect(complaint(() => gather(noise, Int32Array.of(0, 6), DIMS))).toBe('[gather] noiseIndex[1]: expected a row from 0 to 5, got 6')
    expect(complaint(() => gather(noise, Int32Array.of(-1), DIMS))).toBe('[gather] noiseIndex[0]: expected a row from 0 to 5, got -1')
    expect(complaint(() => gather(noise, Int32Array.of(0), 7))).toBe('[gather] noise.length: expected a multiple of dims (7), got 30')
    expect(complaint(() => gather(noise, Int32Array.of(0), DIMS, new Float32Array(4)))).toBe('[gather] out.length: expected 5, got 4')
  })
})
