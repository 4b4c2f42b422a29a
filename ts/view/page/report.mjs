/** The page of a report: what it holds, drawn once. */
import { createCharts, createTimelineChart } from './charts.mjs'
import { colourOf, make, makeConfigTable, makeEventList, makeTable, makeTimelineTable } from './panels.mjs'
import { flatten, summarizeRun } from './summary.mjs'

const runs = JSON.parse(document.getElementById('data').textContent).runs.map((run, index) => ({ ...run, colour: colourOf(index) }))
const main = document.querySelector('main')

function addSection(title, ...content) {
  main.append(make('section', {}, make('h2', {}, title), ...content))
}

const card = (...content) => make('div', { className: 'card' }, ...content)
const title = ({ name, colour }) => make('b', { colour }, make('i', { className: 'swatch' }), ` ${name}`)

/** A row per name, a column per run. */
function compare(columns) {
  const names = [...new Set(columns.flatMap((pairs) => pairs.map(([name]) => name)))]
  const maps = columns.map((pairs) => new Map(pairs))
  const table = makeTable(
    ['', ...runs.map(({ name }) => name)],
    names.map((name) => ({ cells: [name, ...maps.map((map) => map.get(name) ?? '–')] })),
  )
  return card(table)
}

function makeSamples(run) {
  const figures = run.samples.map(({ step, address }) =>
    make(
      'figure',
      {},
      make('img', { src: address, alt: `samples of ${run.name} at step ${step}` }),
      make('figcaption', {}, `step ${step}`),
    ),
  )
  return card(title(run), make('div', { className: 'samples' }, ...(figures.length > 0 ? figures : ['none'])))
}

addSection('Result', compare(runs.map(summarizeRun)))
const charts = createCharts(main.appendChild(make('div', { id: 'charts' })))
const timelines = runs.map((run) => {
  const [chart, table] = [make('div'), card(title(run), makeTimelineTable(run))]
  addSection(`Where a step's time goes: ${run.name}`, make('div', { className: 'split' }, chart, table))
  return { run, chart: createTimelineChart(chart) }
})
addSection('Samples', ...runs.map(makeSamples))
addSection('Warnings and workers', ...runs.map((run) => card(title(run), makeEventList(run))))
addSection('Config', card(makeConfigTable(runs)))
addSection('Versions', compare(runs.map(({ about }) => (about.environment ? flatten(about.environment) : []))))

const smoothing = document.getElementById('smoothing')
function draw() {
  document.getElementById('smoothing-value').textContent = Number(smoothing.value).toFixed(2)
  charts.update(runs, Number(smoothing.value))
  for (const { run, chart } of timelines) chart.update(run, Number(smoothing.value))
}
smoothing.addEventListener('input', draw)
draw()
