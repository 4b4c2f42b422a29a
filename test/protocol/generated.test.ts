/** What is generated from protocol/ and committed is current. */
import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { generateConfigSchema } from '../../protocol/config-file.ts'
import { generatePython, generateSchema } from '../../protocol/generate.ts'

const read = (path: string): string => readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8')

test('schema.json is what the zod schemas say', () => {
  expect(read('protocol/schema.json')).toBe(generateSchema())
})

test('config.schema.json is what the zod schemas say', () => {
  expect(read('protocol/config.schema.json')).toBe(generateConfigSchema())
})

test('protocol.py is what the zod schemas say', () => {
  expect(read('py/immiscible_worker/protocol.py')).toBe(generatePython())
})

test('control: a file in which one bound was edited by hand is told from the generated one', () => {
  const edited = read('py/immiscible_worker/protocol.py').replace('ge=1', 'ge=0')
  expect(edited).not.toBe(read('py/immiscible_worker/protocol.py'))
  expect(edited).not.toBe(generatePython())
})

test('every message of the unions has a definition in both files', () => {
  const { $defs } = JSON.parse(generateSchema()) as { $defs: Record<string, { oneOf?: { $ref: string }[] }> }
  const names = ['Command', 'Event'].flatMap((union) => $defs[union]?.oneOf?.map(({ $ref }) => $ref.slice('#/$defs/'.length)) ?? [])
  expect(names.length).toBeGreaterThan(10)
  for (const name of names) expect(generatePython()).toContain(`class ${name}(Struct, frozen=True, forbid_unknown_fields=True`)
})
