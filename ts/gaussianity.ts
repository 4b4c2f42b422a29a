/** measureGaussianity(): how far the noise that a strategy gives to images is from Gaussian noise. */
import { closeSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setImmediate } from 'node:timers/promises'
import { drawAssignedNoise } from './analysis/assigned-noise.ts'
import { expectCounts, toEntry, type StrategyChoice } from './analysis/entry.ts'
import { openScene, type AnalysisDataset } from './analysis/scene.ts'
import { ConfigError } from './errors.ts'
import { runTool } from './worker/tool.ts'

export interface GaussianityInput {
  /** Default: Gaussian images of RMS 0.5 and 3,072 numbers. */
  readonly dataset?: AnalysisDataset
  /** Images over which one assignment is solved; default 256. */
  readonly batchSize?: number
  /** Default: independent, quantized, the nearest of 8. */
  readonly strategies?: readonly StrategyChoice[]
  /** More than an image has numbers; default 50,000, as in the paper. They lie in a temporary file, 4 bytes a number. */
  readonly numNoises?: number
  /** Of the first batch; each further one has the next. Default 0. */
  readonly seed?: number
  /** Called with each row as it is there. */
  readonly onRow?: (row: GaussianityRow) => void
  readonly onSetup?: (line: string) => void
}

export interface GaussianityRow {
  readonly strategy: string
  /** KL(N(mean, covariance) || N(0, I)) in nats, of the noises' mean and unbiased covariance. */
  readonly kl: number
  /** How far `kl` is from what is expected, in standard deviations of as much true Gaussian noise. */
  readonly deviation: number
  /** Of a noise; `dims` is expected. */
  readonly meanSquaredNorm: number
}

export interface Gaussianity {
  readonly dataset: string
  readonly dims: number
  readonly batchSize: number
  readonly numNoises: number
  readonly seed: number
  /** Mean and standard deviation of `kl` over samples of true Gaussian noise of this size: exact, by the Wishart distribution. */
  readonly expectedKl: number
  readonly klDeviation: number
  readonly rows: readonly GaussianityRow[]
}

interface Measured {
  readonly kl: number
  readonly meanSquaredNorm: number
  readonly expectedKl: number
  readonly klDeviation: number
}

/**
 * Li et al. 2025 (arXiv 2505.18521), section 4.3, for any strategy and data set: they report 48.25 for 50,000 true noises of 3,072 numbers, for which
 * 48.23 ± 0.03 is expected, and 48.60 for the nearest of 8. The covariance sees shrinking, shifts and correlations over all images together; what is
 * Gaussian on the whole may still not be within a class. Rejects with a ConfigError for wrong input.
 */
export async function measureGaussianity(input: GaussianityInput = {}): Promise<Gaussianity> {
  const { dataset = { kind: 'gaussian' }, batchSize = 256, numNoises = 50_000, seed = 0, onRow, onSetup = () => undefined } = input
  const { strategies = ['independent', 'quantized', 'nearest:candidates=8'] } = input
  expectCounts('batchSize', [batchSize])
  expectCounts('numNoises', [numNoises])
  const entries = strategies.map(toEntry)
  const made = await Promise.all(entries.map(async (entry) => ({ name: entry.name, strategy: await entry.create(batchSize) })))
  const scene = await openScene(dataset)
  const { dims, numImages } = scene
  if (numNoises <= dims) refuse('numNoises', `expected more than the ${dims} numbers of an image, got ${numNoises}`)
  if (numImages !== null && batchSize > numImages)
    refuse('batchSize', `expected at most the ${numImages} images of ${scene.name}, got ${batchSize}`)

  const rows: GaussianityRow[] = []
  let expected: Pick<Measured, 'expectedKl' | 'klDeviation'> = { expectedKl: NaN, klDeviation: NaN }
  for (const { name, strategy } of made) {
    const measured = await measureNoise(drawAssignedNoise(scene, strategy, { batchSize, numNoises, seed }), numNoises, dims, onSetup)
    const { kl, meanSquaredNorm, expectedKl, klDeviation } = measured
    expected = { expectedKl, klDeviation }
    const row = { strategy: name, kl, deviation: (kl - expectedKl) / klDeviation, meanSquaredNorm }
    rows.push(row)
    onRow?.(row)
  }
  return { dataset: scene.name, dims, batchSize, numNoises, seed, ...expected, rows }
}

async function measureNoise(
  parts: Iterable<Float32Array>,
  numNoises: number,
  dims: number,
  onSetup: (line: string) => void,
): Promise<Measured> {
  const folder = mkdtempSync(join(tmpdir(), 'immiscible-noise-'))
  try {
    const file = join(folder, 'noise')
    const descriptor = openSync(file, 'w')
    try {
      for (const part of parts) {
        writeSync(descriptor, part)
        await setImmediate() // lets signals through
      }
    } finally {
      closeSync(descriptor)
    }
    return (await runTool('gaussianity', { file, numNoises, dims }, { onSetup })) as Measured
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

function refuse(path: string, message: string): never {
  throw new ConfigError([{ path, message }])
}
