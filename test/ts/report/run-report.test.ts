import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { hashConfig, runEvent, type RunEvent, type WorkerEvent } from '../../../protocol/index.ts'
import { createStrategy } from '../../../ts/assignment/table.ts'
import { loadDigits } from '../../../ts/dataset/digits.ts'
import { threadKernel } from '../../../ts/kernel/simd/simd.ts'
import { createPoolSource } from '../../../ts/pipeline/source.ts'
import { createRunFolder } from '../../../ts/report/run-folder.ts'
import { createRunReport } from '../../../ts/report/run-report.ts'
import { testConfig } from '../../fixture/config.ts'

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'immiscible-test-'))
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

const done = (step: number): WorkerEvent => ({
  kind: 'stepDone',
  step,
  loss: 1 / (step + 1),
  gradNorm: 1,
  learningRate: 0.001,
  emaDecay: 0,
  trainMs: 5,
  waitMs: 0,
  stageMs: 0,
  batchSha256: '',
})

const config = testConfig({ globalBatchSize: 32 })

function create(outputDir = join(folder, 'run')): ReturnType<typeof createRunFolder> {
  const inFolder = { ...config, outputDir }
  const manifest = {
    format: 'immiscible-run/1',
    runId: '0'.repeat(32),
    configHash: hashConfig(inFolder),
    datasetSha256: '',
    protocolVersion: 1,
    createdAt: '',
  } as const
  return createRunFolder(inFolder, manifest)
}

test('what a worker says at a resume of another environment is a warning of the run', () => {
  using run = create()
  const heard: RunEvent[] = []
  const report = createRunReport(run, (event) => heard.push(event))
  const message = 'resume is not bit-exact: number of torch threads 1 -> 2'
  const names = ['python', 'torch', 'diffusers', 'device', 'cpuCapability', 'platform'] as const
  const fingerprint = {
    ...(Object.fromEntries(names.map((name) => [name, name])) as Record<(typeof names)[number], string>),
    numThreads: 2,
  }
  report.heard({ kind: 'ready', step: 5, resumedFrom: 'step-5', numParameters: 1, fingerprint, warnings: [message] })
  expect(heard).toMatchObject([
    { kind: 'worker', state: 'ready', step: 5 },
    { kind: 'warning', code: 'WORKER', message },
  ])
})

test('a step event carries the telemetry of its batch, and the result its means', () => {
  using run = create()
  const heard: RunEvent[] = []
  const report = createRunReport(run, (event) => heard.push(event))
  expect(report.metrics()).toBe(undefined)
  const source = createPoolSource(config, loadDigits(), createStrategy(config.assignment), threadKernel())
  const batches = [0, 1, 2].flatMap((pool) => source.pool(pool))
  for (const batch of batches) {
    report.prepared(batch)
    report.heard(done(batch.step))
  }
  const lines = readFileSync(join(run.path, 'events.jsonl'), 'utf8').trim().split('\n')
  expect(lines.map((line) => runEvent.parse(JSON.parse(line)))).toEqual(heard)
  heard.forEach((event, at) => {
    const { assignment, noiseMs, assignMs, measureMs } = batches[at]
    expect(event).toMatchObject({ kind: 'step', assignment, timeline: { noiseMs, assignMs, measureMs } })
  })
  const mean = (value: (batch: (typeof batches)[number]) => number): number => batches.reduce((sum, batch) => sum + value(batch), 0) / 3
  const metrics = report.metrics()
  expect(metrics?.noiseNorm).toBeCloseTo(
    mean(({ assignment }) => assignment.drift.norm),
    12,
  )
  expect(metrics?.classMean).toBeCloseTo(
    mean(({ assignment }) => assignment.drift.classMean as number),
    12,
  )
  expect(metrics?.gain).toBeCloseTo(
    mean(({ assignment }) => assignment.gain),
    12,
  )
})
