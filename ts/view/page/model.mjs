/** What the page knows of a run: events in, curves of bounded size out. The same code runs in the server, the dashboard and the report. */
// @ts-check

/** The numbers of a step event, in the order in which they travel. */
export const STEP_FIELDS = /** @type {const} */ ([
  'loss',
  'gradNorm',
  'learningRate',
  'gain',
  'preGain',
  'distanceChange',
  'norm',
  'normDeviation',
  'meanDeviation',
  'varianceDeviation',
  'classMean',
  'classMeanDeviation',
  'noiseMs',
  'assignMs',
  'measureMs',
  'wireMs',
  'stageMs',
  'waitMs',
  'trainMs',
])
export const HELD_OUT_FIELDS = /** @type {const} */ (['loss', 'emaLoss'])
export const QUALITY_FIELDS = /** @type {const} */ (['value', 'floor'])
export const STAGES = /** @type {const} */ (['noise', 'assign', 'measure', 'wire', 'stage', 'wait', 'train'])

/** Points of a curve: more than a chart has pixels. At twice that, neighbours are joined. */
const MAX_POINTS = 1600
/** Steps over which percentiles and the speed are taken. */
const NUM_RECENT = 512
const NUM_WARNINGS = 200
const NUM_LIVES = 50
const FIRST_STAGE = STEP_FIELDS.indexOf('noiseMs')

/**
 * One step, held-out measurement or first metric of sample quality as it travels: kind, step, milliseconds since 1970, then its fields in order, null where there is none.
 * @typedef {['step' | 'heldOut' | 'quality', number, number, ...(number | null)[]]} Row
 * @typedef {{ kind: string, [field: string]: unknown }} Other any other event, as it is in events.jsonl
 * @typedef {{ width: number, starts: number[], count: number[][], sum: number[][], low: number[][], high: number[][], last: number }} Curves
 */

/**
 * An event of events.jsonl as it travels to the page.
 * @param {any} event
 * @returns {Row | Other | undefined} undefined: no event of a run
 */
export function toRow(event) {
  if (typeof event !== 'object' || event === null || typeof event.kind !== 'string') return undefined
  const hasStep = Number.isInteger(event.step) && event.step >= 0
  if (['step', 'validation', 'evaluation', 'sample'].includes(event.kind) && !hasStep) return undefined
  if (event.kind === 'end' && !['finished', 'stopped', 'failed'].includes(event.outcome)) return undefined
  if (event.kind === 'validation') return ['heldOut', event.step, Number(event.time), number(event.loss), number(event.emaLoss)]
  if (event.kind === 'evaluation') return ['quality', event.step, Number(event.time), ...firstMeasure(event.measures)]
  if (event.kind !== 'step') return event
  const { assignment = {}, timeline = {} } = event
  const flat = { ...event, ...assignment, ...assignment.drift, ...timeline, distanceChange: assignment.postCost / assignment.preCost - 1 }
  return ['step', event.step, Number(event.time), ...STEP_FIELDS.map((field) => number(flat[field]))]
}

/** @param {any} measures */
function firstMeasure(measures) {
  const first = Array.isArray(measures) ? measures[0] : undefined
  return QUALITY_FIELDS.map((field) => number(first?.[field]))
}

/** @param {unknown} value */
function number(value) {
  // Six digits are more than a screen shows, and a third of the bytes.
  return typeof value === 'number' && Number.isFinite(value) ? Number(value.toPrecision(6)) : null
}

/** @param {number} numFields @returns {Curves} */
function createCurves(numFields) {
  const columns = () => Array.from({ length: numFields }, () => /** @type {number[]} */ ([]))
  return { width: 1, starts: [], count: columns(), sum: columns(), low: columns(), high: columns(), last: -1 }
}

/**
 * A run that went on from a checkpoint repeats steps: what had been heard after the checkpoint goes, and comes again.
 * @param {Curves} curves @param {number} step @param {readonly (number | null)[]} values
 */
function addPoint(curves, step, values) {
  if (step <= curves.last) cutCurves(curves, step)
  curves.last = step
  const start = Math.floor(step / curves.width) * curves.width
  const { starts, count, sum, low, high } = curves
  if (starts.at(-1) !== start) {
    starts.push(start)
    for (const columns of [count, sum, low, high]) for (const column of columns) column.push(0)
  }
  const at = starts.length - 1
  values.forEach((value, field) => {
    if (value === null || count[field] === undefined) return
    const isFirst = count[field][at] === 0
    low[field][at] = isFirst ? value : Math.min(low[field][at], value)
    high[field][at] = isFirst ? value : Math.max(high[field][at], value)
    sum[field][at] += value
    count[field][at]++
  })
  if (starts.length >= 2 * MAX_POINTS) joinNeighbours(curves)
}

/** Points are exact up to 3,200 steps; one that covers several steps and begins before the cut stays whole. @param {Curves} curves @param {number} step */
function cutCurves({ starts, count, sum, low, high }, step) {
  const at = starts.findIndex((start) => start >= step)
  if (at < 0) return
  starts.length = at
  for (const columns of [count, sum, low, high]) for (const column of columns) column.length = at
}

