/** A folder that looks like a clone with the package installed, in which the blocks of a document are run one after the other. */
import { spawn } from 'node:child_process'
import { chmodSync, mkdirSync, mkdtempSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { pythonPath } from '../fixture/python.ts'
import type { Block } from './blocks.ts'

export const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const SECONDS = 1000

/** Where the blocks of all documents are run: below it `import 'immiscible'` is the source tree. */
export function makeWorld(): string {
  const world = mkdtempSync(join(tmpdir(), 'immiscible-docs-'))
  const modules = join(world, 'node_modules')
  const installed = join(modules, 'immiscible')
  mkdirSync(installed, { recursive: true })
  for (const folder of ['ts', 'protocol', 'py']) symlinkSync(join(ROOT, folder), join(installed, folder))
  symlinkSync(join(ROOT, 'node_modules', 'vitest'), join(modules, 'vitest'))
  const exports = { '.': './ts/index.ts', './testing': './ts/testing/index.ts', './python': './ts/python/index.ts' }
  writeFileSync(join(installed, 'package.json'), JSON.stringify({ name: 'immiscible', type: 'module', exports }))
  writeFileSync(join(world, 'package.json'), JSON.stringify({ type: 'module' }))
  writeFileSync(join(world, 'tsconfig.json'), JSON.stringify(TSCONFIG))
  makePrograms(join(world, 'bin'))
  return world
}

/** As strict as the project; an example may name what it does not use. */
const TSCONFIG = {
  extends: join(ROOT, 'tsconfig.json'),
  compilerOptions: {
    noEmit: true,
    declaration: false,
    noUnusedLocals: false,
    rootDir: '/',
    typeRoots: [join(ROOT, 'node_modules', '@types')],
    // The sources name WebAssembly; in the project its types come by way of the tests' packages.
    lib: ['es2024', 'esnext.disposable', 'webworker'],
  },
  include: ['*/**/*.ts'],
  exclude: ['node_modules', '*/py', '*/ts', '*/test', '*/runs'],
}

/** The commands that documents use, from source. Any other use of them fails, so that such a block has to say why it is not run. */
function makePrograms(bin: string): void {
  mkdirSync(bin)
  const cli = `exec '${process.execPath}' '${join(ROOT, 'ts', 'cli', 'main.ts')}' "$@"`
  const refuse = 'echo "$0 $*: not known to the test of the documents" >&2; exit 64'
  const programs = {
    npx: `if [ "$1" = immiscible ]; then shift; ${cli}; fi; ${refuse}`,
    npm: `if [ "$1 $2 $3" = 'run immiscible --' ]; then shift 3; ${cli}; fi; ${refuse}`,
    python: `exec '${pythonPath()}' "$@"`,
  }
  for (const [name, line] of Object.entries(programs)) {
    writeFileSync(join(bin, name), `#!/bin/sh\n${line}\n`)
    chmodSync(join(bin, name), 0o755)
  }
}

/** The working folder of one document: as the root of a clone, but empty of runs. */
export function makePlace(world: string, document: string): string {
  const place = join(world, document.replaceAll(/[/.]/g, '-'))
  mkdirSync(place)
  for (const folder of ['py', 'ts', 'test']) symlinkSync(join(ROOT, folder), join(place, folder))
  return place
}

/** Saves a block; answers the name of its file. A block that tests is named for vitest. */
export function saveBlock(place: string, { language, source, line, file }: Block): string {
  const kind = source.includes("from 'immiscible/testing'")
    ? 'test.ts'
    : { ts: 'ts', python: 'py', sh: 'sh', json: 'json', text: 'txt' }[language]
  const name = file ?? `line-${line}.${kind}`
  mkdirSync(dirname(join(place, name)), { recursive: true })
  writeFileSync(join(place, name), source)
  return name
}

/** Runs a saved block. Throws with its output where it fails. */
export async function runBlock(place: string, { language, source }: Block, name: string): Promise<string> {
  if (language === 'json') return JSON.stringify(JSON.parse(source))
  if (language === 'text') return ''
  if (language === 'python') return runProgram(place, pythonPath(), [name], { PYTHONPATH: join(ROOT, 'py') })
  // The first command that fails is the last, is shown, and what was started in the background is waited for.
  if (language === 'sh')
    return runProgram(place, 'bash', ['-c', 'set -exuo pipefail; . "./$0"; for job in $(jobs -p); do wait "$job"; done', name])
  if (name.endsWith('.test.ts')) return runProgram(place, join(ROOT, 'node_modules', '.bin', 'vitest'), ['run', '--root', place, name])
  return runProgram(place, process.execPath, [name])
}

export function runProgram(cwd: string, program: string, args: readonly string[], more: Record<string, string> = {}): Promise<string> {
  const env = {
    ...process.env,
    PATH: `${join(dirname(cwd), 'bin')}:${process.env['PATH']}`,
    OMP_NUM_THREADS: '1',
    ...more,
  }
  return new Promise((resolve, reject) => {
    // A group of its own: what a block started and left running ends with it.
    const child = spawn(program, args, { cwd, env, detached: true, stdio: ['ignore', 'pipe', 'pipe'] })
    const end = (): void => {
      try {
        if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL')
      } catch {
        // Nothing of the group is left.
      }
    }
    let output = ''
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (output += chunk.toString()))
    const clock = setTimeout(end, 240 * SECONDS)
    child.on('error', reject)
    child.on('exit', end)
    child.on('close', (code, signal) => {
      clearTimeout(clock)
      if (code === 0) resolve(output.trim())
      else reject(new Error(`${program} ${args.at(-1)}: ${code ?? signal}\n${output.trim().slice(-4000)}`))
    })
  })
}
