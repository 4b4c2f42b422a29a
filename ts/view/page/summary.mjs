/** The figures of a run in a few words: the same in the report's page and in its Markdown. */
// @ts-check
import { HELD_OUT_FIELDS, readCurve, STEP_FIELDS, summarizeRecent } from './model.mjs'

/** Steps at the end over which a curve is averaged. */
const NUM_LAST = 100

/**
 * Pairs of what and how much.
 * @param {{ model: import('./model.mjs').Model, state: { status: string } }} run
 * @returns {[string, string][]}
 */
export function summarizeRun({ model, state }) {
  const last = (/** @type {typeof STEP_FIELDS[number]} */ field) => lastMean(readCurve(model.curves, STEP_FIELDS.indexOf(field)))
  const heldOut = (/** @type {typeof HELD_OUT_FIELDS[number]} */ field) =>
    readCurve(model.heldOut, HELD_OUT_FIELDS.indexOf(field)).mean.at(-1)
  const { stepsPerSecond } = summarizeRecent(model)
  const seconds = (model.lastTime - model.firstTime) / 1000
  return [
    ['outcome', state.status],
    ['steps', `${model.step} of ${model.maxTrainSteps}`],
    [`loss, mean of the last ${NUM_LAST} steps`, show(last('loss'))],
    ['held-out loss', show(heldOut('loss'))],
    ['held-out loss, EMA weights', show(heldOut('emaLoss'))],
    [`gain, mean of the last ${NUM_LAST} steps`, show(last('gain'))],
    ['gain before the assignment', show(last('preGain'))],
    ['change of the distance', show(last('distanceChange'))],
    ['noise norm', show(last('norm'))],
    ['class mean', show(last('classMean'))],
    ['seconds from first to last event', show(seconds)],
    ['steps per second, newest', show(stepsPerSecond ?? undefined)],
    ['warnings', String(model.numWarnings)],
    ['workers lost', String(model.lives.filter((life) => life.state === 'gone').length)],
  ]
}

/** @param {number | undefined} value */
function show(value) {
  return value === undefined ? '–' : String(Number(value.toPrecision(4)))
}

/** @param {ReturnType<typeof readCurve>} curve */
function lastMean({ x, mean }) {
  const from = (x.at(-1) ?? 0) - NUM_LAST
  const values = mean.filter((_, at) => x[at] > from)
  return values.length > 0 ? values.reduce((sum, value) => sum + value, 0) / values.length : undefined
}

/**
 * Every value below `value`, named by its path.
 * @param {unknown} value @param {string} [path]
 * @returns {[string, string][]}
 */
export function flatten(value, path = '') {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return [[path, JSON.stringify(value)]]
  return Object.entries(value).flatMap(([key, below]) => flatten(below, path ? `${path}.${key}` : key))
}
