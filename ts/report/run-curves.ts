/** A run as curves: the quality of its samples over optimiser updates and over training time. */
import type { RunEventOf } from '../../protocol/index.ts'
import { readRunEvents } from './events.ts'

export interface RunCurves {
  /** As the last start of the run left it; undefined: it is under way, or was cut off. */
  readonly outcome: RunEventOf<'end'>['outcome'] | undefined
  /** Each measured step and number of inference steps once, in their order: the newest, where a run was resumed from before it. */
  readonly evaluations: readonly Evaluation[]
  /** Training time of all steps: waiting, staging and training, without sampling, measuring, saving and starting. */
  readonly trainSeconds: number
  readonly numSteps: number
  /** Mean gain of the assignment over the steps; null without a step. */
  readonly gain: number | null
  /** SHA-256 of weights, optimiser and EMA at the newest checkpoint; undefined: there is none. */
  readonly stateSha256: string | undefined
}

export interface Evaluation extends Omit<RunEventOf<'evaluation'>, 'kind' | 'time'> {
  /** Training time until then. */
  readonly seconds: number
}

/** Reads events.jsonl. A step that was trained twice counts once, as the last time. */
export async function readRunCurves(runFolder: string): Promise<RunCurves> {
  const stepMs: number[] = []
  const gains: number[] = []
  const evaluated = new Map<string, RunEventOf<'evaluation'>>()
  let outcome: RunCurves['outcome']
  let stateSha256: string | undefined
  for await (const event of readRunEvents(runFolder)) {
    if (event.kind === 'run') outcome = undefined
    if (event.kind === 'end') outcome = event.outcome
    if (event.kind === 'checkpoint') stateSha256 = event.stateSha256
    if (event.kind === 'evaluation') evaluated.set(`${event.step} ${event.numInferenceSteps}`, event)
    if (event.kind === 'step') {
      const { waitMs, stageMs, trainMs } = event.timeline
      stepMs[event.step] = waitMs + stageMs + trainMs
      gains[event.step] = event.assignment.gain
    }
  }
  const secondsUntil = [0]
  for (const [step, ms] of stepMs.entries()) secondsUntil.push(secondsUntil[step] + (ms ?? 0) / 1000)
  const evaluations = [...evaluated.values()]
    .map(({ kind: _kind, time: _time, ...evaluation }) => ({ ...evaluation, seconds: secondsUntil[evaluation.step] ?? NaN }))
    .toSorted((a, b) => a.step - b.step || a.numInferenceSteps - b.numInferenceSteps)
  const gain = gains.length > 0 ? gains.reduce((sum, value) => sum + value, 0) / gains.length : null
  return { outcome, evaluations, trainSeconds: secondsUntil.at(-1) ?? 0, numSteps: stepMs.length, gain, stateSha256 }
}
