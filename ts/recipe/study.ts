/** The small study: what the strategies do to training on the embedded digits, over paired seeds, for each objective; a recipe each. */
import { plotCurves } from './curves.ts'
import { curveOf, type Arm, type Context, type Recipe, type Table, type TrainSettings } from './recipe.ts'
import { SMALL_CONSISTENCY, SMALL_DDIM, SMALL_DDIM_V, SMALL_FLOW } from './settings.ts'
import { armsOf, bestTable, measuredSteps, overSeeds, runsOf, SPEED_COLUMNS, speedTable, stepsTable } from './tables.ts'

const BASELINE = 'independent'
/** Seven batches: the digits hold two such pools. */
const POOL = 896

const ASSIGNMENTS = {
  [BASELINE]: 'independent',
  quantized: 'quantized',
  'paper-linear': 'paper-linear',
  'nearest k = 4': { kind: 'nearest', candidates: 4 },
  persistent: 'persistent',
  [`pooled ${POOL}`]: { kind: 'quantized', poolSize: POOL },
} satisfies Record<string, TrainSettings['assignment']>

/** Each with the seeds it is published with. */
export const STUDY: readonly { readonly recipe: Recipe; readonly seeds: number }[] = [
  { recipe: studyOf('ddim', 'DDIM', SMALL_DDIM, Object.keys(ASSIGNMENTS)), seeds: 5 },
  { recipe: studyOf('ddim-v', 'DDIM, v-prediction', SMALL_DDIM_V, [BASELINE, 'quantized']), seeds: 3 },
  { recipe: studyOf('consistency', 'consistency', SMALL_CONSISTENCY, [BASELINE, 'quantized']), seeds: 3 },
  { recipe: studyOf('flow', 'flow', SMALL_FLOW, [BASELINE, 'quantized']), seeds: 3 },
]

function studyOf(name: string, title: string, settings: TrainSettings, labels: readonly string[]): Recipe {
  return {
    id: `study-${name}`,
    title: `Digits, ${title}: training speed by assignment`,
    source: 'This project',
    unknown: () => [],
    arms: () =>
      labels.map((label): Arm => ({ label, settings: { ...settings, assignment: ASSIGNMENTS[label as keyof typeof ASSIGNMENTS] } })),
    async report(context) {
      return {
        tables: [
          bestTable(context, 'Best value of each run'),
          stepsTable(context, 'Value by training step', measuredSteps(context)),
          speedTable(context, () => BASELINE),
          differenceTable(context),
          lastTable(context),
        ],
        pictures: [await plotCurves(context)],
        notes: [
          'Runs of one seed share first weights, order of images, timesteps and, but for nearest and persistent, noises: their differences are paired.',
          `${context.metric} is not FID: it is the Fréchet distance between features of a small classifier. "real" is the same of real digits, which no model is expected to beat.`,
        ],
      }
    },
  }
}

/** A row for each part and assignment, beside the baseline of its part. */
export function summaryTable(contexts: readonly Context[]): Table {
  const rows = contexts.flatMap((context) => {
    const best = new Map(bestTable(context, '').rows.map(({ label, figures: [value] }) => [label, value]))
    return speedTable(context, () => BASELINE).rows.map(({ label, figures }) => ({
      label: `[${context.recipe.title.replace(/:.*/, '')}](${context.recipe.id}/README.md): ${label}`,
      figures: [best.get(BASELINE) ?? { ours: null }, best.get(label) ?? { ours: null }, ...figures],
    }))
  })
  const [steps, ...others] = SPEED_COLUMNS
  const columns = [`best of "${BASELINE}"`, 'best of it', `speed ${steps}, median (range)`, ...others] as const
  return { title: 'All of it', columns: ['', ...columns], rows }
}

/** Paired: what an arm's last value is above the baseline's of its seed. Below 0 is better; an interval that holds 0 shows nothing. */
function differenceTable(context: Context): Table {
  const last = (arm: string): number[] => runsOf(context, arm).map((run) => curveOf(run, context.metric).values.at(-1) ?? NaN)
  const baseline = last(BASELINE)
  const rows = armsOf(context)
    .filter((arm) => arm !== BASELINE)
    .map((arm) => {
      const values = last(arm)
      return { label: arm, figures: [{ ours: overSeeds(runsOf(context, arm), ({ seed }) => values[seed] - baseline[seed]) }] }
    })
  return { title: `Difference to "${BASELINE}" of the same seed after the last step`, columns: ['', context.metric], rows }
}

/** Every metric after the last step, and what real images score. */
function lastTable(context: Context): Table {
  const names = context.runs[0].curves.evaluations.at(-1)?.measures.map(({ name }) => name) ?? []
  const valueOf = (pick: 'value' | 'floor') => (run: Context['runs'][number], name: string) =>
    run.curves.evaluations.at(-1)?.measures.find((measure) => measure.name === name)?.[pick] ?? undefined
  const figures = (runs: Context['runs'], pick: 'value' | 'floor') =>
    names.map((name) => ({ ours: overSeeds(runs, (run) => valueOf(pick)(run, name)), digits: 3 }))
  const rows = armsOf(context).map((arm) => ({ label: arm, figures: figures(runsOf(context, arm), 'value') }))
  const real = { label: 'real images', figures: figures(context.runs.slice(0, 1), 'floor') }
  return { title: 'Every metric after the last step', columns: ['', ...names], rows: [...rows, real] }
}
