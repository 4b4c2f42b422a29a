/** Real runs for tests: a network of a few thousand weights, one torch thread, a folder that goes away. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'
import type { RunEvent, RunEventOf, TrainInput } from '../../ts/index.ts'

export const TINY = {
  dataset: { kind: 'digits' },
  objective: { kind: 'ddim' },
  assignment: { kind: 'quantized' },
  network: {
    blockOutChannels: [8, 8],
    downBlockTypes: ['DownBlock2D', 'DownBlock2D'],
    upBlockTypes: ['UpBlock2D', 'UpBlock2D'],
    normNumGroups: 4,
    dropout: 0.1,
  },
  optimizer: { lrWarmupSteps: 10 },
  sampling: { everySteps: 0, numImages: 4, numInferenceSteps: 2 },
  checkpoint: { everySteps: 10 },
  worker: { device: 'cpu', numThreads: 1 },
  globalBatchSize: 8,
  maxTrainSteps: 60,
  seed: 5,
} satisfies Omit<TrainInput, 'outputDir'>

/** A new folder, deleted when the test ends. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'immiscible-e2e-'))
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

export function readEvents(runFolder: string): RunEvent[] {
  return readFileSync(join(runFolder, 'events.jsonl'), 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as RunEvent)
}

export function eventsOf<K extends RunEvent['kind']>(events: readonly RunEvent[], kind: K): RunEventOf<K>[] {
  return events.filter((event): event is RunEventOf<K> => event.kind === kind)
}

export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}

/** Waits until `holds` answers something, or throws after `seconds`. */
export async function until<T>(what: string, seconds: number, holds: () => T | undefined | false): Promise<T> {
  const deadline = performance.now() + seconds * 1000
  while (performance.now() < deadline) {
    const value = holds()
    if (value) return value
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  throw new Error(`waited ${seconds} s for ${what}`)
}
