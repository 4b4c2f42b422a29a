/** Which charts there are, and what of a run each shows: the same in the dashboard and the report. */
import { createChart, element } from './chart.mjs'
import { HELD_OUT_FIELDS, QUALITY_FIELDS, readCurve, STAGES, STEP_FIELDS } from './model.mjs'

const DASHES = [[], [6, 4], [2, 3], [10, 3, 2, 3]]
const FIELDS = { curves: STEP_FIELDS, heldOut: HELD_OUT_FIELDS, quality: QUALITY_FIELDS }
const STAGE_COLOURS = ['#9ec5f4', '#2f7ed8', '#7fc8b5', '#f0b429', '#e8743b', '#d64550', '#8792a2']

/** A line is a field of the curves, or of what is measured `of` held-out images or samples; the second and later ones of a chart are dashed. */
export const CHARTS = [
  {
    group: 'Training',
    id: 'loss',
    title: 'Loss',
    note: 'faint: each step, or the range of those that a point covers',
    lines: ['loss'],
    hasRange: true,
  },
  {
    group: 'Training',
    id: 'heldOut',
    title: 'Held-out loss',
    note: 'dashed: of the EMA weights',
    lines: ['loss', 'emaLoss'],
    of: 'heldOut',
  },
  {
    group: 'Training',
    id: 'quality',
    title: 'Sample quality',
    note: 'FID, or the Fréchet distance by a small classifier; less is better; dashed: of real images',
    lines: ['value', 'floor'],
    of: 'quality',
  },
  { group: 'Training', id: 'gradNorm', title: 'Gradient norm', lines: ['gradNorm'], hasRange: true },
  { group: 'Training', id: 'learningRate', title: 'Learning rate', lines: ['learningRate'], isExact: true },
  {
    group: 'Assignment',
    id: 'gain',
    title: 'Gain',
    lines: ['gain', 'preGain'],
    note: 'projection of the noise on its image, in standard deviations; dashed: before the assignment',
  },
  {
    group: 'Assignment',
    id: 'distanceChange',
    title: 'Change of the distance',
    lines: ['distanceChange'],
    hasRange: true,
    note: 'image to noise, by the assignment; −0.01 is one per cent nearer',
  },
  {
    group: 'Assignment',
    id: 'norm',
    title: 'Noise norm',
    note: 'mean square; 1 for standard normal noise',
    lines: ['norm'],
    hasRange: true,
  },
  {
    group: 'Assignment',
    id: 'drift',
    title: 'Drift of the noise',
    lines: ['normDeviation', 'meanDeviation', 'varianceDeviation'],
    note: 'standard errors; norm, dashed mean, dotted variance',
  },
  {
    group: 'Assignment',
    id: 'classDrift',
    title: 'Drift per class',
    lines: ['classMeanDeviation'],
    hasRange: true,
    note: 'of the mean along the direction of its class, in standard errors',
  },
]

/** Weights by distance in x, as W&B does, so that it looks the same however many steps a point covers. */
export function smooth({ x, mean }, amount) {
  if (amount <= 0 || x.length < 2) return mean
  const scale = 1000 / Math.max(1, x.at(-1) - x[0])
  let [value, weight] = [0, 0]
  return mean.map((y, at) => {
    const keep = amount ** (at === 0 ? 1 : Math.min(1000, Math.max((x[at] - x[at - 1]) * scale, 1)))
    value = value * keep + y * (1 - keep)
    weight = weight * keep + (1 - keep)
    return value / weight
  })
}

/**
 * Draws all charts into `container`.
 * @returns update(runs, smoothing): runs are { key, name, colour, model }, the ones to show
 */
export function createCharts(container) {
  const groups = Map.groupBy(CHARTS, ({ group }) => group)
  const charts = []
  for (const [group, specs] of groups) {
    const grid = element('div', 'grid')
    const section = element('section')
    section.append(element('h2', '', group), grid)
    container.append(section)
    for (const spec of specs) charts.push({ spec, chart: createChart(grid, spec) })
  }
  return {
    update(runs, smoothing) {
      for (const { spec, chart } of charts) chart.draw(toLines(spec, runs, smoothing))
    },
  }
}

/** The stages of one run's steps, one upon the other. */
export function createTimelineChart(container) {
  const spec = {
    id: 'timeline',
    title: 'Milliseconds per step',
    note: 'noise, assign and measure are done ahead, beside training',
    isStack: true,
  }
  const chart = createChart(container, spec)
  return {
    update(run, smoothing) {
      const first = STEP_FIELDS.indexOf('noiseMs')
      const curves = run ? STAGES.map((_, stage) => readCurve(run.model.curves, first + stage)) : []
      const parts = curves.map((curve) => smooth(curve, smoothing))
      const x = curves[0]?.x ?? []
      const sums = parts.map((_, stage) => x.map((_step, at) => parts.slice(0, stage + 1).reduce((sum, part) => sum + (part[at] ?? 0), 0)))
      const lines = STAGES.map((name, stage) => ({
        key: `${run?.key} ${name}`,
        name,
        colour: STAGE_COLOURS[stage],
        dash: [],
        x,
        y: sums[stage] ?? [],
        own: parts[stage] ?? [],
      }))
      chart.draw(lines.toReversed())
    },
  }
}

function toLines(spec, runs, smoothing) {
  return runs.flatMap(({ key, name, colour, model }) =>
    spec.lines.map((field, at) => {
      const { of = 'curves' } = spec
      const curve = readCurve(model[of], FIELDS[of].indexOf(field))
      const y = of !== 'curves' || spec.isExact ? curve.mean : smooth(curve, smoothing)
      const range = spec.hasRange && { low: curve.low, high: curve.high }
      return { key: `${key} ${field}`, name, colour, dash: DASHES[at], x: curve.x, y, ...range, raw: curve.mean }
    }),
  )
}
