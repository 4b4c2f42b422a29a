/** Every code block of README and docs/ runs, in order, in a folder that its document has for itself; TypeScript is type-checked too. */
import { readdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { readBlocks, type Block } from './blocks.ts'
import { makePlace, makeWorld, ROOT, runBlock, runProgram, saveBlock } from './place.ts'
import { SHORTER, shorten } from './shorten.ts'

const SECONDS = 1000
const DOCUMENTS = [
  'README.md',
  'ts/assignment/README.md',
  'py/README.md',
  'protocol/README.md',
  'test/reliability/README.md',
  ...readdirSync(join(ROOT, 'docs'))
    .filter((file) => file.endsWith('.md'))
    .map((file) => `docs/${file}`),
]

const world = makeWorld()
afterAll(() => rmSync(world, { recursive: true, force: true }))

const documents = DOCUMENTS.map((document) => {
  const markdown = readFileSync(join(ROOT, document), 'utf8')
  return { document, ...read(document, markdown), place: makePlace(world, document) }
})

/** A document that cannot be read is a test that fails, not a file without tests. */
function read(document: string, markdown: string): { blocks: readonly Block[]; problem?: string } {
  try {
    return { blocks: readBlocks(markdown).map((block) => ({ ...block, source: shorten(block.source) })) }
  } catch (error) {
    return { blocks: [], problem: `${document}, ${(error as Error).message}` }
  }
}

/** Saved at once, since the type check comes first. */
const saved = documents.flatMap(({ document, blocks, place }) =>
  blocks.map((block) => ({ document, place, block, name: block.notRun === undefined ? saveBlock(place, block) : '' })),
)

describe('blocks', () => {
  test('each is fenced, has a language, and says why when it is not run', () => {
    expect(documents.map(({ problem }) => problem).filter(Boolean)).toEqual([])
    expect(saved.length).toBeGreaterThan(10)
  })

  test('what shortens them is found in them', () => {
    const all = DOCUMENTS.map((document) => readFileSync(join(ROOT, document), 'utf8')).join('\n')
    expect(SHORTER.map(([text]) => text).filter((text) => !all.includes(text))).toEqual([])
  })

  test('TypeScript keeps to its types', { timeout: 120 * SECONDS }, async () => {
    const output = await runProgram(join(world, 'bin'), join(ROOT, 'node_modules', '.bin', 'tsc'), ['-p', world])
    expect(output).toBe('')
  })
})

const withBlocks = documents.map(({ document }) => document).filter((document) => saved.some((entry) => entry.document === document))
const places = (document: string, isRun: boolean): { at: string; place: string; block: Block; name: string }[] =>
  saved
    .filter((entry) => entry.document === document && (entry.block.notRun === undefined) === isRun)
    .map((entry) => ({ ...entry, at: `line ${entry.block.line}, ${entry.block.language}` }))

describe.each(withBlocks)('%s', (document) => {
  test.for(places(document, true))('$at', { timeout: 600 * SECONDS }, async ({ place, block, name }) => {
    await expect(runBlock(place, block, name)).resolves.toBeTypeOf('string')
  })

  test.for(places(document, false))('$at is not run: $block.notRun', ({ block }) => {
    expect(block.notRun).not.toBe('')
  })
})
