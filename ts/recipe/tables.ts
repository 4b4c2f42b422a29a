/** The tables that recipes share: the best value of each arm, its values at some steps, and how much sooner it got there. */
import { estimate, PAPER_RESULTS, trainingSpeed, type Estimate, type MetricCurve, type PaperResult, type SpeedEstimate } from '../index.ts'
import { curveOf, type ArmRun, type Context, type Table } from './recipe.ts'

/** What the source has for a cell of a recipe's table. */
export function paperResult(recipe: string, row: string, column: string): PaperResult | undefined {
  return PAPER_RESULTS.find((result) => result.recipe === recipe && result.row === row && result.column === column)
}

/** The names of the arms that were run, in the order of the recipe. */
export function armsOf({ runs }: Context): string[] {
  return [...new Set(runs.map(({ arm }) => arm))]
}

export function runsOf({ runs }: Context, arm: string): ArmRun[] {
  return runs.filter((run) => run.arm === arm)
}

/** How a metric is called in a table; the small classifier's are never FID. */
export function metricTitle(metric: string): string {
  return metric === 'fid' ? 'FID' : metric
}

/** Over seeds; null where some seed has none. */
export function overSeeds(runs: readonly ArmRun[], value: (run: ArmRun) => number | undefined): Estimate | null {
  const values = runs.map(value)
  const known = values.filter((one) => one !== undefined && Number.isFinite(one)) as number[]
  return known.length === values.length && known.length > 0 ? estimate(known) : null
}

/** The best value that each arm's curves reach, beside the paper's best FID, and what the assignment did: the mean projection of the noise on its image. */
export function bestTable(context: Context, title: string): Table {
  const rows = armsOf(context).map((arm) => ({
    label: arm,
    figures: [
      { ours: bestOf(context, arm), paper: paperResult(context.recipe.id, arm, 'best FID') },
      { ours: overSeeds(runsOf(context, arm), ({ curves }) => curves.gain ?? undefined) },
    ],
  }))
  return { title, columns: ['', `best ${metricTitle(context.metric)}`, 'gain'], rows }
}

export function bestOf(context: Context, arm: string, numInferenceSteps?: number): Estimate | null {
  return overSeeds(runsOf(context, arm), (run) => Math.min(...curveOf(run, context.metric, numInferenceSteps).values))
}

/** A step at which runs are compared. */
export interface StepColumn {
  readonly step: number
  readonly title: string
  /** The paper's name of it, where that is another. */
  readonly paper?: string
}

/** Every step at which the first run was measured. */
export function measuredSteps({ runs }: Context): StepColumn[] {
  const steps = new Set(runs[0]?.curves.evaluations.map(({ step }) => step))
  return [...steps].map((step) => ({ step, title: `${step} steps` }))
}

/** The values of each arm at some of the steps where it was measured. */
export function stepsTable(context: Context, title: string, columns: readonly StepColumn[]): Table {
  const rows = armsOf(context).map((arm) => ({
    label: arm,
    figures: columns.map(({ step, title: column, paper = column }) => ({
      ours: overSeeds(runsOf(context, arm), (run) => valueAt(curveOf(run, context.metric), step)),
      paper: paperResult(context.recipe.id, arm, paper),
    })),
  }))
  return { title, columns: [metricTitle(context.metric), ...columns.map((column) => column.title)], rows }
}

/** undefined: it was not measured then. */
export function valueAt({ steps, values }: MetricCurve, step: number): number | undefined {
  return values[steps.indexOf(step)]
}

/** Of the last measurement, by the number of inference steps: two arms, and the change from one to the other, seed by seed. */
export function inferenceTable(
  context: Context,
  title: string,
  [before, after]: readonly [string, string],
  counts: readonly number[],
): Table {
  const rows = counts.map((count) => {
    const lastOf = (run: ArmRun): number | undefined => curveOf(run, context.metric, count).values.at(-1)
    const others = new Map(runsOf(context, after).map((run) => [run.seed, lastOf(run)]))
    return {
      label: String(count),
      figures: [
        { ours: overSeeds(runsOf(context, before), lastOf) },
        { ours: overSeeds(runsOf(context, after), lastOf) },
        { ours: overSeeds(runsOf(context, before), (run) => (others.get(run.seed) ?? NaN) - (lastOf(run) ?? NaN)) },
      ],
    }
  })
  return { title, columns: ['inference steps', before, after, `change of ${metricTitle(context.metric)}`], rows }
}

export const SPEED_COLUMNS = [
  'by steps',
  'by training time',
  'seeds that reach it',
  'baselines best at their last step',
  'the other way: the baseline to the best of this one, by steps',
] as const

/** How much sooner each arm is as good as its baseline ever gets, in steps and in training time; whether the baseline was done; and how much sooner the baseline is as good as the arm ever gets. @param baselineOf the arm's own name for a baseline. */
export function speedTable(context: Context, baselineOf: (arm: string) => string, numInferenceSteps?: number): Table {
  const curvesOf = (arm: string): MetricCurve[] => runsOf(context, arm).map((run) => curveOf(run, context.metric, numInferenceSteps))
  const rows = armsOf(context)
    .filter((arm) => baselineOf(arm) !== arm)
    .map((arm) => {
      const baseline = curvesOf(baselineOf(arm))
      if (baseline.some(({ values }) => values.length === 0)) return { label: arm, figures: [{ ours: 'no finite value of the baseline' }] }
      const others = curvesOf(arm)
      const speed = trainingSpeed(baseline, others)
      const isMeasured = others.every(({ values }) => values.length > 0)
      return {
        label: arm,
        figures: [
          { ours: showSpeed(speed.steps), paper: paperResult(context.recipe.id, arm, 'speed') },
          { ours: showSpeed(speed.seconds) },
          { ours: `${speed.numReached} of ${speed.pairs.length}` },
          { ours: `${speed.numBestLast} of ${speed.pairs.length}` },
          { ours: isMeasured ? showSpeed(trainingSpeed(others, baseline).steps) : null },
        ],
      }
    })
  const baselines = [...new Set(armsOf(context).map(baselineOf))].map((arm) => `"${arm}"`).join(', ')
  const sampled = numInferenceSteps === undefined ? '' : `, ${numInferenceSteps} inference steps`
  const title = `Training speed: steps of ${baselines} to its best ${metricTitle(context.metric)}, over the steps of the other to the same${sampled}`
  return { title, columns: ['median over seeds (range)', ...SPEED_COLUMNS], rows }
}

function showSpeed({ median, low, high }: SpeedEstimate): string {
  const show = (ratio: number): string => (ratio === 0 ? 'not reached' : `${ratio.toFixed(2)}x`)
  return low === high ? show(median) : `${show(median)} (${show(low)} to ${show(high)})`
}
