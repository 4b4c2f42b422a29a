/** Curves of runs, one chart per figure, by uPlot: what the dashboard and the report draw. */
import { HELD_OUT_FIELDS, readCurve, STAGES, STEP_FIELDS } from './model.mjs'

const uPlot = globalThis.uPlot

const DASHES = [[], [6, 4], [2, 3], [10, 3, 2, 3]]
const STAGE_COLOURS = ['#9ec5f4', '#2f7ed8', '#7fc8b5', '#f0b429', '#e8743b', '#d64550', '#8792a2']

/** A line is a field of the curves, or of the held-out measurements; the second and later ones of a chart are dashed. */
export const CHARTS = [
  { group: 'Training', id: 'loss', title: 'Loss', lines: ['loss'], hasRange: true },
  { group: 'Training', id: 'heldOut', title: 'Held-out loss', note: 'dashed: of the EMA weights', lines: ['loss', 'emaLoss'], isHeldOut: true },
  { group: 'Training', id: 'gradNorm', title: 'Gradient norm', lines: ['gradNorm'], hasRange: true },
  { group: 'Training', id: 'learningRate', title: 'Learning rate', lines: ['learningRate'], isExact: true },
  {
    ...{ group: 'Assignment', id: 'gain', title: 'Gain', lines: ['gain', 'preGain'] },
    note: 'projection of the noise on its image, in standard deviations; dashed: before the assignment',
  },
  {
    ...{ group: 'Assignment', id: 'distanceChange', title: 'Change of the distance', lines: ['distanceChange'], hasRange: true },
    note: 'image to noise, by the assignment; −0.01 is one per cent nearer',
  },
  { group: 'Assignment', id: 'norm', title: 'Noise norm', note: 'mean square; 1 for standard normal noise', lines: ['norm'], hasRange: true },
  {
    ...{ group: 'Assignment', id: 'drift', title: 'Drift of the noise', lines: ['normDeviation', 'meanDeviation', 'varianceDeviation'] },
    note: 'standard errors; norm, dashed mean, dotted variance',
  },
  {
    ...{ group: 'Assignment', id: 'classDrift', title: 'Drift per class', lines: ['classMeanDeviation'], hasRange: true },
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
  const spec = { id: 'timeline', title: 'Milliseconds per step', note: 'noise, assign and measure are done ahead, beside training', isStack: true }
  const chart = createChart(container, spec)
  return {
    update(run, smoothing) {
      const first = STEP_FIELDS.indexOf('noiseMs')
      const curves = run ? STAGES.map((_, stage) => readCurve(run.model.curves, first + stage)) : []
      const parts = curves.map((curve) => smooth(curve, smoothing))
      const x = curves[0]?.x ?? []
      const sums = parts.map((_, stage) => x.map((_step, at) => parts.slice(0, stage + 1).reduce((sum, part) => sum + (part[at] ?? 0), 0)))
      const lines = STAGES.map((name, stage) => ({
        ...{ key: `${run?.key} ${name}`, name, colour: STAGE_COLOURS[stage], dash: [], x, y: sums[stage] ?? [] },
        own: parts[stage] ?? [],
      }))
      chart.draw(lines.toReversed())
    },
  }
}

function toLines(spec, runs, smoothing) {
  return runs.flatMap(({ key, name, colour, model }) =>
    spec.lines.map((field, at) => {
      const curve = spec.isHeldOut
        ? readCurve(model.heldOut, HELD_OUT_FIELDS.indexOf(field))
        : readCurve(model.curves, STEP_FIELDS.indexOf(field))
      const y = spec.isHeldOut || spec.isExact ? curve.mean : smooth(curve, smoothing)
      const range = spec.hasRange && { low: curve.low, high: curve.high }
      return { key: `${key} ${field}`, name, colour, dash: DASHES[at], x: curve.x, y, ...range, raw: curve.mean }
    }),
  )
}

function createChart(container, spec) {
  const card = element('figure', 'card')
  card.dataset.chart = spec.id
  const values = element('span', 'values')
  const caption = element('figcaption')
  caption.append(element('b', '', spec.title), values)
  const plot = element('div', 'plot')
  const empty = element('span', 'empty', spec.isHeldOut ? 'nothing measured: no held-out images' : 'nothing yet')
  plot.append(empty)
  card.append(caption, element('p', 'note', spec.note ?? ''), plot)
  container.append(card)
  let [shape, lines, chart] = ['', [], undefined]
  let isZoomed = false

  const size = () => ({ width: Math.max(120, plot.clientWidth), height: Math.max(120, plot.clientHeight) })
  new ResizeObserver(() => chart?.setSize(size())).observe(plot)
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => {
    shape = ''
    draw(lines)
  })

  function describe(at) {
    const shown = spec.isStack ? lines.toReversed() : lines
    values.replaceChildren(
      ...shown.slice(0, 8).map((line) => {
        const index = at === null ? line.x.length - 1 : nearest(line.x, at)
        const value = (line.own ?? line.y)[index]
        const item = element('span')
        const swatch = element('i', 'swatch')
        swatch.style.setProperty('--run', line.colour)
        item.append(swatch, `${spec.isStack ? `${line.name} ` : ''}${value === undefined ? '–' : format(value)}`)
        item.title = line.name
        return item
      }),
      ...(at === null ? [] : [element('span', '', `step ${Math.round(at)}`)]),
    )
  }

  function create(data) {
    chart?.destroy()
    const style = getComputedStyle(document.documentElement)
    const [muted, line] = [style.getPropertyValue('--muted'), style.getPropertyValue('--line')]
    const axis = { stroke: muted, grid: { stroke: line, width: 1 }, ticks: { show: false }, font: '11px system-ui, sans-serif', gap: 4 }
    const { series, bands } = toSeries(spec, lines)
    chart = new uPlot(
      {
        ...size(),
        legend: { show: false },
        cursor: { sync: { key: 'runs' }, y: false, points: { show: false }, drag: { x: true, y: false } },
        scales: { x: { time: false }, y: { range: () => findRange(spec, lines, chart?.scales.x) } },
        axes: [
          { ...axis, size: 26, space: 70, values: (_u, ticks) => ticks.map(formatStep) },
          { ...axis, size: 52, space: 34, values: (_u, ticks) => ticks.map(format) },
        ],
        series: [{}, ...series],
        bands,
        hooks: {
          setCursor: [({ cursor, posToVal }) => describe(cursor.left >= 0 ? posToVal(cursor.left, 'x') : null)],
          setSelect: [({ select }) => (isZoomed = select.width > 0 || isZoomed)],
        },
      },
      data,
      plot,
    )
    chart.over.addEventListener('dblclick', () => (isZoomed = false))
  }

  function draw(next) {
    lines = next
    const hasData = lines.some(({ x }) => x.length > 0)
    empty.hidden = hasData
    const wanted = hasData ? lines.map(({ key, colour }) => key + colour).join() : ''
    if (!hasData) {
      chart?.destroy()
      chart = undefined
    } else if (wanted !== shape || !chart) create(toData(lines))
    else {
      chart.setData(toData(lines), !isZoomed)
      if (isZoomed) chart.redraw()
    }
    shape = wanted
    if (!(chart?.cursor.left >= 0)) describe(null)
  }

  return { draw }
}

