/** analyzeAssignment(): what each strategy does to batches of a data set, over seeds, beside what the papers report. */
import { cpus } from 'node:os'
import { setImmediate } from 'node:timers/promises'
import type { AssignmentMetrics } from '../../protocol/index.ts'
import { measurePool } from '../assignment/assign.ts'
import type { AssignmentStrategy } from '../assignment/assignment.ts'
import { STRATEGIES } from '../assignment/table.ts'
import { ConfigError } from '../errors.ts'
import { expectCounts, toEntry, type Entry, type StrategyChoice } from './entry.ts'
import { estimate, type Estimate } from './estimate.ts'
import { PAPER_VALUES, type PaperValue } from './paper-values.ts'
import { withSolvedPool } from './pool.ts'
import { openScene, type AnalysisDataset, type Scene } from './scene.ts'

export interface AnalysisInput {
  /** Default: emoji. */
  readonly dataset?: AnalysisDataset
  /** Images over which one assignment is solved; default 128, 256, 512, 1024. */
  readonly batchSizes?: readonly number[]
  /** Default: all that a config can name. */
  readonly strategies?: readonly StrategyChoice[]
  /** Batches per row, each with a seed of its own: 0, 1, ...; default 5. */
  readonly numSeeds?: number
  /** Called with each row as it is there. */
  readonly onRow?: (row: AnalysisRow) => void
}

/** One strategy on one batch size, means over seeds. null: unknown for this strategy or data set. */
export interface AnalysisRow {
  readonly strategy: string
  /** In the config's word, or the object's name. */
  readonly kind: string
  readonly batchSize: number
  readonly candidatesPerImage: number
  /** Mean L2 distance of an image and its noise, pixels in [-1, 1]. */
  readonly distanceBefore: Estimate
  readonly distanceAfter: Estimate
  /** distanceAfter / distanceBefore - 1, seed by seed. */
  readonly distanceChange: Estimate
  /** Mean projection of the noise on the direction of its image, in standard deviations. */
  readonly gain: Estimate
  /** Of the gain of `linear` on the same images (and the same noise, for a permutation); null where `linear` is not among the strategies. */
  readonly gainShare: Estimate | null
  readonly movedShare: Estimate
  readonly dualGap: Estimate | null
  /** See NoiseDrift. Deviations in standard errors of one batch. */
  readonly norm: Estimate
  readonly normDeviation: Estimate
  readonly meanDeviation: Estimate | null
  readonly varianceDeviation: Estimate | null
  readonly classMean: Estimate | null
  readonly classMeanDeviation: Estimate | null
  /** Milliseconds on one thread: drawing the noise; packing and solving; measuring. */
  readonly noiseMs: Estimate
  readonly assignMs: Estimate
  readonly measureMs: Estimate
}

/** A reported value, and our rows that it stands beside. */
export interface Comparison {
  readonly theirs: PaperValue
  readonly ours: readonly { readonly strategy: string; readonly batchSize: number; readonly value: Estimate }[]
}

export interface AssignmentAnalysis {
  readonly dataset: { readonly name: string; readonly numImages: number | null; readonly dims: number; readonly imageRms: number }
  readonly numSeeds: number
  readonly cpu: string
  readonly rows: readonly AnalysisRow[]
  readonly comparisons: readonly Comparison[]
}

const DEFAULT_SIZES = [128, 256, 512, 1024]
const DEFAULT_SEEDS = 5
/** Runs before any is timed, until the engine has compiled what they run: whichever comes first, but one. */
const WARM_UP_RUNS = 50
const WARM_UP_MS = 300

/** One seed of a row. */
interface Measured {
  readonly metrics: AssignmentMetrics
  readonly noiseMs: number
  readonly assignMs: number
  readonly measureMs: number
}

