/** Running a strategy: its inputs and its answer checked, its effect measured. With a pool of a run (`runStrategy`) or on plain arrays (`assign`). */
import type { AssignmentMetrics } from '../../protocol/index.ts'
import { ImmiscibleError } from '../errors.ts'
import type { Kernel } from '../kernel/kernel.ts'
import { packPixels } from '../kernel/pack.ts'
import { threadKernel } from '../kernel/simd/simd.ts'
import type { AssignmentReport, AssignmentStrategy, Matrix, PoolContext } from './assignment.ts'
import type { Directions } from './directions.ts'
import { measureDrift } from './drift.ts'
import { measure } from './metrics.ts'

export interface Assigned {
  /** noiseIndex[i] = the row of the noise paired with image i. */
  readonly noiseIndex: Int32Array<ArrayBuffer>
  /** -1: the noise is to be negated. */
  readonly noiseSign: 1 | -1
  readonly metrics: AssignmentMetrics
}

export interface AssignInput {
  /** numImages x dims, row-major: pixels 0 .. 255, which mean [-1, 1], or floats (latents) as they are. */
  readonly images: Uint8Array | Float32Array
  /** (numImages * candidatesPerImage) x dims, standard normal. */
  readonly noise: Float32Array
  /** Numbers per image: channels * height * width. */
  readonly dims: number
  /** One class per image, for strategies that look at it. */
  readonly labels?: Int32Array
}

/**
 * Pairs each image with a noise, on plain arrays: for a training loop of your own. Nothing is moved; `gather` makes the noise in image order.
 *
 *     const { noiseIndex } = assign(quantized(), { images, noise, dims })
 *     const paired = gather(noise, noiseIndex, dims) // row i belongs to image i
 */
export function assign(strategy: AssignmentStrategy, { images, noise, dims, labels }: AssignInput): Assigned {
  const fail = failFor(strategy)
  if (!Number.isInteger(dims) || dims < 1) throw fail('dims', 'an integer of at least 1', dims)
  if (!(images instanceof Uint8Array) && !(images instanceof Float32Array)) throw fail('images', 'a Uint8Array or a Float32Array', images)
  if (!(noise instanceof Float32Array)) throw fail('noise', 'a Float32Array', noise)
  if (images.length === 0 || images.length % dims !== 0) throw fail('images.length', `a positive multiple of dims (${dims})`, images.length)
  if (noise.length % dims !== 0) throw fail('noise.length', `a multiple of dims (${dims})`, noise.length)
  for (const [name, values] of [
    ['images', images],
    ['noise', noise],
  ] as const) {
    const strange = findNonFinite(values)
    if (strange >= 0) throw fail(name, 'finite values', `${values[strange]} in row ${Math.floor(strange / dims)}`)
  }
  const rows = images.length / dims
  const pool: PoolContext = {
    epoch: 0,
    firstStep: 0,
    firstSample: 0,
    sampleIndices: Int32Array.from({ length: rows }, (_, row) => row),
    flips: new Uint8Array(rows),
    ...(labels && { labels }),
  }
  const noiseMatrix: Matrix = { data: noise, rows: noise.length / dims, dims, scale: 1, offset: 0 }
  return runStrategy(strategy, pool, toMatrix(images, rows, dims), noiseMatrix)
}

/** `solvePool` and `measurePool` in one. */
export function runStrategy(
  strategy: AssignmentStrategy,
  pool: PoolContext,
  images: Matrix,
  noise: Matrix,
  kernel = threadKernel(),
): Assigned {
  const solution = solvePool(strategy, pool, images, noise)
  const { noiseIndex, noiseSign } = solution
  return { noiseIndex, noiseSign, metrics: measurePool(strategy, pool, images, noise, solution, kernel) }
}

/** What a strategy answered, checked. */
export interface Solution {
  readonly noiseIndex: Int32Array<ArrayBuffer>
  /** -1: the noise is to be negated after it was gathered. */
  readonly noiseSign: 1 | -1
  readonly report: AssignmentReport
}

/** Runs a strategy on a pool. Throws an ASSIGNMENT error when the input does not fit, the strategy fails, or its answer breaks the contract. */
export function solvePool(strategy: AssignmentStrategy, pool: PoolContext, images: Matrix, noise: Matrix): Solution {
  checkInput(strategy, pool, images, noise)
  // Nowhere a valid row: what a strategy forgets to write is seen.
  const noiseIndex = new Int32Array(images.rows).fill(-1)
  let report: AssignmentReport
  try {
    report = strategy.assign(pool, images, noise, noiseIndex)
  } catch (error) {
    if (error instanceof ImmiscibleError) throw error
    const message = error instanceof Error ? error.message : String(error)
    throw new ImmiscibleError('ASSIGNMENT', `[assignment:${strategy.name}] ${message}`, { cause: error })
  }
  checkAnswer(strategy, noise.rows, noiseIndex, report)
  return { noiseIndex, noiseSign: report.noiseSign ?? strategy.noiseSign ?? 1, report }
}

