/** A newcomer's path, by README's first hour alone: clone, train, look at a picture, change the strategy, bring an own one, compare. */
import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { cpSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { readBlocks, ROOT, shorten } from '../docs/document.ts'
import { temporaryFolder } from './run.ts'

const README = readFileSync(join(ROOT, 'README.md'), 'utf8')
const blocks = readBlocks(README)
const commands = blocks
  .filter(({ language }) => language === 'sh')
  .flatMap(({ text }) => text.split('\n').map((line) => line.replace(/\s+#.*$/, '')))

/** What work leaves beside the sources. */
const MADE = ['.git', 'dist', 'node_modules', 'runs']

/** What a clone of this state would hold, after npm has installed the packages. */
function cloneTree(): string {
  const clone = join(temporaryFolder(), 'immiscible')
  cpSync(ROOT, clone, { recursive: true, filter: (source) => !MADE.includes(relative(ROOT, source)) })
  const modules = join(clone, 'node_modules')
  for (const folder of ['.', '.bin']) {
    mkdirSync(join(modules, folder))
    const names = readdirSync(join(ROOT, 'node_modules', folder)).filter(
      (name) => !['.bin', '.immiscible-lock', 'immiscible'].includes(name),
    )
    for (const name of names) symlinkSync(join(ROOT, 'node_modules', folder, name), join(modules, folder, name))
  }
  const lock = createHash('sha256')
    .update(readFileSync(join(ROOT, 'package-lock.json')))
    .digest('hex')
  writeFileSync(join(modules, '.immiscible-lock'), lock)
  return clone
}

/** Runs a command that stands in README, shortened. Answers what it printed. */
async function follow(clone: string, command: string): Promise<string> {
  if (!commands.includes(command)) throw new Error(`README.md does not have the command: ${command}`)
  // As a shell in the clone: nothing of the test runner's own.
  const env = { ...process.env, IMMISCIBLE_SAMPLING__NUM_IMAGES: '4', NO_COLOR: '1' }
  return (await promisify(execFile)('bash', ['-c', shorten(command)], { cwd: clone, env, maxBuffer: 2 ** 24 })).stdout
}

function save(clone: string, file: string): void {
  const block = blocks.find((candidate) => candidate.file === file)
  if (!block) throw new Error(`README.md does not have the file: ${file}`)
  writeFileSync(join(clone, file), block.text)
}

test('a command or file that is not in README cannot be followed', async () => {
  await expect(follow('.', 'npx immiscible train --dataset nothing')).rejects.toThrow('README.md does not have the command')
  expect(() => save('.', 'nothing.ts')).toThrow('README.md does not have the file')
})

test.skipIf(process.platform === 'win32')('from a clone to the comparison of two strategies', { timeout: 600_000 }, async () => {
  const clone = cloneTree()
  await follow(clone, 'npm run setup')
  await follow(clone, 'npx immiscible train --dataset digits --assignment independent --max-train-steps 2000 --output-dir runs/baseline')
  await follow(clone, 'npx immiscible sample runs/baseline --output baseline.png')
  expect([...readFileSync(join(clone, 'baseline.png')).subarray(0, 4)]).toEqual([0x89, 0x50, 0x4e, 0x47])
  await follow(clone, 'npx immiscible train --dataset digits --assignment quantized --max-train-steps 2000 --output-dir runs/first')
  save(clone, 'mine.ts')
  await follow(clone, 'npx immiscible train --dataset digits --assignment ./mine.ts --max-train-steps 2000 --output-dir runs/mine')
  const kindOf = (run: string): unknown =>
    (JSON.parse(readFileSync(join(clone, run, 'config.json'), 'utf8')) as { assignment: { kind: string } }).assignment.kind
  expect(['runs/baseline', 'runs/first', 'runs/mine'].map(kindOf)).toEqual(['independent', 'quantized', 'module'])
  expect(await follow(clone, 'npx immiscible runs')).toMatch(/baseline[^]*first[^]*mine/)
  expect(await follow(clone, 'npx immiscible runs compare runs/baseline runs/first')).toMatch(/"independent"\s+"quantized"/)
  await follow(clone, 'npx immiscible report runs/baseline runs/first runs/mine --output report.html')
  expect(readFileSync(join(clone, 'report.html'), 'utf8')).toContain('runs/mine')
})
