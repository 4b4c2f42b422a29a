/** A document with a fault fails: the controls of the test that runs the code blocks. */
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { readBlocks } from './blocks.ts'
import { makePlace, makeWorld, ROOT, runBlock, runProgram, saveBlock } from './place.ts'

const fence = (language: string, ...lines: string[]): string => ['```' + language, ...lines, '```', ''].join('\n')

function makeWorldForTest(): string {
  const world = makeWorld()
  onTestFinished(() => rmSync(world, { recursive: true, force: true }))
  return world
}

test('blocks are read with their lines, names and reasons', () => {
  const markdown = `# A\n\n${fence('ts', '// mine.ts', 'export {}')}\n<!-- file: a.json -->\n${fence('json', '{}')}\n<!-- not run in tests: no GPU -->\n${fence('sh', 'x')}`
  expect(readBlocks(markdown)).toEqual([
    { language: 'ts', source: '// mine.ts\nexport {}\n', line: 3, file: 'mine.ts', notRun: undefined },
    { language: 'json', source: '{}\n', line: 9, file: 'a.json', notRun: undefined },
    { language: 'sh', source: 'x\n', line: 14, file: undefined, notRun: 'no GPU' },
  ])
})

test.each([
  ['a fence without a language', fence('', 'npm test'), 'line 1: expected one of ts, python, sh, json, text, got ``'],
  ['an unknown language', fence('typescript', '1'), 'got `typescript`'],
  ['a marker without a reason', `<!-- not run in tests: -->\n${fence('sh', 'x')}`, 'line 1: expected a reason after "not run in tests:"'],
  ['a file without a name', `<!-- file: -->\n${fence('json', '{}')}`, 'line 1: expected a name after "file:"'],
  ['a fence without an end', '```ts\n1', 'line 1: this fence has no end'],
  ['indented code', 'Do\n\n    npm test\n', 'line 3: indented code is not run'],
])('%s is refused', (_, markdown, message) => {
  expect(() => readBlocks(markdown)).toThrow(message)
})

test.each([
  ['TypeScript that throws', fence('ts', "throw new Error('broken')"), 'broken'],
  ['an import that is not there', fence('ts', "import { nothing } from 'immiscible'", 'nothing()'), 'nothing'],
  [
    'a test that fails',
    fence('ts', "import { testStrategy } from 'immiscible/testing'", 'testStrategy("x", () => ({}) as never)'),
    'failed',
  ],
  ['Python that raises', fence('python', 'raise ValueError("broken")'), 'broken'],
  ['a shell line that fails before one that does not', fence('sh', 'false', 'true'), 'false'],
  ['a command that fails in the background', fence('sh', 'npx immiscible nonsense &', 'true'), 'nonsense'],
  ['a flag that does not exist', fence('sh', 'npx immiscible strategies --nonsense'), '--nonsense'],
  ['another program of npm', fence('sh', 'npm run bench'), 'not known to the test of the documents'],
  ['JSON that is none', fence('json', '{ a }'), 'JSON'],
])('%s fails', { timeout: 60_000 }, async (_, markdown, message) => {
  const place = makePlace(makeWorldForTest(), 'broken.md')
  const [block] = readBlocks(markdown)
  await expect(runBlock(place, block, saveBlock(place, block))).rejects.toThrow(message)
})

test('a type that is wrong fails', { timeout: 60_000 }, async () => {
  const world = makeWorldForTest()
  const [block] = readBlocks(fence('ts', "import type { TrainInput } from 'immiscible'", "export const seed: TrainInput['seed'] = 'one'"))
  saveBlock(makePlace(world, 'broken.md'), block)
  const typeCheck = runProgram(join(world, 'bin'), join(ROOT, 'node_modules', '.bin', 'tsc'), ['-p', world])
  await expect(typeCheck).rejects.toThrow("Type 'string' is not assignable to type 'number'")
})
