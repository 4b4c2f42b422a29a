/** Tables and lists of the dashboard and the report. All text goes in as text: nothing that a run says becomes part of the page. */
import { format } from './chart.mjs'
import { summarizeRecent } from './model.mjs'
import { flatten } from './summary.mjs'

const COLOURS = ['#2f7ed8', '#e8743b', '#19a979', '#945ecf', '#e0457b', '#13a4b4', '#b68a00', '#7d8ca3']

export function colourOf(index) {
  return COLOURS[index % COLOURS.length]
}

/** An element with attributes, listeners (as onclick) and children; a child that is no element is text. */
export function make(tag, attributes = {}, ...children) {
  const made = document.createElement(tag)
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith('on')) made.addEventListener(name.slice(2), value)
    else if (name === 'colour') made.style.setProperty('--run', value)
    else if (name in made) made[name] = value
    else made.setAttribute(name, value)
  }
  made.append(...children)
  return made
}

/** A column of nothing but numbers stands to the right. */
export function makeTable(titles, rows) {
  const isNumeric = titles.map((_, at) => at > 0 && rows.every(({ cells }) => /^[\d.,–-]+$/.test(cells[at])))
  const cell = (tag, text, at) => make(tag, isNumeric[at] ? { className: 'number' } : {}, text)
  const head = make('tr', {}, ...titles.map((title, at) => cell('th', title, at)))
  const body = rows.map(({ cells, className = '' }) => make('tr', { className }, ...cells.map((text, at) => cell('td', text, at))))
  return make('table', {}, make('thead', {}, head), make('tbody', {}, ...body))
}

/** One line about where a run is. */
export function describeProgress({ model, state }) {
  const { stepsPerSecond } = summarizeRecent(model)
  const parts = [
    `step ${model.step.toLocaleString('en')}${model.maxTrainSteps > 0 ? ` / ${model.maxTrainSteps.toLocaleString('en')}` : ''}`,
  ]
  if (stepsPerSecond !== null) parts.push(`${format(Number(stepsPerSecond.toPrecision(3)))} steps/s`)
  if (state?.status === 'running' && stepsPerSecond) {
    parts.push(`${formatDuration(Math.max(0, model.maxTrainSteps - model.step) / stepsPerSecond)} left`)
  }
  const numGone = model.lives.filter((life) => life.state === 'gone').length
  if (numGone > 0) parts.push(`${numGone} worker${numGone > 1 ? 's' : ''} lost`)
  return parts.join(' · ')
}

function formatDuration(seconds) {
  const whole = Math.round(seconds)
  const [hours, minutes, rest] = [Math.floor(whole / 3600), Math.floor((whole % 3600) / 60), whole % 60]
  const two = (value) => String(value).padStart(2, '0')
  return hours > 0 ? `${hours}:${two(minutes)}:${two(rest)}` : `${minutes}:${two(rest)}`
}

/** Median and 95th percentile of each stage over the newest steps. */
export function makeTimelineTable({ model }) {
  const { stages, numSteps } = summarizeRecent(model)
  const rows = stages.map(({ name, p50, p95 }) => ({ cells: [name, p50.toFixed(2), p95.toFixed(2)] }))
  const note = make('p', { className: 'hint' }, `milliseconds, over the newest ${numSteps} steps`)
  return make('div', {}, makeTable(['stage', 'p50', 'p95'], rows), note)
}

/** The newest first. */
export function makeEventList({ model }) {
  const lives = model.lives.map(({ time, state, generation, message }) => ({ time, code: `worker ${generation} ${state}`, message }))
  const items = [...model.warnings, ...lives].toSorted((a, b) => b.time - a.time)
  if (model.end) items.unshift({ time: items[0]?.time ?? Date.now(), code: model.end.outcome, message: model.end.message })
  if (items.length === 0) return make('p', { className: 'hint' }, 'none')
  const list = items.map(({ time, code, message }) => {
    const at = new Date(time)
    return make(
      'li',
      {},
      make('time', {}, Number.isNaN(at.getTime()) ? '' : at.toLocaleTimeString('en-GB')),
      make('code', {}, code),
      ` ${message}`,
    )
  })
  return make('ul', { className: 'events' }, ...list)
}

/** Configs side by side, a row per field, named by its path; marked where the runs differ. */
export function makeConfigTable(runs, { filter = '', onlyDifferences = false } = {}) {
  const known = runs.filter(({ about }) => about?.config)
  if (known.length === 0) return make('p', { className: 'hint' }, 'no config yet')
  const flat = known.map(({ about }) => new Map(flatten(about.config)))
  const paths = [...new Set(flat.flatMap((values) => [...values.keys()]))]
  const rows = paths.flatMap((path) => {
    const cells = flat.map((values) => values.get(path) ?? '–')
    const isDifferent = cells.some((cell) => cell !== cells[0])
    const isWanted = `${path} ${cells.join(' ')}`.toLowerCase().includes(filter.trim().toLowerCase())
    return isWanted && (isDifferent || !onlyDifferences) ? [{ cells: [path, ...cells], className: isDifferent ? 'differs' : '' }] : []
  })
  if (rows.length === 0) return make('p', { className: 'hint' }, 'nothing fits')
  return makeTable(['field', ...known.map(({ name }) => name)], rows)
}
