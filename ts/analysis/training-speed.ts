/** How much sooner a run is as good as another ever gets: the papers' measure of training speed, over paired seeds. */
import { ConfigError } from '../errors.ts'

/** A metric of which less is better, over one run. */
export interface MetricCurve {
  /** Optimiser updates, rising. */
  readonly steps: readonly number[]
  /** Training time at each. */
  readonly seconds: readonly number[]
  readonly values: readonly number[]
}

export interface SpeedPair {
  /** Of the baseline's best value, and the value. */
  readonly baselineStep: number
  /** It is the baseline's last measurement: longer training might have made it better still. */
  readonly isBestLast: boolean
  readonly best: number
  /** Where the other run reaches that value, between measurements on the line that joins them; null: not while it was trained. */
  readonly otherStep: number | null
  /** baselineStep / otherStep; 0 where it is not reached. */
  readonly stepRatio: number
  /** The same by training time. */
  readonly secondsRatio: number
}

/** A median over pairs of runs; 0 where the middle is a pair that did not reach it. The range of n of them holds the true median with a probability of 1 - 2^(1-n). */
export interface SpeedEstimate {
  readonly median: number
  readonly low: number
  readonly high: number
}

export interface TrainingSpeed {
  readonly pairs: readonly SpeedPair[]
  readonly numReached: number
  /** Pairs whose baseline was still improving. */
  readonly numBestLast: number
  readonly steps: SpeedEstimate
  readonly seconds: SpeedEstimate
}

/**
 * Steps at which the baseline reaches its best metric over the steps at which the other run reaches the same (Li et al. 2025, Sec. 5.2), pair by pair:
 * baseline[i] and other[i] share a seed.
 * @throws ConfigError where they are no pairs, or have no values.
 */
export function trainingSpeed(baseline: readonly MetricCurve[], other: readonly MetricCurve[]): TrainingSpeed {
  if (baseline.length === 0 || baseline.length !== other.length) {
    const message = `expected as many curves as of the baseline (${baseline.length}, at least 1), got ${other.length}`
    throw new ConfigError([{ path: 'curves', message }])
  }
  const pairs = baseline.map((curve, at) => comparePair(curve, other[at]))
  return {
    pairs,
    numReached: pairs.filter(({ otherStep }) => otherStep !== null).length,
    numBestLast: pairs.filter(({ isBestLast }) => isBestLast).length,
    steps: summarize(pairs.map(({ stepRatio }) => stepRatio)),
    seconds: summarize(pairs.map(({ secondsRatio }) => secondsRatio)),
  }
}

function comparePair(baseline: MetricCurve, other: MetricCurve): SpeedPair {
  const best = Math.min(...baseline.values)
  const at = baseline.values.indexOf(best)
  if (at < 0) throw new ConfigError([{ path: 'curves', message: 'expected finite values, got none' }])
  const reached = findReached(other, best)
  return {
    baselineStep: baseline.steps[at],
    isBestLast: at === baseline.values.length - 1,
    best,
    otherStep: reached?.step ?? null,
    stepRatio: reached ? baseline.steps[at] / reached.step : 0,
    secondsRatio: reached ? baseline.seconds[at] / reached.seconds : 0,
  }
}

function findReached({ steps, seconds, values }: MetricCurve, target: number): { step: number; seconds: number } | undefined {
  const at = values.findIndex((value) => value <= target)
  if (at < 0) return undefined
  if (at === 0) return { step: steps[0], seconds: seconds[0] }
  const share = (values[at - 1] - target) / (values[at - 1] - values[at])
  const between = (numbers: readonly number[]): number => numbers[at - 1] + share * (numbers[at] - numbers[at - 1])
  return { step: between(steps), seconds: between(seconds) }
}

function summarize(values: readonly number[]): SpeedEstimate {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = sorted.length / 2
  const [below, above] = [sorted[Math.ceil(middle) - 1], sorted[Math.floor(middle)]]
  // Of a pair that never got there a bound is known and no ratio: no mean has it in it.
  return { median: below === 0 ? 0 : (below + above) / 2, low: sorted[0], high: sorted[sorted.length - 1] }
}
