/** Every code block of README.md, docs/ and the READMEs of the rooms runs, in order, as a reader would run it; and its TypeScript has the types that it says. */
import { execFile } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect, onTestFinished, test } from 'vitest'
import { makeProject, readBlocks, readNeeds, ROOT, shorten, SHORTER, type Block } from './document.ts'

const DOCUMENTS = [
  'README.md',
  'protocol/README.md',
  'py/README.md',
  'ts/assignment/README.md',
  'test/reliability/README.md',
  ...readdirSync(join(ROOT, 'docs'))
    .filter((file) => file.endsWith('.md'))
    .map((file) => `docs/${file}`),
]
/** How a block is run. */
const RUNNERS: Readonly<Record<string, readonly string[]>> = {
  sh: ['bash', '-e', '-u', '-o', 'pipefail'],
  ts: ['node'],
  python: ['env', `PYTHONPATH=${join(ROOT, 'py')}`, 'python'],
}
/** Blocks that are never programs; and those that are shown, as a tree or an output is. */
const FILES = ['json', 'yaml']
const SHOWN = ['', 'text', 'bibtex', 'math']
const read = (document: string): string => readFileSync(join(ROOT, document), 'utf8')

/** Runs all blocks of a document and answers how many; throws what the first that fails says, with its line. */
async function runDocument(name: string, markdown: string): Promise<number> {
  let numRun = 0
  const folder = mkdtempSync(join(tmpdir(), 'immiscible-docs-'))
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
  const env = makeProject(folder)
  const run = async (where: string, command: readonly string[]): Promise<void> => {
    const [program, ...args] = command
    const child = promisify(execFile)(program, args, { cwd: folder, env, maxBuffer: 2 ** 26, timeout: 300_000 })
    await child.catch((error: { stdout?: string; stderr?: string; message: string }) => {
      throw new Error(`${where}: ${error.message}\n${error.stdout ?? ''}\n${error.stderr ?? ''}`)
    })
  }
  const needed = readNeeds(markdown).map(
    (outputDir) => `npx immiscible train --dataset digits --max-train-steps 8 --output-dir ${outputDir}`,
  )
  await run(`${name}: needs`, ['bash', '-e', '-c', needed.join('\n')])
  const typed: string[] = []
  for (const [at, block] of readBlocks(markdown).entries()) {
    const where = `${name}:${block.line}`
    check(where, block)
    if (block.notRun !== undefined || SHOWN.includes(block.language)) continue
    const file = block.file ?? `block-${at}.${block.language === 'python' ? 'py' : block.language}`
    writeFileSync(join(folder, file), shorten(block.text))
    if (block.language === 'ts') typed.push(file)
    if (block.language === 'json') parse(where, block.text)
    if (block.file !== undefined || FILES.includes(block.language)) continue
    await run(where, [...RUNNERS[block.language], file])
    numRun++
  }
  if (typed.length > 0) await run(`${name}: types`, ['tsc'])
  return numRun
}

function check(where: string, { language, notRun }: Block): void {
  const known = [...Object.keys(RUNNERS), ...FILES, ...SHOWN]
  if (!known.includes(language)) throw new Error(`${where}: expected a block of ${known.filter(Boolean).join(', ')}, got ${language}`)
  if (notRun === '') throw new Error(`${where}: expected a reason why the block is not run`)
}

function parse(where: string, text: string): void {
  try {
    JSON.parse(text)
  } catch (error) {
    throw new Error(`${where}: ${(error as Error).message}`, { cause: error })
  }
}

test.each(DOCUMENTS)('%s', { timeout: 600_000 }, async (document) => {
  const scripts = readBlocks(read(document)).filter(
    ({ language, file, notRun }) => Object.hasOwn(RUNNERS, language) && file === undefined && notRun === undefined,
  )
  expect(await runDocument(document, read(document))).toBe(scripts.length)
})

test('each rule that shortens a block shortens one', () => {
  const all = DOCUMENTS.map(read).join('\n')
  for (const [long] of SHORTER) expect(all).toMatch(new RegExp(long.source))
})

const fence = (language: string, text: string): string => ['```' + language, text, '```', ''].join('\n')

test.each([
  ['a command that is none', fence('sh', 'npx immiscible trian'), /x\.md:1: .*unknown command 'trian'/s],
  ['a command that fails before the last', fence('sh', 'npx immiscible sample nowhere\ntrue'), /x\.md:1/],
  ['a script that throws', `text\n\n${fence('ts', "throw new Error('planted')")}`, /x\.md:3: .*planted/s],
  [
    'a name that is not exported',
    fence('ts', "import { trian } from 'immiscible'\nconsole.log(trian)"),
    /does not provide an export named 'trian'/,
  ],
  ['a wrong type', fence('ts', "import { assign } from 'immiscible'\nexport const text: string = assign.length"), /types.*TS2322/s],
  ['Python that raises', fence('python', 'raise ValueError("planted")'), /ValueError: planted/],
  ['a block that is left out without a reason', `<!-- not run: -->\n${fence('sh', 'true')}`, /x\.md:2: expected a reason/],
  ['an unknown language', fence('cobol', 'STOP RUN.'), /expected a block of .*, got cobol/],
  ['JSON that is none', fence('json', '{'), /x\.md:1: .*JSON/],
])('control: %s is found', { timeout: 60_000 }, async (_, markdown, expected) => {
  await expect(runDocument('x.md', markdown)).rejects.toThrow(expected)
})

test('control: what is marked, and a file, is not run', async () => {
  const marked = `<!-- not run: needs a GPU -->\n${fence('sh', 'false')}`
  const file = fence('ts', "// module.ts\nthrow new Error('it was run')")
  expect(await runDocument('x.md', `${marked}\n${file}\n${fence('text', 'false')}`)).toBe(0)
})
