/** readRunCurves(): events.jsonl of a run that was cut off and resumed, as the curves of what it trained in the end. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { runEvent, type RunEvent, type RunEventOf } from '../../../protocol/index.ts'
import { readRunCurves } from '../../../ts/report/run-curves.ts'

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'immiscible-test-'))
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

const started: RunEvent = { kind: 'run', time: 0, runId: '', runFolder: '', maxTrainSteps: 4 }

const ended = (outcome: RunEventOf<'end'>['outcome']): RunEvent => ({ kind: 'end', time: 0, outcome, step: 4, message: '' })

/** 1,000 ms of training, 200 of staging and 50 of waiting, unless it took longer to train; what else is in the timeline does not count. */
function trained(step: number, gain: number, trainMs = 1000): RunEvent {
  const drift = { norm: 1, normDeviation: 0, meanDeviation: null, varianceDeviation: null, classMean: null, classMeanDeviation: null }
  return {
    kind: 'step',
    time: 0,
    generation: 1,
    step,
    epoch: 0,
    loss: 1,
    gradNorm: 1,
    learningRate: 0.001,
    emaDecay: 0,
    timeline: { noiseMs: 7, assignMs: 7, measureMs: 7, wireMs: 7, stageMs: 200, waitMs: 50, trainMs },
    assignment: { numMoved: 0, preCost: 1, postCost: 1, preGain: 0, gain, dualGap: null, drift },
    batchSha256: '',
  }
}

function evaluated(step: number, value: number, numInferenceSteps = 20): RunEvent {
  return {
    kind: 'evaluation',
    time: 0,
    step,
    numInferenceSteps,
    numImages: 16,
    features: 'pixels',
    featuresSha256: null,
    reference: 'digits',
    numReference: 16,
    measures: [{ name: 'fid', value, low: null, high: null, floor: null }],
    durationMs: 1,
  }
}

async function curvesOf(events: readonly RunEvent[], tail = ''): ReturnType<typeof readRunCurves> {
  const lines = events.map((event) => JSON.stringify(runEvent.parse(event)))
  writeFileSync(join(folder, 'events.jsonl'), `${lines.join('\n')}\n${tail}`)
  return readRunCurves(folder)
}

const valuesOf = ({ evaluations }: Awaited<ReturnType<typeof readRunCurves>>): unknown[] =>
  evaluations.map(({ step, numInferenceSteps, seconds, measures }) => [step, numInferenceSteps, seconds, measures[0].value])

test('a run without a break: training time and quality by step', async () => {
  const curves = await curvesOf([
    started,
    trained(0, 1),
    trained(1, 2),
    evaluated(2, 9),
    trained(2, 3),
    trained(3, 4, 3000),
    evaluated(4, 5),
    ended('finished'),
  ])
  expect(valuesOf(curves)).toEqual([
    [2, 20, 2.5, 9],
    [4, 20, 7, 5],
  ])
  expect(curves).toMatchObject({ outcome: 'finished', trainSeconds: 7, numSteps: 4, gain: 2.5 })
})

test('steps that were trained again after a resume count once, as the last time; so do measurements', async () => {
  const before = [started, trained(0, 1), evaluated(1, 9), trained(1, 100, 9000), evaluated(2, 99), trained(2, 100)]
  const after = [started, trained(1, 2, 2000), evaluated(2, 7), trained(2, 3), evaluated(3, 6), ended('finished')]
  const curves = await curvesOf([...before, ...after])
  expect(valuesOf(curves)).toEqual([
    [1, 20, 1.25, 9],
    [2, 20, 3.5, 7],
    [3, 20, 4.75, 6],
  ])
  expect(curves).toMatchObject({ outcome: 'finished', trainSeconds: 4.75, numSteps: 3, gain: 2 })
})

test('several numbers of inference steps are several curves, in their order', async () => {
  const curves = await curvesOf([started, trained(0, 1), evaluated(1, 3, 100), evaluated(1, 8, 5), evaluated(1, 5, 20)])
  expect(valuesOf(curves)).toEqual([
    [1, 5, 1.25, 8],
    [1, 20, 1.25, 5],
    [1, 100, 1.25, 3],
  ])
})

test('the outcome is that of the last start: none while the run goes on, or where it was killed', async () => {
  expect((await curvesOf([started, trained(0, 1), ended('stopped')])).outcome).toBe('stopped')
  expect((await curvesOf([started, trained(0, 1), ended('stopped'), started, trained(1, 1)])).outcome).toBe(undefined)
})

test('a line that a crash cut short is passed over; a run without a step has no gain', async () => {
  expect(await curvesOf([started], '{"kind":"step","st')).toMatchObject({
    outcome: undefined,
    evaluations: [],
    trainSeconds: 0,
    numSteps: 0,
    gain: null,
  })
})
