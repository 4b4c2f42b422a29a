/** Figures as flat, named numbers: the form that trackers take. */
import type { AssignmentMetrics, TelemetryValue } from '../../protocol/index.ts'

/** Every finite number below `figures`, named by its path: { assignment: { gain: 2 } } is `assignment/gain`. What is null or no number is left out. */
export function flattenNumbers(figures: object, prefix = ''): TelemetryValue[] {
  return Object.entries(figures).flatMap(([key, value]: [string, unknown]) => {
    if (typeof value === 'number' && Number.isFinite(value)) return [{ name: prefix + key, value }]
    return typeof value === 'object' && value !== null ? flattenNumbers(value, `${prefix}${key}/`) : []
  })
}

/** What the orchestrator knows of a batch, as it goes with it. */
export function batchTelemetry(batch: {
  readonly assignment: AssignmentMetrics
  readonly noiseMs: number
  readonly assignMs: number
  readonly measureMs: number
}): TelemetryValue[] {
  const { assignment, noiseMs, assignMs, measureMs } = batch
  return flattenNumbers({ assignment, timeline: { noiseMs, assignMs, measureMs } })
}
