import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import type { NoiseDrift, RunEvent } from '../../../ts/index.ts'
import { createStatus } from '../../../ts/cli/status.ts'

beforeEach(() => {
  vi.stubEnv('CI', '')
  vi.stubEnv('TERM', 'xterm')
})
afterEach(() => vi.unstubAllEnvs())

const RUN: RunEvent = { kind: 'run', time: 0, runId: 'r', runFolder: '/runs/a', maxTrainSteps: 100 }
const NO_DRIFT: NoiseDrift = {
  norm: 1,
  normDeviation: 0.3,
  meanDeviation: -1.9,
  varianceDeviation: 1.2,
  classMean: 0.5,
  classMeanDeviation: 23,
}
const step = (at: number, drift: NoiseDrift): RunEvent => ({
  kind: 'step',
  time: 0,
  generation: 0,
  step: at,
  epoch: 0,
  loss: 0.5,
  gradNorm: 1,
  learningRate: 0.001,
  emaDecay: 0.9,
  timeline: { noiseMs: 1, assignMs: 2, measureMs: 0.1, wireMs: 0.3, stageMs: 0, waitMs: 0.5, trainMs: 40 },
  assignment: { numMoved: 1, preCost: 10, postCost: 9.8, preGain: 0, gain: 1.5, dualGap: 0.001, drift },
  batchSha256: '',
})

function show(isTTY: boolean, columns = 200, drift = NO_DRIFT): string {
  let text = ''
  let clock = 0
  const status = createStatus({ isTTY, columns, write: (part: string) => (text += part) }, () => (clock += 50))
  status.show(RUN)
  for (let at = 0; at < 100; at++) status.show(step(at, drift))
  return text
}

test('a terminal gets one line that changes in place', () => {
  const text = show(true)
  expect(text).toContain('\r\u001b[Kstep 100/100')
  expect(text).toMatch(/20\.0 steps\/s {2}ETA 0:0\d {2}loss 0\.5000 {2}gain 1\.50 {2}assign 3\.0 ms {2}wait 0\.5 ms/)
  expect(text.split('\n')).toHaveLength(2)
})

test('a pipe gets plain lines, seldom, and the last step', () => {
  const text = show(false)
  expect(text).not.toContain('\u001b')
  expect(text).not.toContain('\r')
  expect(text.split('\n').length).toBeLessThan(6)
  expect(text).toContain('step 100/100')
})

test('a narrow terminal is never wrapped, and has whole fields', () => {
  for (const part of show(true, 24).split('\r\u001b[K').slice(1)) expect(part.length).toBeLessThan(24)
  expect(show(true, 60)).toMatch(/ETA 0:0\d {2}loss 0\.5000 {2}gain 1\.50(\r|$|\n)/)
})

test('drift is marked beside the gain once it is beyond chance, whichever part of it; the mean per class alone is no mark', () => {
  expect(show(true)).not.toContain('drift')
  expect(show(true, 200, { ...NO_DRIFT, normDeviation: -5.6 })).toMatch(/gain 1\.50 {2}drift -6 se {2}assign/)
  expect(show(true, 200, { ...NO_DRIFT, meanDeviation: 7 })).toContain('drift 7 se')
  expect(show(true, 200, { ...NO_DRIFT, varianceDeviation: -9 })).toContain('drift -9 se')
  expect(show(true, 200, { ...NO_DRIFT, meanDeviation: null, varianceDeviation: null })).not.toContain('drift')
})
