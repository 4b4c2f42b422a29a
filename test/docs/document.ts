/** A document's code blocks, and a project of a user's in which they run as they stand: `npx immiscible` and `import 'immiscible'` are this source tree. */
import { chmodSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'

export const ROOT = join(import.meta.dirname, '..', '..')

export interface Block {
  readonly language: string
  readonly text: string
  /** Of the line with the fence, from 1. */
  readonly line: number
  /** The block is that file, and does not run: its first line is a comment with the name, or the line before the fence is `<!-- file: NAME -->`. */
  readonly file: string | undefined
  /** From `<!-- not run: REASON -->` in the line before the fence. */
  readonly notRun: string | undefined
}

const FENCE = /^```(\w*)\s*$/
const FILE_NAME = /^(?:\/\/|#) ([\w.-]+\.\w+)$/
const FILE = /^<!-- file: (\S+) -->$/
const NOT_RUN = /^<!-- not run: ?(.*?) ?-->$/

export function readBlocks(markdown: string): Block[] {
  const lines = markdown.split('\n')
  const blocks: Block[] = []
  for (let at = 0; at < lines.length; at++) {
    const language = FENCE.exec(lines[at])?.[1]
    if (language === undefined) continue
    const end = lines.findIndex((line, index) => index > at && line.startsWith('```'))
    if (end < 0) throw new Error(`line ${at + 1}: expected the end of the block, got the end of the document`)
    const body = lines.slice(at + 1, end)
    blocks.push({
      language,
      text: `${body.join('\n')}\n`,
      line: at + 1,
      file: FILE.exec(lines[at - 1] ?? '')?.[1] ?? FILE_NAME.exec(body[0] ?? '')?.[1],
      notRun: NOT_RUN.exec(lines[at - 1] ?? '')?.[1],
    })
    at = end
  }
  return blocks
}

/** Runs that a document says it goes on from: `<!-- needs: runs/first -->`. */
export function readNeeds(markdown: string): string[] {
  return [...markdown.matchAll(/^<!-- needs: (\S+) -->$/gm)].map(([, run]) => run)
}

/** What nobody wants to wait for in a test. Documents have the figures that a user wants. */
export const SHORTER: readonly (readonly [long: RegExp, short: string])[] = [
  [/(--max-train-steps )4000\b/g, '$112'],
  [/(--max-train-steps )\d{3,}/g, '$18'],
  [/(maxTrainSteps"?: )\d[\d_]{2,}/g, '$18'],
  [/(--batch-sizes )\d{3,}(?:,\d+)*/g, '$18,16'],
  [/(--num-images )\d{2,}/g, '$116'],
  [/(--seeds )\d+/g, '$12'],
  [/(immiscible evaluate \S+)/g, '$1 --num-images 4 --num-inference-steps 2'],
]

export function shorten(text: string): string {
  return SHORTER.reduce((shorter, [long, short]) => shorter.replaceAll(long, short), text)
}

/** Makes the project in an empty folder; answers the variables under which its commands run. */
export function makeProject(folder: string): NodeJS.ProcessEnv {
  const write = (file: string, text: string): void => {
    mkdirSync(dirname(join(folder, file)), { recursive: true })
    writeFileSync(join(folder, file), text)
  }
  const link = (file: string, target: string): void => {
    mkdirSync(dirname(join(folder, file)), { recursive: true })
    symlinkSync(target, join(folder, file))
  }
  // What is installed already.
  write('package.json', JSON.stringify({ type: 'module', scripts: { setup: 'true' } }))
  const { exports } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { exports: Record<string, { default?: string }> }
  const fromSource = Object.entries(exports).flatMap(([name, { default: built }]) =>
    built === undefined ? [] : [[name, built.replace('./dist/', './').replace(/\.js$/, '.ts')]],
  )
  write(
    'node_modules/immiscible/package.json',
    JSON.stringify({ name: 'immiscible', type: 'module', exports: Object.fromEntries(fromSource) }),
  )
  for (const part of ['ts', 'protocol', 'py']) link(`node_modules/immiscible/${part}`, join(ROOT, part))
  link('py', join(ROOT, 'py'))
  for (const part of ['@types', 'vitest']) link(`node_modules/${part}`, join(ROOT, 'node_modules', part))
  const commands = {
    npx: 'exec "$@"',
    node: `exec '${process.execPath}' "$@"`,
    immiscible: `exec '${process.execPath}' '${join(ROOT, 'ts', 'cli', 'main.ts')}' "$@"`,
    python: `exec '${process.env['IMMISCIBLE_PYTHON'] ?? 'python3'}' "$@"`,
  }
  for (const [name, line] of Object.entries(commands)) {
    write(join('.bin', name), `#!/bin/sh\n${line}\n`)
    chmodSync(join(folder, '.bin', name), 0o755)
  }
  write('tsconfig.json', JSON.stringify(TSCONFIG))
  const path = [join(folder, '.bin'), join(ROOT, 'node_modules', '.bin'), process.env['PATH']].join(':')
  // What is decoded stays in the project; what `data clean` removes as well.
  return { ...process.env, ...SMALL, IMMISCIBLE_HOME: join(folder, '.cache'), PATH: path, NO_COLOR: '1' }
}

/** Small pictures, of which nobody looks at one: unless a command says otherwise. */
const SMALL = { IMMISCIBLE_SAMPLING__NUM_IMAGES: '4', IMMISCIBLE_SAMPLING__EVERY_STEPS: '0', IMMISCIBLE_WORKER__NUM_THREADS: '1' }

/** As strict as the project; an example may name what it does not use. */
const TSCONFIG = {
  extends: join(ROOT, 'tsconfig.json'),
  compilerOptions: {
    noEmit: true,
    declaration: false,
    noUnusedLocals: false,
    noUnusedParameters: false,
    rootDir: '/',
    typeRoots: [join(ROOT, 'node_modules', '@types')],
    // The sources name WebAssembly; in the project its types come by way of the tests' packages.
    lib: ['es2024', 'esnext.disposable', 'webworker'],
  },
  include: ['*.ts'],
}
