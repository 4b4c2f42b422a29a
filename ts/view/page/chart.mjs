/** One chart: a figure with lines over steps, drawn by uPlot, with their values at the cursor. */

const uPlot = globalThis.uPlot

/** Of what a run may do without. */
const EMPTY = { heldOut: 'nothing measured: no held-out images', quality: 'nothing measured: evaluation.everySteps is 0' }

/**
 * A figure in `container`.
 * @returns draw(lines): a line is { key, name, colour, dash, x, y }, with `low` and `high` where it has a range and `own` where its value is not its height
 */
export function createChart(container, spec) {
  const card = element('figure', 'card')
  card.dataset.chart = spec.id
  const values = element('span', 'values')
  const caption = element('figcaption')
  caption.append(element('b', '', spec.title), values)
  const plot = element('div', 'plot')
  const empty = element('span', 'empty', EMPTY[spec.of] ?? 'nothing yet')
  plot.append(empty)
  card.append(caption, element('p', 'note', spec.note ?? ''), plot)
  container.append(card)
  let [shape, lines, chart] = ['', [], undefined]

  const size = () => ({ width: Math.max(120, plot.clientWidth), height: Math.max(120, plot.clientHeight) })
  new ResizeObserver(() => chart?.setSize(size())).observe(plot)
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => {
    shape = ''
    draw(lines)
  })

  function describe(at) {
    const shown = (spec.isStack ? lines.toReversed() : lines).filter(({ x }) => x.length > 0)
    values.replaceChildren(
      ...shown.slice(0, 8).map((line) => {
        const index = at === null ? line.x.length - 1 : nearest(line.x, at)
        const value = (line.own ?? line.y)[index]
        const item = element('span')
        const swatch = element('i', 'swatch')
        swatch.style.setProperty('--run', line.colour)
        item.append(swatch, `${spec.isStack ? `${line.name} ` : ''}${value === undefined ? '–' : format(value)}`)
        item.title = line.key.replace(/^[0-9a-f]{12}/, line.name)
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
        scales: { x: { time: false }, y: { range: ({ series: [steps] }) => findRange(spec, lines, steps) } },
        axes: [
          { ...axis, size: 22, space: 70, values: (_u, ticks) => ticks.map(formatStep) },
          { ...axis, size: 52, space: 34, values: (_u, ticks) => ticks.map(format) },
        ],
        series: [{}, ...series],
        bands,
        padding: [8, 10, 0, 0],
        hooks: {
          setCursor: [({ cursor, posToVal }) => describe(cursor.left >= 0 ? posToVal(cursor.left, 'x') : null)],
        },
      },
      data,
      plot,
    )
  }

  /** Some steps are out of sight: what is new must not move the rest. */
  function isZoomed() {
    const [steps] = chart.data
    return chart.scales.x.min > steps[0] || chart.scales.x.max < steps.at(-1)
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
      const isKept = isZoomed()
      chart.setData(toData(lines), !isKept)
      if (isKept) chart.redraw()
    }
    shape = wanted
    if (!(chart?.cursor.left >= 0)) describe(null)
  }

  return { draw }
}

/** Each line brings its curve, and where it has a range the least and the greatest before it. */
function toSeries(spec, lines) {
  const [series, bands] = [[], []]
  for (const { colour, dash, low, x } of lines) {
    if (low) {
      const range = { stroke: `${colour}48`, width: 1, spanGaps: true, points: { show: false } }
      series.push(range, range)
      bands.push({ series: [series.length, series.length - 1], fill: `${colour}30` })
    }
    series.push({
      stroke: colour,
      dash,
      spanGaps: true,
      width: spec.isStack ? 0 : 1.75,
      ...(spec.isStack && { fill: colour }),
      points: { show: spec.of !== undefined && x.length <= 40, size: 5, fill: colour },
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
    const inSight = (column) =>
      column.filter((_, at) => (x[at] >= min || min === null) && (x[at] <= max || max === null)).toSorted((a, b) => a - b)
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
  // What differs in the last digits only is level.
  const isLevel = most - least < 1e-4 * Math.abs(most)
  const pad = isLevel || most === least ? Math.abs(most) * 0.05 || 1 : (most - least) * 0.08
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
  if (size !== 0 && (size < 0.0001 || size >= 100_000)) return value.toExponential(1).replace('e+', 'e')
  return String(Number(value.toPrecision(size >= 1000 ? 5 : 4)))
}

function formatStep(step) {
  return step >= 10_000 ? `${Number((step / 1000).toPrecision(4))}k` : String(step)
}

export function element(tag, className = '', text = '') {
  const made = document.createElement(tag)
  if (className) made.className = className
  made.textContent = text
  return made
}
