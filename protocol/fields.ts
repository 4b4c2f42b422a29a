/** Every leaf of a config, read from its schema: what flags, environment variables, help and suggestions are made of. */
import { z } from 'zod'
import { ASSIGNMENT_PRESETS } from './assignment.ts'
import { trainConfig } from './config.ts'

/** A section of which there are several kinds, each with fields of its own. */
export const KIND_SECTIONS = ['dataset', 'objective', 'assignment', 'network'] as const

export interface ConfigField {
  /** As in `optimizer.learningRate`. */
  readonly path: string
  readonly type: 'integer' | 'number' | 'boolean' | 'string' | 'list' | 'object'
  /** Of a list. */
  readonly items: 'integer' | 'string' | undefined
  readonly isNullable: boolean
  /** Of a string, or of what is in a list; empty: any. */
  readonly choices: readonly string[]
  /** undefined: there is none, or it depends on other fields. */
  readonly default: unknown
  /** Empty where the name says it. */
  readonly description: string
  /** The kinds of its section that have it; empty: its section has no kinds, or all have it. */
  readonly kinds: readonly string[]
  /** Without the dashes, as in `optimizer.learning-rate`. */
  readonly flag: string
  /** A short name of the flag, of the fields used most. */
  readonly shortFlag: string | undefined
  /** As in `IMMISCIBLE_OPTIMIZER__LEARNING_RATE`. */
  readonly variable: string
}

const SHORT_FLAGS: Readonly<Record<string, string>> = {
  'dataset.kind': 'dataset',
  'dataset.path': 'path',
  'dataset.resolution': 'resolution',
  'dataset.imageScale': 'image-scale',
  'objective.kind': 'objective',
  'network.preset': 'network',
  'assignment.kind': 'assignment',
  'assignment.poolSize': 'pool-size',
  'optimizer.learningRate': 'learning-rate',
  'worker.device': 'device',
  'worker.listen.address': 'listen',
  'worker.listen.keyFile': 'key-file',
}

interface Schema {
  readonly $ref?: string
  readonly type?: string | readonly string[]
  readonly const?: string
  readonly enum?: readonly string[]
  readonly anyOf?: readonly Schema[]
  readonly oneOf?: readonly Schema[]
  readonly items?: Schema
  readonly properties?: Readonly<Record<string, Schema>>
  readonly description?: string
  readonly default?: unknown
}

const KIND_DESCRIPTIONS: Readonly<Record<string, string>> = {
  dataset: 'what is trained on',
  objective: 'what is trained',
  assignment: 'which noise goes with which image: a strategy, a preset of a paper, or the path of a module of your own',
  network: 'unet: by preset or field; pretrained: initFrom; module: your own',
}

let fields: readonly ConfigField[] | undefined

/** In the order of the schema. */
export function listConfigFields(): readonly ConfigField[] {
  fields ??= readFields()
  return fields
}

function readFields(): ConfigField[] {
  const root = z.toJSONSchema(trainConfig, { io: 'input', reused: 'inline' }) as Schema & { readonly $defs: Record<string, Schema> }
  const resolved = (schema: Schema): Schema => {
    if (schema.$ref === undefined) return schema
    const { $ref, ...own } = schema
    return { ...resolved(root.$defs[$ref.slice($ref.lastIndexOf('/') + 1)]), ...own }
  }

  function walk(path: string, written: Schema): ConfigField[] {
    const schema = resolved(written)
    if (schema.oneOf) return walkKinds(path, schema.oneOf.map(resolved))
    const some = (schema.anyOf ?? []).map(resolved).filter(({ type }) => type !== 'null')
    const types = [schema.type ?? []].flat()
    const isNullable = types.includes('null') || some.length < (schema.anyOf ?? []).length
    const type = types.find((name) => name !== 'null')
    const core = { ...some[0], ...schema, ...(type !== undefined && { type }) }
    if (core.properties) {
      return Object.entries(core.properties).flatMap(([name, child]) => walk(path === '' ? name : `${path}.${name}`, child))
    }
    return [toField(path, core, isNullable)]
  }

  function walkKinds(path: string, kinds: readonly Schema[]): ConfigField[] {
    const found = new Map<string, ConfigField>()
    for (const schema of kinds) {
      const kind = schema.properties?.['kind'].const ?? ''
      for (const field of walk(path, schema)) {
        const before = found.get(field.path)
        found.set(field.path, before ? joined(before, field, kind) : { ...field, kinds: [kind] })
      }
    }
    const presets = path === 'assignment' ? Object.keys(ASSIGNMENT_PRESETS) : []
    return [...found.values()].map((field) => {
      if (field.path === `${path}.kind`)
        return { ...field, description: KIND_DESCRIPTIONS[path] ?? '', kinds: [], choices: [...field.choices, ...presets] }
      return field.kinds.length === kinds.length ? { ...field, kinds: [] } : field
    })
  }

  return walk('', root)
}

/** A field that two kinds have: the choices of both, and a default where they agree. */
function joined(before: ConfigField, field: ConfigField, kind: string): ConfigField {
  return {
    ...before,
    choices: [...new Set([...before.choices, ...field.choices])],
    default: before.default === field.default ? before.default : undefined,
    description: [...new Set([before.description, field.description])].filter(Boolean).join('; '),
    kinds: [...before.kinds, kind],
  }
}

function toField(path: string, schema: Schema, isNullable: boolean): ConfigField {
  const { type, items } = schema
  const leaf = type === 'array' ? (items ?? {}) : schema
  return {
    path,
    type: type === 'array' ? 'list' : type === 'integer' || type === 'number' || type === 'boolean' || type === 'object' ? type : 'string',
    items: type !== 'array' ? undefined : leaf.type === 'integer' ? 'integer' : 'string',
    isNullable,
    choices: leaf.const === undefined ? (leaf.enum ?? []) : [leaf.const],
    default: schema.default,
    description: schema.description ?? '',
    kinds: [],
    flag: path.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`),
    shortFlag: SHORT_FLAGS[path],
    variable: variableOf(path),
  }
}

/** The environment variable of a field, or of a section that a name alone stands for. */
export function variableOf(path: string): string {
  return `IMMISCIBLE_${path.replaceAll('.', '__').replaceAll(/[A-Z]/g, '_$&').toUpperCase()}`
}
