/** Values from text, as flags and environment variables have them. */
import type { ConfigField } from '../../protocol/index.ts'

/** @throws Error that says what was expected; whether the value is allowed is for the schema to say. */
export function parseConfigValue({ type, items, isNullable }: ConfigField, text: string): unknown {
  if (isNullable && text === 'null') return null
  switch (type) {
    case 'integer':
      return parseInteger(text)
    case 'number':
      return parseNumber(text)
    case 'boolean':
      if (['true', '1'].includes(text)) return true
      if (['false', '0'].includes(text)) return false
      throw new Error(`expected true or false, got '${text}'`)
    case 'list': {
      const parts = ['', '[]'].includes(text.trim()) ? [] : text.split(',').map((part) => part.trim())
      return items === 'integer' ? parts.map(parseInteger) : parts
    }
    case 'object':
      return parseObject(text)
    default:
      return text
  }
}

function parseInteger(text: string): number {
  if (!/^[+-]?\d+$/.test(text)) throw new Error(`expected a whole number, got '${text}'`)
  return Number(text)
}

function parseNumber(text: string): number {
  const value = Number(text)
  if (text.trim() === '' || !Number.isFinite(value)) throw new Error(`expected a number, got '${text}'`)
  return value
}

function parseObject(text: string): unknown {
  try {
    const value: unknown = JSON.parse(text)
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value
  } catch {
    // Said below, as for JSON of another kind.
  }
  throw new Error(`expected a JSON object, got '${text}'`)
}
