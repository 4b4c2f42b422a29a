/** protocol/golden/<Message>-valid-*.json and -invalid-*.json: zod agrees with the file's name. pytest reads the same files with msgspec. */
import { readdirSync, readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import type { ZodType } from 'zod'
import * as protocol from '../../protocol/index.ts'

const folder = new URL('../../protocol/golden/', import.meta.url)
const cases = readdirSync(folder)
  .map((file) => /^([A-Z]\w*)-(valid|invalid)\b.*\.json$/.exec(file))
  .filter((match) => match !== null)

test('there are cases of both kinds', () => {
  expect(cases.filter(([, , verdict]) => verdict === 'valid').length).toBeGreaterThan(10)
  expect(cases.filter(([, , verdict]) => verdict === 'invalid').length).toBeGreaterThan(10)
})

test.each(cases.map(([file, message, verdict]) => [file, message, verdict]))('%s', (file, message, verdict) => {
  const name = message[0]?.toLowerCase() + message.slice(1)
  const schema = (protocol as unknown as Record<string, ZodType | undefined>)[name]
  if (!schema) throw new Error(`protocol/ exports no schema '${name}'`)
  const parsed = schema.safeParse(JSON.parse(readFileSync(new URL(file, folder), 'utf8')))
  expect(parsed.success ? 'valid' : 'invalid', parsed.error?.message).toBe(verdict)
})