/** Each line brings its curve, and where it has a range the least and the greatest before it. */
function toSeries(spec, lines) {
  const [series, bands] = [[], []]
  for (const { colour, dash, low } of lines) {
    if (low) {
      const range = { stroke: `${colour}55`, width: 1, spanGaps: true, points: { show: false } }
      series.push(range, range)
      bands.push({ series: [series.length, series.length - 1], fill: `${colour}22` })
    }
    series.push({
      ...{ stroke: colour, dash, spanGaps: true, width: spec.isStack ? 0 : 1.75 },
      ...(spec.isStack && { fill: colour }),
      points: { show: spec.isHeldOut ?? false, size: 5, fill: colour },
    })
  }
  return { series, bands }
}

function toData(lines) {
  return uPlot.join(lines.map(({ x, y, low, high }) => [x, ...(low ? [low, high] : []), y]))
}

/** Of what is in sight: all of the smooth curves, and of the raw ones all but the outermost hundredths, which would flatten the rest. */
function findRange(spec, lines, { min = -Infinity, max = Infinity } = {}) {
  let [least, most] = [Infinity, -Infinity]
  const include = (value) => {
    least = Math.min(least, value)
    most = Math.max(most, value)
  }
  for (const { x, y, low, high } of lines) {
    const inSight = (column) => column.filter((_, at) => (x[at] >= min || min === null) && (x[at] <= max || max === null)).toSorted((a, b) => a - b)
    const trim = spec.isStack ? 0.02 : 0
    const smoothed = inSight(y)
    if (smoothed.length === 0) continue
    include(smoothed[Math.floor(trim * (smoothed.length - 1))])
    include(smoothed[Math.ceil((1 - trim) * (smoothed.length - 1))])
    if (!low) continue
    const [lows, highs] = [inSight(low), inSight(high)]
    include(lows[Math.floor(0.01 * (lows.length - 1))])
    include(highs[Math.ceil(0.99 * (highs.length - 1))])
  }
  if (least > most) return [0, 1]
  if (spec.isStack) return [0, most * 1.1 || 1]
  const pad = (most - least || Math.abs(most) || 1) * 0.08
  return [least - pad, most + pad]
}

function nearest(sorted, value) {
  let [low, high] = [0, sorted.length - 1]
  while (high - low > 1) {
    const middle = (low + high) >> 1
    if (sorted[middle] < value) low = middle
    else high = middle
  }
  return high >= 0 && Math.abs(sorted[high] - value) < Math.abs(sorted[low] - value) ? high : low
}

/** Three significant digits or so. */
export function format(value) {
  const size = Math.abs(value)
  if (size !== 0 && (size < 0.001 || size >= 100_000)) return value.toExponential(1).replace('e+', 'e')
  return String(Number(value.toPrecision(size >= 1000 ? 5 : 4)))
}

function formatStep(step) {
  return step >= 10_000 ? `${Number((step / 1000).toPrecision(4))}k` : String(step)
}

function element(tag, className = '', text = '') {
  const made = document.createElement(tag)
  if (className) made.className = className
  made.textContent = text
  return made
}