/** Runs every strategy on batches of the data set: `numSeeds` of each size, drawn by the run's own shuffle and noise. Rejects with ConfigError on wrong input. */
export async function analyzeAssignment(input: AnalysisInput = {}): Promise<AssignmentAnalysis> {
  const { dataset = { kind: 'emoji' }, batchSizes = DEFAULT_SIZES, numSeeds = DEFAULT_SEEDS, onRow } = input
  const { strategies = STRATEGIES.map(({ kind }) => kind) } = input
  expectCounts('batchSizes', batchSizes)
  expectCounts('numSeeds', [numSeeds])
  const entries = strategies.map(toEntry)
  // What is wrong with one is said before any has run.
  for (const entry of entries) for (const size of batchSizes) await entry.create(size)
  const scene = await openScene(dataset)
  expectEnough(scene, batchSizes)

  const rows: AnalysisRow[] = []
  for (const size of batchSizes) {
    const bySeed = new Map<string, Measured[]>()
    // `linear` first: the others' shares are of its gain.
    for (const entry of entries.toSorted((a, b) => Number(b.name === 'linear') - Number(a.name === 'linear'))) {
      const strategy = await entry.create(size)
      const start = performance.now()
      for (let run = 0; run < WARM_UP_RUNS && performance.now() - start < WARM_UP_MS; run++) measureSeed(scene, strategy, size, 0)
      const measured: Measured[] = []
      for (let seed = 0; seed < numSeeds; seed++) {
        await setImmediate() // lets signals through
        measured.push(measureSeed(scene, strategy, size, seed))
      }
      bySeed.set(entry.name, measured)
      const row = toRow(entry, strategy, size, measured, bySeed.get('linear'))
      rows.push(row)
      onRow?.(row)
    }
  }
  const order = entries.map(({ name }) => name)
  const sorted = rows.toSorted((a, b) => order.indexOf(a.strategy) - order.indexOf(b.strategy) || a.batchSize - b.batchSize)
  const { name, numImages, dims, imageRms } = scene
  return {
    dataset: { name, numImages, dims, imageRms },
    numSeeds,
    cpu: cpus()[0]?.model ?? 'unknown',
    rows: sorted,
    comparisons: PAPER_VALUES.filter(isComparable(dataset)).map((theirs) => ({ theirs, ours: findOurs(theirs, sorted) })),
  }
}

/** One batch, assigned, timed and measured. */
function measureSeed(scene: Scene, strategy: AssignmentStrategy, size: number, seed: number): Measured {
  return withSolvedPool(scene, strategy, size, seed, ({ pool, images, noise, solution, kernel, noiseMs, assignMs }) => {
    const start = performance.now()
    const metrics = measurePool(strategy, pool, images, noise, solution, kernel, scene.directions)
    return { metrics, noiseMs, assignMs, measureMs: performance.now() - start }
  })
}

function toRow(
  { name, kind }: Entry,
  { candidatesPerImage }: AssignmentStrategy,
  batchSize: number,
  measured: readonly Measured[],
  exact?: readonly Measured[],
): AnalysisRow {
  const over = (value: (one: Measured, seed: number) => number): Estimate => estimate(measured.map(value))
  const overKnown = (value: (metrics: AssignmentMetrics) => number | null): Estimate | null => {
    const values = measured.map(({ metrics }) => value(metrics)).filter((one) => one !== null)
    return values.length > 0 ? estimate(values) : null
  }
  return {
    strategy: name,
    kind,
    batchSize,
    candidatesPerImage,
    distanceBefore: over(({ metrics }) => metrics.preCost),
    distanceAfter: over(({ metrics }) => metrics.postCost),
    distanceChange: over(({ metrics }) => metrics.postCost / metrics.preCost - 1),
    gain: over(({ metrics }) => metrics.gain),
    gainShare: exact ? over(({ metrics }, seed) => metrics.gain / exact[seed].metrics.gain) : null,
    movedShare: over(({ metrics }) => metrics.numMoved / batchSize),
    dualGap: overKnown(({ dualGap }) => dualGap),
    norm: over(({ metrics }) => metrics.drift.norm),
    normDeviation: over(({ metrics }) => metrics.drift.normDeviation),
    meanDeviation: overKnown(({ drift }) => drift.meanDeviation),
    varianceDeviation: overKnown(({ drift }) => drift.varianceDeviation),
    classMean: overKnown(({ drift }) => drift.classMean),
    classMeanDeviation: overKnown(({ drift }) => drift.classMeanDeviation),
    noiseMs: over(({ noiseMs }) => noiseMs),
    assignMs: over(({ assignMs }) => assignMs),
    measureMs: over(({ measureMs }) => measureMs),
  }
}

function expectEnough({ name, numImages }: Scene, batchSizes: readonly number[]): void {
  const largest = Math.max(...batchSizes)
  if (numImages === null || largest <= numImages) return
  throw new ConfigError([{ path: 'batchSizes', message: `expected at most the ${numImages} images of ${name}, got ${largest}` }])
}

/** Values for Gaussian images stand beside the same images only; the papers' beside any, since none of our data sets is theirs. */
function isComparable(dataset: AnalysisDataset): (value: PaperValue) => boolean {
  return ({ gaussian }) => {
    if (!gaussian) return true
    if (dataset.kind !== 'gaussian') return false
    const { imageRms = 0.5, dims = 3072 } = dataset
    return imageRms === gaussian.imageRms && dims === gaussian.dims
  }
}

/** Of a value that holds for any batch size, our largest batch: it varies least. */
function findOurs({ strategies, batchSize, candidates, quantity }: PaperValue, rows: readonly AnalysisRow[]): Comparison['ours'] {
  const largest = Math.max(...rows.map((row) => row.batchSize))
  return rows
    .filter(
      (row) =>
        strategies.includes(row.kind) &&
        row.batchSize === (batchSize ?? largest) &&
        (candidates === null || row.candidatesPerImage === candidates),
    )
    .map((row) => ({ strategy: row.strategy, batchSize: row.batchSize, value: row[quantity] }))
}
