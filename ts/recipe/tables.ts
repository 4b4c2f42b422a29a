/** The tables that recipes share: the best value of each arm, its values at some steps, and how much sooner it got there. */
import { estimate, PAPER_RESULTS, trainingSpeed, type Estimate, type PaperResult, type SpeedEstimate } from '../index.ts'
import { curveOf, type ArmRun, type Context, type Figure, type Table } from './recipe.ts'

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

/** The best value that each arm's curves reach, beside the paper's best FID. */
export function bestTable(context: Context, title: string, column = 'best FID'): Table {
  const rows = armsOf(context).map((arm) => ({
    label: arm,
    figures: [
      {
        ours: overSeeds(runsOf(context, arm), (run) => Math.min(...curveOf(run, context.metric).values)),
        paper: paperResult(context.recipe.id, arm, column),
      },
      gainOf(context, arm),
    ],
  }))
  return { title, columns: ['', `best ${metricTitle(context.metric)}`, 'gain'], rows }
}

/** What the assignment did: the mean projection of the noise on its image, in standard deviations. */
function gainOf(context: Context, arm: string): Figure {
  return { ours: overSeeds(runsOf(context, arm), ({ curves }) => curves.gain ?? undefined) }
}

/** The values of each arm at the steps where it was measured. @param columnOf the paper's name of a step. */
export function stepsTable(
  context: Context,
  title: string,
  columnOf: (step: number) => string = (step) => `${step} steps`,
  numInferenceSteps?: number,
): Table {
  const arms = armsOf(context)
  const steps = [...new Set(context.runs.flatMap((run) => curveOf(run, context.metric, numInferenceSteps).steps))].toSorted((a, b) => a - b)
  const rows = arms.map((arm) => ({
    label: arm,
    figures: steps.map((step) => ({
      ours: overSeeds(runsOf(context, arm), (run) => {
        const curve = curveOf(run, context.metric, numInferenceSteps)
        return curve.values[curve.steps.indexOf(step)]
      }),
      paper: paperResult(context.recipe.id, arm, columnOf(step)),
    })),
  }))
  return { title, columns: [metricTitle(context.metric), ...steps.map(columnOf)], rows }
}

/** How much sooner each arm is as good as the baseline ever gets, in steps and in training time. */
export function speedTable(context: Context, baseline: string): Table {
  const curvesOf = (arm: string): ReturnType<typeof curveOf>[] => runsOf(context, arm).map((run) => curveOf(run, context.metric))
  const rows = armsOf(context)
    .filter((arm) => arm !== baseline)
    .map((arm) => {
      const speed = trainingSpeed(curvesOf(baseline), curvesOf(arm))
      return {
        label: arm,
        figures: [
          { ours: showSpeed(speed.steps), paper: paperResult(context.recipe.id, arm, 'speed') },
          { ours: showSpeed(speed.seconds) },
          { ours: `${speed.numReached} of ${speed.pairs.length}` },
        ],
      }
    })
  const title = `Training speed: steps of "${baseline}" to its best ${metricTitle(context.metric)}, over the steps of the other to the same`
  return { title, columns: ['median over seeds (range)', 'by steps', 'by training time', 'seeds that reach it'], rows }
}

function showSpeed({ median, low, high }: SpeedEstimate): string {
  const show = (ratio: number): string => (ratio === 0 ? 'not reached' : `${ratio.toFixed(2)}x`)
  return `${show(median)} (${show(low)} to ${show(high)})`
}
