/** The curves of a recipe's arms as a plot: a metric over training steps, means over seeds with their range. */
import { join } from 'node:path'
import { drawPlot, type PlotSeries } from '../index.ts'
import { curveOf, type Context, type Report } from './recipe.ts'
import { armsOf, metricTitle, runsOf, valueAt } from './tables.ts'

export interface CurvesOptions {
  /** Of what the arms are, where they are not all of the recipe: the title, and in the name of the file. Default: the title of the recipe. */
  readonly part?: string
  /** Default: all. */
  readonly arms?: readonly string[]
  /** Which measurements, where there are several. */
  readonly numInferenceSteps?: number
}

/** Writes `curves.svg` and `curves.png`, or `curves-PART` and so on. */
export async function plotCurves(context: Context, options: CurvesOptions = {}): Promise<Report['pictures'][number]> {
  const { part, arms = armsOf(context), numInferenceSteps } = options
  const steps = numInferenceSteps === undefined ? [] : [`${numInferenceSteps} inference steps`]
  const parts = [...(part === undefined ? [] : [part]), ...steps]
  const name = ['curves', ...parts].join('-').replaceAll(' ', '-').toLowerCase()
  const floor =
    runsOf(context, arms[0])[0].curves.evaluations[0]?.measures.find(({ name: metric }) => metric === context.metric)?.floor ?? null
  const title = metricTitle(context.metric)
  await drawPlot(
    {
      title: [part ?? context.recipe.title, ...steps].join(', '),
      xLabel: 'training steps',
      yLabel: title,
      isLogY: true,
      series: arms.map((arm) => seriesOf(context, arm, numInferenceSteps)),
      horizontals: floor === null ? [] : [{ label: 'real images', y: floor }],
    },
    join(context.folder, name),
    { onSetup: context.log },
  )
  return { file: `${name}.png`, caption: `${[`${title} over training steps`, ...parts].join(', ')}: mean over seeds, and their range` }
}

function seriesOf(context: Context, arm: string, numInferenceSteps: number | undefined): PlotSeries {
  const curves = runsOf(context, arm).map((run) => curveOf(run, context.metric, numInferenceSteps))
  const points = curves[0].steps.flatMap((step) => {
    const values = curves.map((curve) => valueAt(curve, step))
    return values.every((value) => value !== undefined) ? [{ step, values }] : []
  })
  return {
    label: arm,
    x: points.map(({ step }) => step),
    y: points.map(({ values }) => values.reduce((sum, value) => sum + value, 0) / values.length),
    low: points.map(({ values }) => Math.min(...values)),
    high: points.map(({ values }) => Math.max(...values)),
  }
}
