/** How a run looks in a terminal: one line that changes in place, or plain lines now and then where there is no terminal. */
import type { MeasureValue, NoiseDrift, RunEvent, RunEventOf } from '../index.ts'

const PLAIN_LINE_MS = 10_000
const REDRAW_MS = 100
const GAP = '  '
/** Weight of the newest step in the smoothed figures. */
const SMOOTHING = 0.05
/** Standard errors, smoothed over steps, from which on a drift is shown. A single step reaches them by chance once in thousands. */
const DRIFT_SHOWN = 4

export interface Output {
  readonly isTTY?: boolean
  readonly columns?: number
  write(text: string): unknown
}

export interface Status {
  show(event: RunEvent): void
  line(text: string): void
}

export function createStatus(output: Output, now: () => number = () => performance.now()): Status {
  const isLive = output.isTTY === true && !process.env['CI'] && process.env['TERM'] !== 'dumb'
  let maxTrainSteps = 0
  let lastDrawn = -Infinity
  let hasOpenLine = false
  let smooth: { stepMs: number; loss: number; gain: number; drift: number; assignMs: number; waitMs: number; at: number } | undefined

  function line(text: string): void {
    if (hasOpenLine) output.write('\r\u001b[K')
    hasOpenLine = false
    output.write(`${text}\n`)
  }

  function step(event: RunEventOf<'step'>): void {
    const at = now()
    const { timeline, assignment } = event
    const fresh = {
      loss: event.loss ?? NaN,
      gain: assignment.gain,
      drift: largestDrift(assignment.drift),
      assignMs: timeline.noiseMs + timeline.assignMs,
      waitMs: timeline.waitMs,
    }
    const mix = (old: number, next: number): number => old + SMOOTHING * (next - old)
    smooth = smooth
      ? {
          stepMs: mix(smooth.stepMs, at - smooth.at),
          loss: mix(smooth.loss, fresh.loss),
          gain: mix(smooth.gain, fresh.gain),
          drift: mix(smooth.drift, fresh.drift),
          assignMs: mix(smooth.assignMs, fresh.assignMs),
          waitMs: mix(smooth.waitMs, fresh.waitMs),
          at,
        }
      : { stepMs: timeline.trainMs + timeline.waitMs + timeline.stageMs, ...fresh, at }
    const done = event.step + 1
    if (at - lastDrawn < (isLive ? REDRAW_MS : PLAIN_LINE_MS) && done < maxTrainSteps) return
    lastDrawn = at
    const fields = [
      `step ${done}/${maxTrainSteps}`,
      `${(1000 / smooth.stepMs).toFixed(1)} steps/s`,
      `ETA ${formatDuration(((maxTrainSteps - done) * smooth.stepMs) / 1000)}`,
      `loss ${smooth.loss.toFixed(4)}`,
      `gain ${smooth.gain.toFixed(2)}`,
      ...(Math.abs(smooth.drift) > DRIFT_SHOWN ? [`drift ${smooth.drift.toFixed(0)} se`] : []),
      `assign ${smooth.assignMs.toFixed(1)} ms`,
      `wait ${smooth.waitMs.toFixed(1)} ms`,
    ]
    if (!isLive) return line(fields.join(GAP))
    const width = Math.max(1, (output.columns ?? 80) - 1)
    // Whole fields: half a figure says less than none.
    while (fields.length > 1 && fields.join(GAP).length > width) fields.pop()
    output.write(`\r\u001b[K${fields.join(GAP).slice(0, width)}`)
    hasOpenLine = true
  }

  return {
    line,
    show(event) {
      switch (event.kind) {
        case 'run':
          maxTrainSteps = event.maxTrainSteps
          return line(`run ${event.runFolder}`)
        case 'worker':
          if (event.state === 'starting')
            return line(event.generation === 0 ? 'starting the worker' : `starting the worker (generation ${event.generation})`)
          smooth = undefined
          return line(event.state === 'ready' ? `worker ready at step ${event.step}: ${event.message}` : `worker gone: ${event.message}`)
        case 'step':
          return step(event)
        case 'validation':
          return line(`held-out loss at step ${event.step}: ${formatLoss(event.loss)}, of the EMA weights ${formatLoss(event.emaLoss)}`)
        case 'evaluation':
          return line(
            `quality at step ${event.step}: ${event.measures.map(formatMeasure).join(', ')}; ${event.numImages} samples of ${event.numInferenceSteps} ` +
              `steps against ${event.reference}, features of ${event.features}`,
          )
        case 'sample':
          return line(`samples at step ${event.step}: ${event.path}`)
        case 'checkpoint':
          return line(`checkpoint at step ${event.step}: ${event.path}`)
        case 'warning':
          return line(`warning ${event.code}: ${event.message}`)
        case 'end':
          return line(`${event.outcome} after ${event.step} steps: ${event.message}`)
      }
    },
  }
}

/**
 * In standard errors, of what every strategy should leave as drawn. Not the mean per class: all that do not look at labels shift it, and it concerns
 * only models that do; the events have it.
 */
function largestDrift({ normDeviation, meanDeviation, varianceDeviation }: NoiseDrift): number {
  return [normDeviation, meanDeviation ?? 0, varianceDeviation ?? 0].reduce((a, b) => (Math.abs(b) > Math.abs(a) ? b : a))
}

function formatMeasure({ name, value, floor }: MeasureValue): string {
  const shown = (one: number | null): string => (one === null ? 'not finite' : one.toPrecision(4))
  return floor === null ? `${name} ${shown(value)}` : `${name} ${shown(value)} (real ${shown(floor)})`
}

function formatLoss(loss: number | null): string {
  return loss === null ? 'not finite' : loss.toFixed(4)
}

function formatDuration(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds))
  const [hours, minutes, rest] = [Math.floor(whole / 3600), Math.floor((whole % 3600) / 60), whole % 60]
  const padded = `${hours > 0 ? String(minutes).padStart(2, '0') : minutes}:${String(rest).padStart(2, '0')}`
  return hours > 0 ? `${hours}:${padded}` : padded
}
