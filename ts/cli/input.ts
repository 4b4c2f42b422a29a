/** The config of a run from flags and file. */
import { readFileSync } from 'node:fs'
import { ConfigError, type TrainInput } from '../index.ts'

export interface TrainFlags {
  config?: string
  dataset?: string
  imageScale?: number
  objective?: string
  network?: string
  assignment?: string
  poolSize?: number
  globalBatchSize?: number
  maxTrainSteps?: number
  learningRate?: number
  seed?: number
  device?: string
  outputDir?: string
  listen?: string
  keyFile?: string
  clientKey?: string[]
}

/** Flags over file. Names stay unchecked here: the schema knows them, and says what it expected. */
export function toInput(flags: TrainFlags): TrainInput {
  const {
    config: file,
    dataset,
    imageScale,
    objective,
    assignment,
    poolSize,
    learningRate,
    device,
    listen,
    keyFile,
    clientKey,
    ...top
  } = flags
  const config = file === undefined ? {} : readConfig(file)
  const section = (name: string, values: Record<string, unknown>): Record<string, unknown> => {
    const given = Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined))
    // A name alone is the short form of a section.
    const below = typeof config[name] === 'string' ? { kind: config[name] } : config[name]
    // Another kind brings its own fields: those of the file's kind do not apply to it.
    const base =
      typeof below === 'object' &&
      below !== null &&
      (given['kind'] ?? (below as { kind?: unknown }).kind) === (below as { kind?: unknown }).kind
        ? below
        : {}
    return Object.keys(given).length > 0 ? { [name]: { ...base, ...given } } : {}
  }
  return {
    ...config,
    ...section('dataset', { kind: dataset, imageScale }),
    ...section('objective', { kind: objective }),
    ...section('assignment', {
      kind: assignment ?? (poolSize === undefined || config['assignment'] !== undefined ? undefined : 'quantized'),
      poolSize,
    }),
    ...section('optimizer', { learningRate }),
    ...section('worker', { device, listen: toListen(config['worker'], { address: listen, keyFile, clientKeys: clientKey }) }),
    ...top,
  } as unknown as TrainInput
}

/** Flags over what the file says below `worker.listen`. */
function toListen(worker: unknown, flags: Record<string, unknown>): object | undefined {
  const given = Object.fromEntries(Object.entries(flags).filter(([, value]) => value !== undefined))
  const below = (worker as { listen?: object | null } | undefined)?.listen
  return Object.keys(given).length > 0 ? { ...below, ...given } : undefined
}

function readConfig(file: string): Record<string, unknown> {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as Record<string, unknown>
  } catch (error) {
    throw new ConfigError([{ path: '--config', message: `expected a JSON file, got ${file}: ${(error as Error).message}` }])
  }
}
