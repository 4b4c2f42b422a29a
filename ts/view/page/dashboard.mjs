/** The live page: listens to the server, keeps a model of each run, and draws what changed a few times a second. */
import { createCharts, createTimelineChart } from './charts.mjs'
import { addRow, createModel, readCurve, STEP_FIELDS } from './model.mjs'
import { colourOf, describeProgress, make, makeConfigTable, makeEventList, makeTimelineTable } from './panels.mjs'

const DRAW_MS = 250
const LOG_MS = 2000
const RETRY_MS = 2000

const find = (id) => document.getElementById(id)
const runs = new Map()
let focused
let stopping
let isFollowing = true

const charts = createCharts(find('charts'))
const timeline = createTimelineChart(find('timeline-chart'))

const shown = () => [...runs.values()].filter(({ isShown }) => isShown)
const smoothing = () => Number(find('smoothing').value)

// ---- what the server says

function connect() {
  const source = new EventSource('events')
  const tell = (className, text) => {
    find('connection').className = className
    find('connection').textContent = text
  }
  source.addEventListener('open', () => tell('live', 'live'))
  source.addEventListener('error', () => {
    tell('lost', 'server gone, trying again')
    // After a refusal the browser does not try again by itself.
    if (source.readyState === EventSource.CLOSED) setTimeout(connect, RETRY_MS)
  })
  source.addEventListener('message', ({ data }) => {
    hear(JSON.parse(data))
    requestDraw()
  })
}

function hear(message) {
  if (message.runs) return hearRuns(message.runs)
  const run = runs.get(message.key)
  if (!run) return
  if (message.read !== undefined) run.read = message.read
  if (message.state) run.state = message.state
  if (message.model) run.model = message.model
  for (const row of message.rows ?? []) {
    addRow(run.model, row)
    // It goes on, perhaps for longer than planned.
    if (row.kind === 'run') run.aboutOf = undefined
  }
  if (message.model || message.rows) run.read = 1
  if (run.model.runId !== run.aboutOf) void loadAbout(run)
}

function hearRuns(list) {
  for (const key of runs.keys()) if (!list.some((one) => one.key === key)) runs.delete(key)
  for (const [index, { key, name, path }] of list.entries()) {
    if (!runs.has(key)) runs.set(key, { key, path, colour: colourOf(index), model: createModel(), isShown: true, read: 1 })
    runs.get(key).name = name
  }
  focused = runs.has(focused) ? focused : list[0]?.key
  document.title = `${list.map(({ name }) => name).join(', ')} – immiscible`
}

async function loadAbout(run) {
  run.aboutOf = run.model.runId
  const response = await fetch(`runs/${run.key}/about`).catch(() => undefined)
  if (response?.ok) run.about = await response.json()
  requestDraw()
}

// ---- drawing

let drawTimer
let drawnAt = 0

function requestDraw(isAtOnce = false) {
  if (isAtOnce) drawnAt = 0
  clearTimeout(drawTimer)
  drawTimer = setTimeout(() => requestAnimationFrame(draw), Math.max(0, drawnAt + DRAW_MS - performance.now()))
}

function draw() {
  drawnAt = performance.now()
  const run = runs.get(focused)
  drawRuns()
  charts.update(shown(), smoothing())
  timeline.update(run, smoothing())
  for (const of of document.querySelectorAll('.of')) of.textContent = runs.size > 1 ? `of ${run?.name ?? ''}` : ''
  if (!run) return
  find('timeline-table').replaceChildren(makeTimelineTable(run))
  drawSamples()
  keepScroll(find('warnings'), makeEventList(run))
  drawConfig()
}

function drawRuns() {
  const list = find('runs')
  const items = [...runs.values()].map((run) => {
    run.item ??= makeRunItem(run)
    const { item, model, state } = run
    const status = state?.isStopping ? 'stopping' : (state?.status ?? 'waiting')
    item.root.classList.toggle('focused', run.key === focused && runs.size > 1)
    item.name.textContent = run.name
    item.name.title = run.path
    item.status.textContent = run.read < 1 ? `reading ${Math.round(run.read * 100)} %` : status
    item.status.className = `status ${status}`
    item.line.textContent = model.numEvents > 0 ? describeProgress(run) : 'no events yet'
    item.progress.max = Math.max(1, model.maxTrainSteps)
    item.progress.value = model.step
    item.stop.disabled = !state?.canStop
    item.box.checked = run.isShown
    return item.root
  })
  if (items.some((item, at) => list.children[at] !== item) || list.children.length !== items.length) list.replaceChildren(...items)
}

