/** IMMISCIBLE_* variables as a layer of the config: IMMISCIBLE_OPTIMIZER__LEARNING_RATE is optimizer.learningRate. */
import { didYouMean, KIND_SECTIONS, listConfigFields, variableOf, type ConfigField } from '../../protocol/index.ts'
import { ConfigError } from '../errors.ts'
import { nameFieldOf, toLayer, type Layer } from './merge.ts'
import { parseConfigValue } from './text.ts'

const PREFIX = 'IMMISCIBLE_'

/** Which Python, where it and data are kept, and whether data may be downloaded. */
const OF_MACHINE = ['PYTHON', 'HOME', 'OFFLINE'].map((name) => PREFIX + name)
/** What an orchestrator tells its worker, since a worker may start a run of its own. */
const OF_WORKER = ['CONFIG_HASH', 'CONTROL', 'DATA', 'GENERATION', 'KEY_FILE', 'LEASE_SECONDS', 'RUN_ID', 'SERVER_KEY', 'TOKEN'].map(
  (name) => PREFIX + name,
)

/** @throws ConfigError for a variable that is no field, or whose text is no value of it. */
export function readEnvironment(env: NodeJS.ProcessEnv): Layer {
  const known = new Map<string, ConfigField>(listConfigFields().map((field) => [field.variable, field]))
  // A section's own name stands for its kind, or its preset: IMMISCIBLE_ASSIGNMENT=linear.
  for (const section of KIND_SECTIONS) {
    const field = known.get(variableOf(`${section}.${nameFieldOf(section)}`))
    if (field) known.set(variableOf(section), field)
  }
  const problems: { path: string; message: string }[] = []
  const values = Object.entries(env).flatMap(([name, text]) => {
    if (!name.startsWith(PREFIX) || OF_MACHINE.includes(name) || OF_WORKER.includes(name) || !text) return []
    const field = known.get(name)
    if (!field) {
      problems.push({ path: name, message: `unknown variable${didYouMean(name, [...known.keys(), ...OF_MACHINE])}` })
      return []
    }
    try {
      return [{ path: field.path, value: parseConfigValue(field, text), source: { kind: 'env' as const, name } }]
    } catch (error) {
      problems.push({ path: name, message: (error as Error).message })
      return []
    }
  })
  if (problems.length > 0) throw new ConfigError(problems)
  return toLayer(values)
}
