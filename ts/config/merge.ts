/** Layers of a config, lowest first, as one input that still knows which layer each value came from. */
import { DEFAULT_NAMES, KIND_SECTIONS, listConfigFields } from '../../protocol/index.ts'
import { ConfigError } from '../errors.ts'
import type { ConfigSource } from './source.ts'

type Section = Record<string, unknown>

export interface Layer {
  readonly input: Readonly<Section>
  /** Of a leaf by its path, as in `optimizer.learningRate`. */
  sourceOf(path: string): ConfigSource
}

export interface Merged {
  readonly input: Section
  /** By path, of every value that some layer gave. */
  readonly sources: ReadonlyMap<string, ConfigSource>
}

/** By a path that may be any. */
const defaultNames: Readonly<Record<string, string>> = DEFAULT_NAMES

/**
 * A later layer wins, field by field. A name alone is the short form of a section, and another name brings its own fields: those that a lower layer gave to
 * the old one do not apply to it.
 */
export function mergeLayers(layers: readonly Layer[]): Merged {
  const input: Section = {}
  const sources = new Map<string, ConfigSource>()
  const whole = new Set(
    listConfigFields()
      .filter(({ type }) => type === 'object')
      .map(({ path }) => path),
  )

  function forget(path: string): void {
    for (const known of sources.keys()) if (known === path || known.startsWith(`${path}.`)) sources.delete(known)
  }

  function put(target: Section, prefix: string, values: Readonly<Section>, sourceOf: Layer['sourceOf']): void {
    for (const [name, written] of Object.entries(values)) {
      if (written === undefined) continue
      const path = prefix === '' ? name : `${prefix}.${name}`
      // What JSON may say, and no object should be told.
      if (name === '__proto__') throw new ConfigError([{ path, message: 'unknown key' }])
      const value = toSection(path, written)
      if (!isSection(value) || whole.has(path)) {
        forget(path)
        target[name] = value
        sources.set(path, sourceOf(path))
        continue
      }
      const below = Object.hasOwn(target, name) ? target[name] : undefined
      if (isStrategyObject(below) && nameOf(path, value) === undefined) {
        const message = `expected nothing beside a strategy object, which takes its options itself, got ${Object.keys(value).join(', ')}`
        throw new ConfigError([{ path, message }])
      }
      if (!isSection(below) || isAnother(path, below, value)) {
        forget(path)
        target[name] = {}
      }
      put(target[name] as Section, path, value, sourceOf)
    }
  }

  for (const layer of layers) put(input, '', layer.input, layer.sourceOf)
  for (const section of ['objective', 'assignment']) {
    const value = input[section]
    if (isSection(value) && nameOf(section, value) === undefined) input[section] = { kind: defaultNames[section], ...value }
  }
  return { input, sources }
}

/** Values by path as one layer. A section's own path stands for its name. */
export function toLayer(values: readonly { readonly path: string; readonly value: unknown; readonly source: ConfigSource }[]): Layer {
  const input: Section = {}
  const sources = new Map<string, ConfigSource>()
  for (const { path, value, source } of values) {
    const parts = (isKindSection(path) ? `${path}.${nameFieldOf(path)}` : path).split('.')
    const last = parts.pop() as string
    let target = input
    for (const part of parts) target = (target[part] ??= {}) as Section
    target[last] = value
    sources.set([...parts, last].join('.'), source)
  }
  return { input, sourceOf: (path) => sources.get(path) as ConfigSource }
}

/** The field that a name alone stands for. */
export function nameFieldOf(section: string): 'kind' | 'preset' {
  return section === 'network' ? 'preset' : 'kind'
}

export function isSection(value: unknown): value is Section {
  if (typeof value !== 'object' || value === null || isStrategyObject(value)) return false
  return [Object.prototype, null].includes(Object.getPrototypeOf(value) as object | null)
}

function isStrategyObject(value: unknown): boolean {
  return typeof value === 'object' && value !== null && 'assign' in value && typeof value.assign === 'function'
}

function toSection(path: string, written: unknown): unknown {
  const isName = typeof written === 'string' || written instanceof URL
  return isName && isKindSection(path) ? { [nameFieldOf(path)]: written } : written
}

function isKindSection(path: string): boolean {
  return (KIND_SECTIONS as readonly string[]).includes(path)
}

function isAnother(path: string, below: Section, above: Section): boolean {
  if (!isKindSection(path)) return false
  const name = nameOf(path, above)
  return name !== undefined && name !== (nameOf(path, below) ?? defaultNames[path])
}

/** What tells a section from another of its kind; undefined where it does not say. */
function nameOf(path: string, section: Section): string | undefined {
  const { kind, preset, initFrom, module } = section
  if (path === 'network') {
    if (kind === 'pretrained' || initFrom !== undefined) return 'pretrained'
    if (kind === 'module' || module !== undefined) return 'module'
    return typeof preset === 'string' ? preset : kind === 'unet' ? defaultNames[path] : undefined
  }
  if (kind === undefined) return path === 'objective' && module !== undefined ? 'module' : undefined
  return kind instanceof URL ? kind.href : typeof kind === 'string' ? kind : JSON.stringify(kind)
}