function makeRunItem(run) {
  const box = make('input', { type: 'checkbox', ariaLabel: 'show', onchange: () => show(run, box.checked) })
  const name = make('button', { className: 'name', type: 'button', onclick: () => focus(run.key) })
  const status = make('span', { className: 'status' })
  const stop = make('button', { className: 'danger stop', type: 'button', onclick: () => askToStop(run) }, 'Stop')
  const [line, progress] = [make('div', { className: 'run-line' }), make('progress')]
  const head = make('div', { className: 'run-head' }, box, make('i', { className: 'swatch' }), name, status)
  return { root: make('li', { colour: run.colour }, head, line, progress, stop), box, name, status, line, progress, stop }
}

function show(run, isShown) {
  run.isShown = isShown
  requestDraw(true)
}

function focus(key) {
  focused = key
  void loadLog()
  requestDraw(true)
}

function drawSamples() {
  const steps = [...new Set(shown().flatMap(({ model }) => model.samples))].toSorted((a, b) => a - b)
  const slider = find('sample-step')
  slider.max = Math.max(0, steps.length - 1)
  if (isFollowing) slider.value = slider.max
  const step = steps[Number(slider.value)]
  slider.disabled = steps.length < 2
  find('sample-value').textContent = step === undefined ? 'none yet' : String(step)
  const grids = shown().flatMap((run) => {
    const at = run.model.samples.findLast((one) => one <= step)
    return at === undefined ? [] : [{ run, at, address: `runs/${run.key}/samples/${at}.png` }]
  })
  const key = grids.map(({ address, run }) => address + run.model.runId).join()
  const box = find('samples')
  if (box.dataset.key === key) return
  box.dataset.key = key
  box.replaceChildren(
    ...grids.map(({ run, at, address }) =>
      make(
        'figure',
        { colour: run.colour },
        make('img', { src: address, alt: `samples of ${run.name} at step ${at}` }),
        make('figcaption', {}, make('i', { className: 'swatch' }), `${run.name}, step ${at}`),
      ),
    ),
  )
}

function drawConfig() {
  if (!find('config-details').open) return
  const options = { filter: find('config-filter').value, onlyDifferences: find('config-differences').checked }
  const key = JSON.stringify([options, shown().map(({ key: run, aboutOf, about, name }) => [run, aboutOf, Boolean(about), name])])
  if (find('config').dataset.key === key) return
  find('config').dataset.key = key
  find('config').replaceChildren(makeConfigTable(shown(), options))
}

/** Replaces a list without moving what somebody reads, and only where it says something else. */
function keepScroll(container, next) {
  if (container.firstElementChild?.textContent === next.textContent) return
  const top = container.firstElementChild?.scrollTop ?? 0
  container.replaceChildren(next)
  next.scrollTop = top
}

async function loadLog() {
  if (!find('log-details').open || focused === undefined) return
  const response = await fetch(`runs/${focused}/log`).catch(() => undefined)
  const text = response?.ok ? await response.text() : ''
  const log = find('log')
  if (log.textContent === (text || 'empty')) return
  const isAtEnd = log.scrollTop + log.clientHeight >= log.scrollHeight - 8
  log.textContent = text || 'empty'
  if (isAtEnd) log.scrollTop = log.scrollHeight
}

// ---- what the user does

function askToStop(run) {
  stopping = run
  find('stop-question').textContent = `Stop ${run.name} at step ${run.model.step}?`
  find('stop-dialog').returnValue = ''
  find('stop-dialog').showModal()
}

find('stop-dialog').addEventListener('close', async () => {
  if (find('stop-dialog').returnValue !== 'stop' || !stopping) return
  const response = await fetch(`runs/${stopping.key}/stop`, { method: 'POST' }).catch(() => undefined)
  if (!response?.ok) find('connection').textContent = `not stopped: ${response ? await response.text() : 'the server is gone'}`
})

find('smoothing').addEventListener('input', () => {
  find('smoothing-value').textContent = smoothing().toFixed(2)
  requestDraw(true)
})
find('sample-step').addEventListener('input', ({ target }) => {
  isFollowing = target.value === target.max
  requestDraw(true)
})
for (const id of ['config-filter', 'config-differences']) find(id).addEventListener('input', () => requestDraw(true))
find('config-details').addEventListener('toggle', () => requestDraw(true))
find('log-details').addEventListener('toggle', () => void loadLog())
setInterval(() => {
  if (runs.get(focused)?.state?.status === 'running') void loadLog()
}, LOG_MS)

/** The points that the page has, for tests and the curious: of run number `index`, of one field of its steps. */
globalThis.immiscible = {
  curve: (field, index = 0) => readCurve(([...runs.values()][index]?.model ?? createModel()).curves, STEP_FIELDS.indexOf(field)),
}

connect()
