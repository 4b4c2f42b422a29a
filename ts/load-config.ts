/** loadConfig(): defaults < preset < file < environment < flags, as one input for trainImmiscible() and where each value came from. */
import { basename } from 'node:path'
import { resolveConfig, type TrainConfig } from '../protocol/index.ts'
import { readEnvironment } from './config/environment.ts'
import { chooseRun, findConfigFile, readConfigFile } from './config/file.ts'
import { mergeLayers, toLayer, type Layer } from './config/merge.ts'
import { explain, sourceAt, type ConfigValue } from './config/provenance.ts'
import { describeSource } from './config/source.ts'
import { ConfigError } from './errors.ts'
import type { TrainInput } from './prepare.ts'
import { isOwnStrategy, sectionOf } from './strategy.ts'

/** This package, as a config file imports it. From source the modules are TypeScript, in dist JavaScript. */
const SELF = new URL(`./index.${import.meta.url.endsWith('.ts') ? 'ts' : 'js'}`, import.meta.url)

/** A value given by hand, and the name that it was given under, as `--seed`. */
export interface ConfigFlag {
  /** As in `optimizer.learningRate`. */
  readonly path: string
  readonly value: unknown
  readonly name: string
}

export interface LoadConfigOptions {
  /** Default: the `immiscible.config.*` of the working directory, or none. */
  readonly file?: string
  /** One of the runs that the file names. */
  readonly run?: string
  /** Win over everything. */
  readonly flags?: readonly ConfigFlag[]
  /** Default: this process's own. */
  readonly env?: NodeJS.ProcessEnv
  /** Where a config file is looked for. Default: the working directory. */
  readonly folder?: string
}

export interface LoadedConfig {
  /** For trainImmiscible(). */
  readonly input: TrainInput
  readonly config: TrainConfig
  /** Each leaf of the config. */
  readonly values: readonly ConfigValue[]
  readonly file: string | undefined
  readonly run: string | undefined
}

/** @throws ConfigError with one problem per field, which names the flag, variable or file that it came from. */
export async function loadConfig(options: LoadConfigOptions = {}): Promise<LoadedConfig> {
  const { run: wanted, flags = [], env = process.env, folder = process.cwd() } = options
  const file = options.file ?? findConfigFile(folder)
  if (file === undefined && wanted !== undefined) {
    throw new ConfigError([{ path: '--run', message: `expected a config file that names runs, got none in ${folder}` }])
  }
  const fromFile = file === undefined ? { layers: [] } : chooseRun(options.file ?? basename(file), await readConfigFile(file, SELF), wanted)
  const run = 'run' in fromFile ? fromFile.run : undefined
  const named: Layer[] = run === undefined ? [] : [{ input: { outputDir: `runs/${run}` }, sourceOf: () => ({ kind: 'default' }) }]
  const given = toLayer(flags.map(({ path, value, name }) => ({ path, value, source: { kind: 'flag', name } })))
  const merged = mergeLayers([...named, ...fromFile.layers, readEnvironment(env), given])
  const assignment = merged.input['assignment'] as TrainInput['assignment']
  const written = isOwnStrategy(assignment) ? { ...merged.input, assignment: sectionOf(assignment) } : merged.input
  const resolved = resolveConfig(written)
  if ('problems' in resolved) {
    throw new ConfigError(
      resolved.problems.map(({ path, message }) => {
        const source = sourceAt(path, merged)
        return { path, message: source && source.kind !== 'default' ? `${message} (${describeSource(source)})` : message }
      }),
    )
  }
  return {
    input: merged.input as unknown as TrainInput,
    config: resolved.config,
    values: explain(resolved.config, merged),
    file,
    run,
  }
}
