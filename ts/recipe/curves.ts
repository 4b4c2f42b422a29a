/** The curves of a recipe's arms as a plot: a metric over training steps, means over seeds with their range. */
import { join } from 'node:path'
import { drawPlot, type Plot } from '../index.ts'
import { curveOf, type Context, type Report } from './recipe.ts'
import { armsOf, metricTitle, runsOf } from './tables.ts'

/** Writes `curves.svg` and `curves.png`. @param numInferenceSteps which measurements, where there are several. */
export async function plotCurves(context: Context, numInferenceSteps?: number): Promise<Report['pictures'][number]> {
  const name = numInferenceSteps === undefined ? 'curves' : `curves-${numInferenceSteps}`
  const series = armsOf(context).map((arm) => seriesOf(context, arm, numInferenceSteps))
  const floor = context.runs[0]?.curves.evaluations[0]?.measures.find(({ name: metric }) => metric === context.metric)?.floor ?? null
  const title = metricTitle(context.metric)
  await drawPlot(
    {
      title: context.recipe.title,
      xLabel: 'training steps',
      yLabel: title,
      isLogY: true,
      series,
      horizontals: floor === null ? [] : [{ label: 'real images', y: floor }],
    },
    join(context.folder, name),
  )
  const sampled = numInferenceSteps === undefined ? '' : `, ${numInferenceSteps} inference steps`
  return { file: `${name}.png`, caption: `${title} over training steps${sampled}: mean over seeds, and their range` }
}

function seriesOf(context: Context, arm: string, numInferenceSteps: number | undefined): Plot['series'][number] {
  const curves = runsOf(context, arm).map((run) => curveOf(run, context.metric, numInferenceSteps))
  const points = curves[0].steps.flatMap((step) => {
    const values = curves.map((curve) => curve.values[curve.steps.indexOf(step)])
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
