/** A newcomer's path, by README alone: clone, train, look at a picture, change the strategy, bring an own one, compare. */
import { execFileSync } from 'node:child_process'
import { cpSync, existsSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { readBlocks } from '../docs/blocks.ts'
import { ROOT, runProgram } from '../docs/place.ts'
import { shorten } from '../docs/shorten.ts'
import { temporaryFolder } from './run.ts'

const SECONDS = 1000
const README = readFileSync(join(ROOT, 'README.md'), 'utf8')
const blocks = readBlocks(README)
const commands = blocks.filter(({ language }) => language === 'sh').flatMap(({ source }) => source.split('\n').map(withoutComment))

function withoutComment(line: string): string {
  return line.replace(/\s+#.*$/, '')
}

/** What a clone of this state would hold, with what `npm install` would add to it. */
function cloneTree(): string {
  const clone = join(temporaryFolder(), 'immiscible')
  const list = execFileSync('git', ['ls-files', '-z', '--cached', '--others', '--exclude-standard'], { cwd: ROOT, encoding: 'utf8' })
  const files = list.split('\0').filter((file) => file !== '' && existsSync(join(ROOT, file)))
  for (const file of files.filter((name) => name !== 'node_modules')) cpSync(join(ROOT, file), join(clone, file))
  symlinkSync(join(ROOT, 'node_modules'), join(clone, 'node_modules'))
  return clone
}

/** Runs a command that stands in README, shortened; from a clone, as README says, by npm. Answers what it printed. */
async function follow(clone: string, command: string): Promise<string> {
  if (!commands.includes(command)) throw new Error(`README.md does not have the command: ${command}`)
  const fromClone = shorten(`${command} `)
    .trim()
    .replace(/^npx immiscible /, 'npm run --silent immiscible -- ')
  return runProgram(clone, 'bash', ['-c', fromClone])
}

function save(clone: string, file: string): void {
  const block = blocks.find((candidate) => candidate.file === file)
  if (!block) throw new Error(`README.md does not have the file: ${file}`)
  writeFileSync(join(clone, file), shorten(block.source))
}

test('a command or file that is not in README cannot be followed', async () => {
  await expect(follow('.', 'npx immiscible train --dataset nothing')).rejects.toThrow('README.md does not have the command')
  expect(() => save('.', 'nothing.ts')).toThrow('README.md does not have the file')
})

test('from a clone to the comparison of two strategies', { timeout: 600 * SECONDS }, async () => {
  expect(README).toContain('From a clone, `npm run immiscible -- train ...` is the same.')
  const clone = cloneTree()

  await follow(clone, 'npx immiscible train --dataset digits --assignment quantized --max-train-steps 2000 --output-dir runs/first')
  await follow(clone, 'npx immiscible sample runs/first --num-images 64 --output grid.png')
  expect([...readFileSync(join(clone, 'grid.png')).subarray(0, 4)]).toEqual([0x89, 0x50, 0x4e, 0x47])

  save(clone, 'my.json')
  await follow(clone, 'npx immiscible train --config my.json --seed 1 --output-dir runs/second')
  save(clone, 'mine.ts')
  await follow(clone, 'npx immiscible train --dataset digits --assignment ./mine.ts --max-train-steps 2000 --output-dir runs/mine')
  const kindOf = (run: string): unknown =>
    (JSON.parse(readFileSync(join(clone, run, 'config.json'), 'utf8')) as { assignment: { kind: string } }).assignment.kind
  expect(['runs/first', 'runs/second', 'runs/mine'].map(kindOf)).toEqual(['quantized', 'linear', 'module'])

  const judged = [await follow(clone, 'npx immiscible evaluate runs/first'), await follow(clone, 'npx immiscible evaluate runs/mine')]
  for (const text of judged) expect(text).toContain('"confidentShare"')
})
