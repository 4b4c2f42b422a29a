/** What is generated from protocol/ and committed is current. */
import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { generateConfigSchema } from '../../protocol/config-file.ts'
import { listConfigFields } from '../../protocol/fields.ts'
import { generateFiles, generatePython, generateSchema } from '../../protocol/generate.ts'

interface Node {
  readonly $ref?: string
  readonly properties?: Readonly<Record<string, Node>>
  readonly anyOf?: readonly Node[]
  readonly oneOf?: readonly Node[]
  readonly allOf?: readonly Node[]
}

const read = (path: string): string => readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8')

test.each(Object.entries(generateFiles()))('%s is what the zod schemas say', (path, expected) => {
  expect(read(path)).toBe(expected)
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

test('docs/config.md has a row for every leaf of the schema, with its flags and its variable', () => {
  // The leaves of the schema that editors read: another walk than that of listConfigFields().
  const { definitions, ...root } = JSON.parse(generateConfigSchema()) as Node & { definitions: Record<string, Node> }
  const leaves = (path: string, node: Node): string[] => {
    const parts = [node, ...(node.anyOf ?? []), ...(node.oneOf ?? []), ...(node.allOf ?? [])]
    const below = parts.slice(1).flatMap((part) => leaves(path, part))
    const own = Object.entries(node.properties ?? {}).flatMap(([name, child]) => leaves(path === '' ? name : `${path}.${name}`, child))
    const named = node.$ref === undefined ? [] : leaves(path, definitions[node.$ref.slice('#/definitions/'.length)])
    const all = [...below, ...own, ...named]
    return all.some((leaf) => leaf !== path) ? all.filter((leaf) => leaf !== path) : [path]
  }
  const { $schema, runs, ...fields } = root.properties ?? {}
  const expected = new Set(leaves('', { properties: fields }))
  expect(expected.size).toBeGreaterThan(100)

  const rows = new Map([...read('docs/config.md').matchAll(/^\| `([\w.]+)` \| .*IMMISCIBLE_.*$/gm)].map(([row, path]) => [path, row]))
  expect([...rows.keys()].toSorted()).toEqual([...expected].toSorted())
  for (const { path, flag, shortFlag = flag, variable } of listConfigFields()) {
    for (const name of [`--${flag}`, `--${shortFlag}`, variable]) expect(rows.get(path)).toContain(`\`${name}\``)
  }
})
