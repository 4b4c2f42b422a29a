/** Options that a user's own code is handed: anything that JSON can say. */
import { z } from 'zod'

/** Not z.json(): that is a recursive schema, which no msgspec struct could be made from. */
export const jsonOptions = z.record(z.string(), z.unknown()).refine(isJson, 'expected JSON values').default({})

function isJson(value: unknown): boolean {
  if (typeof value === 'number') return Number.isFinite(value)
  if (value === null || ['string', 'boolean'].includes(typeof value)) return true
  if (typeof value !== 'object') return false
  const isPlain = Array.isArray(value) || [Object.prototype, null].includes(Object.getPrototypeOf(value) as object | null)
  return isPlain && Object.values(value).every(isJson)
}