/** What the answer does to images and noise. @param directions of the data set, without which the drift along them stays unknown. */
export function measurePool(
  { candidatesPerImage }: AssignmentStrategy,
  { labels }: PoolContext,
  images: Matrix,
  noise: Matrix,
  { noiseIndex, noiseSign, report }: Solution,
  kernel: Kernel,
  directions?: Directions,
): AssignmentMetrics {
  const drawn = { candidatesPerImage, noiseSign }
  return {
    ...measure(drawn, images, noise, noiseIndex, report.dualGap, kernel),
    drift: measureDrift(drawn, noise, noiseIndex, kernel, directions, labels),
  }
}

/** Row i of the answer = row noiseIndex[i] of the noise: what image i is diffused with. Written to `out` where it is given, which must not be `noise`. */
export function gather(
  noise: Float32Array,
  noiseIndex: Int32Array,
  dims: number,
  out: Float32Array = new Float32Array(noiseIndex.length * dims),
): Float32Array {
  const numRows = noise.length / dims
  if (!Number.isInteger(numRows)) throw expected('gather', 'noise.length', `a multiple of dims (${dims})`, noise.length)
  if (out.length !== noiseIndex.length * dims) throw expected('gather', 'out.length', noiseIndex.length * dims, out.length)
  noiseIndex.forEach((row, image) => {
    if (row < 0 || row >= numRows) throw expected('gather', `noiseIndex[${image}]`, `a row from 0 to ${numRows - 1}`, row)
    out.set(noise.subarray(row * dims, (row + 1) * dims), image * dims)
  })
  return out
}

/** The first place that holds NaN or an infinity, -1 where none does. One sum answers the usual case. */
function findNonFinite(values: Uint8Array | Float32Array): number {
  if (values instanceof Uint8Array) return -1
  let sum = 0
  for (let at = 0; at < values.length; at++) sum += values[at] - values[at]
  return sum === 0 ? -1 : values.findIndex((value) => !Number.isFinite(value))
}

function toMatrix(images: Uint8Array | Float32Array, rows: number, dims: number): Matrix {
  if (images instanceof Float32Array) return { data: images, rows, dims, scale: 1, offset: 0 }
  const data = new Int8Array(images.length)
  packPixels(images, data)
  return { data, rows, dims, scale: 1 / 127.5, offset: 0.5 / 127.5 }
}

function checkInput(strategy: AssignmentStrategy, pool: PoolContext, images: Matrix, noise: Matrix): void {
  const fail = failFor(strategy)
  const { candidatesPerImage } = strategy
  if (!Number.isInteger(candidatesPerImage) || candidatesPerImage < 1)
    throw fail('candidatesPerImage', 'an integer of at least 1', candidatesPerImage)
  for (const [name, matrix] of [
    ['images', images],
    ['noise', noise],
  ] as const) {
    const { data, rows, dims } = matrix
    if (!Number.isInteger(rows) || rows < 1) throw fail(`${name}.rows`, 'an integer of at least 1', rows)
    if (!Number.isInteger(dims) || dims < 1) throw fail(`${name}.dims`, 'an integer of at least 1', dims)
    if (data.length !== rows * dims) throw fail(`${name}.data.length`, `${rows} x ${dims} = ${rows * dims}`, data.length)
  }
  if (!(noise.data instanceof Float32Array)) throw fail('noise.data', 'a Float32Array', noise.data)
  if (noise.dims !== images.dims) throw fail('noise.dims', images.dims, noise.dims)
  const numNoise = images.rows * candidatesPerImage
  if (noise.rows !== numNoise) throw fail('noise.rows', `${numNoise} for ${images.rows} images`, noise.rows)
  for (const name of ['sampleIndices', 'flips', 'labels'] as const) {
    const column = pool[name]
    if (column && column.length !== images.rows) throw fail(`${name}.length`, `${images.rows}, one for each image`, column.length)
  }
}

function checkAnswer(strategy: AssignmentStrategy, numNoise: number, noiseIndex: Int32Array, report: AssignmentReport): void {
  const fail = failFor(strategy)
  const isTaken = new Uint8Array(numNoise)
  noiseIndex.forEach((row, image) => {
    if (row < 0 || row >= numNoise) throw fail(`noiseIndex[${image}]`, `a noise row from 0 to ${numNoise - 1}`, row)
    if (strategy.candidatesPerImage === 1 && isTaken[row]) throw fail(`noiseIndex[${image}]`, 'a permutation (no row twice)', row)
    isTaken[row] = 1
  })
  // Strategies may come from JavaScript.
  if (typeof report !== 'object' || report === null) throw fail('report', 'an object, {} at least', report)
  const { dualGap = 0, noiseSign = 1 } = report
  if (!(dualGap >= 0 && dualGap <= 1)) throw fail('report.dualGap', 'a share from 0 to 1', dualGap)
  if (noiseSign !== 1 && noiseSign !== -1) throw fail('report.noiseSign', '1 or -1', noiseSign)
}

function failFor({ name }: AssignmentStrategy) {
  return (what: string, wanted: string | number, got: unknown) => expected(`assignment:${name}`, what, wanted, got)
}

function expected(where: string, what: string, wanted: string | number, got: unknown): ImmiscibleError {
  const shown = typeof got === 'object' && got !== null ? got.constructor.name : String(got)
  return new ImmiscibleError('ASSIGNMENT', `[${where}] ${what}: expected ${wanted}, got ${shown}`)
}
