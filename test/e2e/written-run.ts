/** Run folders with events of known numbers, for pages: as a run writes them, without training. */
import { appendFileSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { resolveConfig, hashConfig, PROTOCOL_VERSION, type RunEvent, type RunEventOf } from '../../protocol/index.ts'

const BEGAN = 1_800_000_000_000
export const HOSTILE = '<img src=x onerror="alert(1)"></script><script>alert(2)</script>'
/** A PNG of one pixel. */
const PIXEL = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNoAAAAggCBd81ytgAAAABJRU5ErkJggg=='

/** The loss at a step: what a page must show. */
export const lossAt = (step: number): number => 1 / (1 + step / 100)

export const qualityAt = (step: number): number => 40 / (1 + step / 100)

const evaluation = {
  kind: 'evaluation',
  numInferenceSteps: 50,
  numImages: 100,
  features: 'classifier',
  featuresSha256: '0'.repeat(64),
  reference: 'half of the 200 images of digits',
  numReference: 100,
  durationMs: 1,
} as const

function stepEvent(step: number): RunEventOf<'step'> {
  const wave = Math.sin(step / 7)
  return {
    kind: 'step',
    time: BEGAN + step * 20,
    generation: 0,
    step,
    epoch: 0,
    batchSha256: '0'.repeat(64),
    emaDecay: 0.99,
    loss: lossAt(step),
    gradNorm: 1 + 0.3 * Math.abs(wave),
    learningRate: Math.min(1, step / 100) * 1e-3,
    timeline: { noiseMs: 1, assignMs: 4 + wave, measureMs: 0.4, wireMs: 2, stageMs: 0.5, waitMs: 0.1, trainMs: 12 + wave },
    assignment: {
      numMoved: 7,
      preCost: 10,
      postCost: 9.7 + 0.1 * wave,
      preGain: 0.1 * wave,
      gain: 1 + 0.1 * wave,
      dualGap: null,
      drift: {
        norm: 1 + 0.02 * wave,
        normDeviation: wave,
        meanDeviation: -wave,
        varianceDeviation: wave / 2,
        classMean: 0.4,
        classMeanDeviation: 3 + wave,
      },
    },
  }
}

export function writeEvents(folder: string, events: readonly RunEvent[]): void {
  appendFileSync(join(folder, 'events.jsonl'), events.map((event) => `${JSON.stringify(event)}\n`).join(''))
}

export function steps(from: number, to: number): RunEvent[] {
  return Array.from({ length: to - from }, (_, at) => stepEvent(from + at))
}

/** A run of `numSteps` of `maxTrainSteps`, with samples each hundred steps and a warning that tries to be a page. */
export function writeRun(folder: string, numSteps: number, { maxTrainSteps = numSteps, poolSize = 32, isEnded = true } = {}): void {
  mkdirSync(join(folder, 'samples'), { recursive: true })
  const resolved = resolveConfig({
    dataset: { kind: 'digits' },
    globalBatchSize: 32,
    maxTrainSteps,
    outputDir: folder,
    assignment: { kind: 'quantized', poolSize },
  })
  if ('problems' in resolved) throw new Error(JSON.stringify(resolved.problems))
  const runId = 'ab'.repeat(16)
  const { config } = resolved
  writeFileSync(join(folder, 'config.json'), JSON.stringify(config))
  writeFileSync(join(folder, 'environment.json'), JSON.stringify({ worker: { torch: '0.0.0' } }))
  writeFileSync(join(folder, 'worker.log'), 'the worker says hello\n')
  const manifest = { format: 'immiscible-run/1', runId, configHash: hashConfig(config), datasetSha256: '0'.repeat(64) }
  writeFileSync(
    join(folder, 'run.json'),
    JSON.stringify({ ...manifest, protocolVersion: PROTOCOL_VERSION, createdAt: new Date(BEGAN).toISOString() }),
  )
  const begin: RunEvent[] = [
    { kind: 'run', time: BEGAN, runId, runFolder: folder, maxTrainSteps },
    { kind: 'worker', time: BEGAN, state: 'ready', generation: 0, step: 0, pid: 1, message: 'from the start' },
    { kind: 'warning', time: BEGAN, code: 'HOSTILE', message: HOSTILE },
  ]
  writeEvents(folder, begin)
  const CHUNK = 10_000
  for (let from = 0; from < numSteps; from += CHUNK) writeEvents(folder, steps(from, Math.min(numSteps, from + CHUNK)))
  for (let step = 100; step <= Math.min(numSteps, 1000); step += 100) {
    const path = join(folder, 'samples', `step-${String(step).padStart(12, '0')}.png`)
    writeFileSync(path, Buffer.from(PIXEL, 'base64'))
    writeEvents(folder, [
      { kind: 'sample', time: BEGAN + step * 20, step, path },
      { kind: 'validation', time: BEGAN + step * 20, step, loss: lossAt(step) + 0.01, emaLoss: lossAt(step) + 0.02, numImages: 100 },
      {
        ...evaluation,
        time: BEGAN + step * 20,
        step,
        measures: [{ name: 'fdClassifier', value: qualityAt(step), low: null, high: null, floor: 0.4 }],
      },
    ])
  }
  if (isEnded) writeEvents(folder, [{ kind: 'end', time: BEGAN + numSteps * 20, outcome: 'finished', step: numSteps, message: 'done' }])
}
