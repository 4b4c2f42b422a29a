/** withMetric(): a run whose samples or checkpoints are measured in Python while it trains on. */
import type { RunEvent } from '../../protocol/index.ts'
import { createEventStream } from '../event-stream.ts'
import { computeMetric } from './metric.ts'
import type { Python } from './open.ts'

const EVENTS_KEPT = 1024
const OUTCOMES = ['METRIC_FAILED', 'EVENTS_DROPPED'] as const

export interface MetricEvent {
  readonly kind: 'metric'
  /** Milliseconds since 1970; for reading only. */
  readonly time: number
  /** Optimiser updates when what was measured was made. */
  readonly step: number
  readonly name: string
  /** What the function returned. */
  readonly value: unknown
  /** What was measured: the PNG of a grid, or the folder of a checkpoint. */
  readonly path: string
  readonly durationMs: number
}

export interface WithMetricOptions {
  /** As for computeMetric(): it gets the path of the event. */
  readonly metric: string
  /** Which events are measured; sample. */
  readonly on?: 'sample' | 'checkpoint'
  /** Of the metric in its events; the function's. */
  readonly name?: string
  /** The function's keyword arguments. */
  readonly options?: Readonly<Record<string, unknown>>
  /** For one call; none. */
  readonly timeoutMs?: number
}

/** What trainImmiscible() and resumeImmiscible() answer, and withMetric() too. */
export interface MeasurableRun<T, E extends { readonly kind: string }> extends Promise<T>, AsyncIterable<E> {
  stop(): void
}

export type Measured<T> = T & {
  /** Of each call of withMetric() by its metric's name, in the order of steps. */
  readonly series: Readonly<Record<string, readonly MetricEvent[]>>
}

/**
 * The run, measured: its events and a `metric` event for each value; its result has all values as `series`. Training never waits for a metric.
 * One that raises, takes too long or loses its Python is a warning (METRIC_FAILED), and the run goes on. After the run has ended, the result
 * waits for the metrics that are still to be computed. Use the run only through what this answers; several metrics: wrap it again.
 */
export function withMetric<T extends object, E extends { readonly kind: string }>(
  run: MeasurableRun<T, E>,
  python: Python,
  options: WithMetricOptions,
): MeasurableRun<Measured<T>, E | MetricEvent | Extract<RunEvent, { kind: 'warning' }>> {
  type Warning = Extract<RunEvent, { kind: 'warning' }>
  const { metric, on = 'sample', name = metric.slice(metric.lastIndexOf(':') + 1), options: keywords = {}, timeoutMs } = options
  const warn = (code: (typeof OUTCOMES)[number], message: string): Warning => ({ kind: 'warning', time: Date.now(), code, message })
  const events = createEventStream<E | MetricEvent | Warning>(EVENTS_KEPT, (count) =>
    warn('EVENTS_DROPPED', `${count} events were dropped, since nobody read them; events.jsonl has them all but those of metrics`),
  )
  const series: MetricEvent[] = []

  async function measure(step: number, path: string): Promise<void> {
    const started = performance.now()
    try {
      const value = await computeMetric(python, metric, path, keywords, timeoutMs === undefined ? {} : { timeoutMs })
      const event = { kind: 'metric' as const, time: Date.now(), step, name, value, path, durationMs: performance.now() - started }
      series.push(event)
      events.push(event)
    } catch (error) {
      events.push(warn('METRIC_FAILED', `metric of step ${step}: ${(error as Error).message}`))
    }
  }

  async function follow(): Promise<Measured<T>> {
    // One after the other, as Python answers them: their steps stay in order.
    let measured = Promise.resolve()
    for await (const event of run) {
      events.push(event)
      if (event.kind !== on) continue
      const { step, path } = event as unknown as Extract<RunEvent, { kind: 'sample' | 'checkpoint' }>
      measured = measured.then(() => measure(step, path))
    }
    const result = await run
    await measured
    const before = (result as Partial<Measured<T>>).series
    return { ...result, series: { ...before, [name]: series } }
  }

  const promise = follow()
  promise.then(
    () => events.end(),
    (error: Error) => events.end(error),
  )
  return Object.assign(promise, {
    stop: () => run.stop(),
    [Symbol.asyncIterator]() {
      promise.catch(() => undefined) // the reader of events gets the error thrown there
      return events[Symbol.asyncIterator]()
    },
  })
}
