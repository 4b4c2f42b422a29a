/** A resolved config, leaf by leaf, with where each value came from. */
import {
  ASSIGNMENT_PRESETS,
  CONSISTENCY_PRESETS,
  listConfigFields,
  NETWORK_PRESETS,
  type AssignmentPreset,
  type TrainConfig,
} from '../../protocol/index.ts'
import { isSection, type Merged } from './merge.ts'
import { DEFAULT, type ConfigSource } from './source.ts'

export interface ConfigValue {
  /** As in `optimizer.learningRate`. */
  readonly path: string
  readonly value: unknown
  readonly source: ConfigSource
}

/** In the order of the schema. */
export function explain(config: TrainConfig, merged: Merged): ConfigValue[] {
  const order = new Map(listConfigFields().map(({ path }, index) => [path, index]))
  const whole = new Set(listConfigFields().flatMap(({ path, type }) => (type === 'object' ? [path] : [])))
  const leaves = (prefix: string, value: unknown): { path: string; value: unknown }[] =>
    isSection(value) && !whole.has(prefix)
      ? Object.entries(value).flatMap(([name, child]) => leaves(prefix === '' ? name : `${prefix}.${name}`, child))
      : [{ path: prefix, value }]
  const rank = (path: string): number => order.get(path) ?? order.get(`${path}.address`) ?? order.size
  return leaves('', config)
    .map(({ path, value }) => ({ path, value, source: findSource(path, config, merged) }))
    .toSorted((a, b) => rank(a.path) - rank(b.path))
}

/** Of a value, or of what is wrong where a value should be; the name of the field may have an index, as in `network.upBlockTypes[1]`. */
export function sourceAt(path: string, { sources }: Merged): ConfigSource | undefined {
  const parts = path.replaceAll(/\[\d+\]/g, '').split('.')
  for (let length = parts.length; length > 0; length--) {
    const source = sources.get(parts.slice(0, length).join('.'))
    if (source) return source
  }
  return undefined
}

function findSource(path: string, config: TrainConfig, merged: Merged): ConfigSource {
  return presetOf(path, config, merged) ?? sourceAt(path, merged) ?? impliedBy(path, merged) ?? DEFAULT
}

/** Where the value is the named preset's, and not one that was given beside it. */
function presetOf(path: string, { assignment, network, objective }: TrainConfig, { input, sources }: Merged): ConfigSource | undefined {
  const [section, field = ''] = path.split('.')
  const preset = (name: string, by: string, values: object): ConfigSource | undefined => {
    const source = sources.get(by)
    return source && !sources.has(path) && Object.hasOwn(values, field) ? { kind: 'preset', name, by: source } : undefined
  }
  switch (section) {
    case 'network':
      return network.kind === 'unet' ? preset(network.preset, 'network.preset', NETWORK_PRESETS[network.preset]) : undefined
    case 'objective': {
      if (objective.kind !== 'consistency') return undefined
      return preset(objective.preset, 'objective.preset', CONSISTENCY_PRESETS[objective.preset])
    }
    case 'assignment': {
      const written = (input['assignment'] as { kind?: unknown } | undefined)?.kind as string
      if (!Object.hasOwn(ASSIGNMENT_PRESETS, written)) return undefined
      const by = sources.get('assignment.kind')
      // The name of the preset was given as the kind, which is now that of the strategy behind it.
      if (field === 'kind' && by && written !== assignment.kind) return { kind: 'preset', name: written, by }
      return preset(written, 'assignment.kind', ASSIGNMENT_PRESETS[written as AssignmentPreset].expand(''))
    }
    default:
      return undefined
  }
}

/** Some fields say what kind their section is; the path of a module, written as the kind of an assignment, is its url. */
function impliedBy(path: string, { sources }: Merged): ConfigSource | undefined {
  const sayers: Readonly<Record<string, readonly string[]>> = {
    'network.kind': ['network.initFrom', 'network.module'],
    'objective.kind': ['objective.module'],
    'assignment.url': ['assignment.kind'],
  }
  return sayers[path]?.map((name) => sources.get(name)).find((source) => source !== undefined)
}