/** @param {Curves} curves */
function joinNeighbours(curves) {
  curves.width *= 2
  const { width, starts, count, sum, low, high } = curves
  let to = -1
  for (const [from, before] of starts.entries()) {
    const start = Math.floor(before / width) * width
    const isNew = to < 0 || starts[to] !== start
    if (isNew) starts[++to] = start
    for (const field of count.keys()) {
      if (isNew || count[field][to] === 0) {
        for (const columns of [count, sum, low, high]) columns[field][to] = columns[field][from]
      } else if (count[field][from] > 0) {
        low[field][to] = Math.min(low[field][to], low[field][from])
        high[field][to] = Math.max(high[field][to], high[field][from])
        sum[field][to] += sum[field][from]
        count[field][to] += count[field][from]
      }
    }
  }
  starts.length = to + 1
  for (const columns of [count, sum, low, high]) for (const column of columns) column.length = to + 1
}

/** Everything that the page shows of one run's events; plain data, so that it travels as JSON. */
export function createModel() {
  return {
    runId: '',
    maxTrainSteps: 0,
    /** Optimiser updates applied. */
    step: 0,
    numEvents: 0,
    /** Milliseconds since 1970 of the first event and of the last. */
    firstTime: 0,
    lastTime: 0,
    curves: createCurves(STEP_FIELDS.length),
    heldOut: createCurves(HELD_OUT_FIELDS.length),
    quality: createCurves(QUALITY_FIELDS.length),
    /** The newest rows of steps: time, then the milliseconds of each stage. @type {(number | null)[][]} */
    recent: [],
    /** Steps with a sample grid. @type {number[]} */
    samples: [],
    numWarnings: 0,
    /** The newest of them. @type {{ time: number, code: string, message: string }[]} */
    warnings: [],
    /** Starts, readiness and losses of workers. @type {{ time: number, state: string, generation: number, message: string }[]} */
    lives: [],
    /** The last words of the run, until it goes on. @type {{ outcome: string, message: string } | null} */
    end: null,
  }
}

/** @typedef {ReturnType<typeof createModel>} Model */

/** Takes one event in. @param {Model} model @param {Row | Other} row */
export function addRow(model, row) {
  model.numEvents++
  model.lastTime = Number(Array.isArray(row) ? row[2] : row.time) || model.lastTime
  model.firstTime ||= model.lastTime
  if (!Array.isArray(row)) return addOther(model, row)
  const [kind, step, time, ...values] = row
  if (kind !== 'step') return addPoint(model[kind], step, values)
  addPoint(model.curves, step, values)
  model.step = step + 1
  model.recent.push([step, time, ...values.slice(FIRST_STAGE)])
  // In one go now and then: shifting at every step would move the whole array.
  if (model.recent.length > NUM_RECENT + 64) model.recent.splice(0, 64)
}

/** @param {Model} model @param {any} event */
function addOther(model, event) {
  switch (event.kind) {
    case 'run':
      model.runId = String(event.runId)
      model.maxTrainSteps = Number(event.maxTrainSteps)
      model.end = null
      break
    case 'worker':
      model.lives.push({ time: event.time, state: String(event.state), generation: event.generation, message: String(event.message) })
      if (model.lives.length > NUM_LIVES) model.lives.shift()
      if (event.state === 'ready') model.recent = []
      break
    case 'sample':
      if (!model.samples.includes(event.step)) model.samples.push(event.step)
      model.samples.sort((a, b) => a - b)
      break
    case 'warning':
      model.numWarnings++
      model.warnings.push({ time: event.time, code: String(event.code), message: String(event.message) })
      if (model.warnings.length > NUM_WARNINGS) model.warnings.shift()
      break
    case 'end':
      model.end = { outcome: String(event.outcome), message: String(event.message) }
      break
    default:
  }
}

/**
 * A curve's points: the step in the middle of each, its mean, least and greatest value. Steps without a value have no point.
 * @param {Curves} curves @param {number} field
 */
export function readCurve({ width, starts, count, sum, low, high }, field) {
  /** @type {{ x: number[], mean: number[], low: number[], high: number[] }} */
  const curve = { x: [], mean: [], low: [], high: [] }
  for (const [at, start] of starts.entries()) {
    const n = count[field][at]
    if (n === 0) continue
    curve.x.push(start + (width - 1) / 2)
    curve.mean.push(sum[field][at] / n)
    curve.low.push(low[field][at])
    curve.high.push(high[field][at])
  }
  return curve
}

/** Of the newest steps: steps per second, and 50th and 95th percentile of each stage in milliseconds. @param {Model} model */
export function summarizeRecent({ recent }) {
  const [first, last] = [recent[0], recent.at(-1)]
  const seconds = first && last ? (Number(last[1]) - Number(first[1])) / 1000 : 0
  const stages = STAGES.map((name, index) => {
    const sorted = recent.map((row) => row[index + 2] ?? 0).toSorted((a, b) => a - b)
    const at = (/** @type {number} */ share) => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? 0
    return { name, p50: at(0.5), p95: at(0.95) }
  })
  return {
    stepsPerSecond: seconds > 0 && last && first ? (Number(last[0]) - Number(first[0])) / seconds : null,
    numSteps: recent.length,
    stages,
  }
}
