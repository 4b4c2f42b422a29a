/** zod -> protocol/schema.json -> py/immiscible_worker/protocol.py, protocol/config.schema.json for editors and docs/config.md. Run by `npm run protocol`; a test compares. */
import { writeFileSync } from 'node:fs'
import { z } from 'zod'
import { batchHeader, PREFIX_BYTES, PREFIX_MAGIC, UNIFORM_COLUMNS } from './batch.ts'
import { command } from './command.ts'
import { generateConfigSchema } from './config-file.ts'
import { generateConfigReference } from './config-reference.ts'
import { event } from './event.ts'
import { DTYPE_BYTES } from './tensor.ts'
import { PROTOCOL_VERSION } from './version.ts'

type Schema = {
  $ref?: string
  type?: string | string[]
  const?: string
  enum?: string[]
  anyOf?: Schema[]
  oneOf?: Schema[]
  items?: Schema
  properties?: Record<string, Schema>
  description?: string
  minimum?: number
  maximum?: number
  exclusiveMinimum?: number
  exclusiveMaximum?: number
  minLength?: number
  minItems?: number
  maxItems?: number
}

/** The JSON Schema of every message, as text. */
export function generateSchema(): string {
  const messages = z.strictObject({ command, event, batchHeader }).meta({ id: 'Protocol' })
  const schema = z.toJSONSchema(messages, { io: 'output', target: 'draft-2020-12', reused: 'inline' })
  return `${JSON.stringify({ $comment: 'GENERATED from protocol/*.ts by `npm run protocol`; do not edit', protocolVersion: PROTOCOL_VERSION, ...schema }, null, 2)}\n`
}

/** The msgspec structs of every message, as text. Python has no defaults: what crosses the wire is complete. */
export function generatePython(): string {
  const { $defs } = JSON.parse(generateSchema()) as { $defs: Record<string, Schema> }
  const definitions = sortByDependency($defs)
  const body = definitions.map((name) => printDefinition(name, $defs[name])).join('\n\n')
  return `"""GENERATED from protocol/*.ts by \`npm run protocol\`; do not edit."""

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

PROTOCOL_VERSION = ${PROTOCOL_VERSION}
PREFIX_BYTES = ${PREFIX_BYTES}
PREFIX_MAGIC = b"${PREFIX_MAGIC}"
UNIFORM_COLUMNS = (${UNIFORM_COLUMNS.map((column) => `"${column}"`).join(', ')})
DTYPE_BYTES = {${Object.entries(DTYPE_BYTES)
    .map(([name, bytes]) => `"${name}": ${bytes}`)
    .join(', ')}}


${body}
`
}

function printDefinition(name: string, schema: Schema): string {
  if (schema.oneOf) return `${name} = ${schema.oneOf.map(printType).join(' | ')}\n`
  const { kind, ...fields } = schema.properties ?? {}
  // A one-word `kind` tells structs of a union apart: msgspec reads it as the tag. A `kind` with a choice is a plain field.
  const isTagged = kind?.const !== undefined
  const tag = isTagged ? `, tag_field="kind", tag="${kind.const}"` : ''
  const lines = [`class ${name}(Struct, frozen=True, forbid_unknown_fields=True, rename="camel"${tag}):`]
  if (schema.description) lines.push(`    """${schema.description}"""`, '')
  const members = Object.entries(isTagged ? fields : (schema.properties ?? {}))
  for (const [field, type] of members) lines.push(`    ${toSnakeCase(field)}: ${printType(type)}`)
  if (members.length === 0 && !schema.description) lines.push('    pass')
  return `${lines.join('\n').trimEnd()}\n`
}

function printType(schema: Schema): string {
  if (schema.$ref) return schema.$ref.slice(schema.$ref.lastIndexOf('/') + 1)
  if (schema.anyOf) return schema.anyOf.map(printType).join(' | ')
  if (schema.const !== undefined) return `Literal["${schema.const}"]`
  if (Array.isArray(schema.type)) return schema.type.map((type) => printType({ ...schema, type })).join(' | ')
  if (schema.enum) return `Literal[${schema.enum.map((value) => `"${value}"`).join(', ')}]`
  switch (schema.type) {
    case 'null':
      return 'None'
    case 'boolean':
      return 'bool'
    case 'string':
      return annotate('str', { min_length: schema.minLength })
    case 'integer':
      return annotate('int', { ge: schema.minimum, gt: schema.exclusiveMinimum, le: schema.maximum })
    case 'number':
      return annotate('float', { ge: schema.minimum, gt: schema.exclusiveMinimum, le: schema.maximum, lt: schema.exclusiveMaximum })
    case 'array':
      return annotate(`list[${printType(schema.items ?? {})}]`, { min_length: schema.minItems, max_length: schema.maxItems })
    case 'object':
      return 'dict[str, Any]'
    default:
      throw new Error(`no Python type for ${JSON.stringify(schema)}`)
  }
}

function annotate(type: string, bounds: Record<string, number | undefined>): string {
  const given = Object.entries(bounds).filter(([, value]) => value !== undefined)
  return given.length > 0 ? `Annotated[${type}, Meta(${given.map(([key, value]) => `${key}=${value}`).join(', ')})]` : type
}

function sortByDependency(definitions: Record<string, Schema>): string[] {
  const sorted = new Set<string>()
  const visit = (name: string): void => {
    if (sorted.has(name)) return
    for (const [, target] of JSON.stringify(definitions[name]).matchAll(/"\$ref":"#\/\$defs\/(\w+)"/g)) visit(target)
    sorted.add(name)
  }
  for (const name of Object.keys(definitions)) visit(name)
  return [...sorted]
}

/** msgspec's `rename="camel"` undoes this for every name without a run of capitals or digits after an underscore. */
function toSnakeCase(name: string): string {
  return name.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)
}

/** Each file that is made of the schemas, from the root, and its text. */
export function generateFiles(): Readonly<Record<string, string>> {
  return {
    'protocol/schema.json': generateSchema(),
    'protocol/config.schema.json': generateConfigSchema(),
    'py/immiscible_worker/protocol.py': generatePython(),
    'docs/config.md': generateConfigReference(),
  }
}

if (import.meta.main) {
  for (const [path, text] of Object.entries(generateFiles())) writeFileSync(new URL(`../${path}`, import.meta.url), text)
}
