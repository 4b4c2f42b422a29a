/** Nothing that is shipped evaluates text, opens a shell or trusts bytes: by syntax tree, with a canary for each way. Python's part: test/py/test_unsafe_api.py. */
import { globSync, readFileSync } from 'node:fs'
import { extname, join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { findUnsafe } from '../fixture/unsafe-api.ts'

const ROOT = join(import.meta.dirname, '..', '..')
/** What npm adds by itself. */
const ALWAYS = ['package.json', 'README.md', 'LICENSE']
/** Kinds of files that nothing runs: data, types, text. .py is the other gate's; WebAssembly reaches only what it is given; pages have a policy that runs no script of theirs. */
const INERT = ['', '.md', '.json', '.yml', '.toml', '.py', '.wasm', '.bin', '.zlib', '.frames', '.map', '.txt', '.html', '.css']
const CODE = ['.ts', '.mjs', '.js', '.cjs', '.mts', '.cts']

/** file, rule -> why it may. */
const EXCEPTIONS: Readonly<Record<string, string>> = {
  'ts/assignment/module.ts import': "the user's own strategy, which the config names by its module's URL",
  'ts/config/file.ts import': "the user's own config, a module by its ending",
  'ts/bootstrap/compile-kernels.ts import': 'the AssemblyScript compiler, a constant: a variable so that tsc does not follow it',
}

/** The sources, and all that npm would pack; dist is there only after a build, and made of these sources. */
function shippedFiles(): string[] {
  const { files } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { files: string[] }
  const packed = files.flatMap((pattern) => [pattern, `${pattern}/**`])
  const found = globSync([...ALWAYS, ...packed, 'ts/**', 'protocol/**'], { cwd: ROOT, withFileTypes: true })
  const names = found.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name))
  return [...new Set(names)].map((name) => name.slice(ROOT.length + 1).replaceAll('\\', '/')).toSorted()
}

/** AssemblyScript marks functions as TypeScript may not. */
function read(file: string): string {
  const source = readFileSync(join(ROOT, file), 'utf8')
  return file.startsWith('ts/kernel/simd/assembly/') ? source.replaceAll(/^@\w+/gm, '') : source
}

test('nothing that is shipped evaluates text, opens a shell or trusts bytes', () => {
  const code = shippedFiles().filter((file) => CODE.includes(extname(file)))
  expect(code.length).toBeGreaterThan(100)
  const hits = code.flatMap((file) => {
    const lang = /\.[mc]?ts$/.test(file) ? 'ts' : 'js'
    return findUnsafe(read(file), lang).map((hit) => ({ ...hit, file: file.replace(/^dist\/(.*)\.js$/, '$1.ts') }))
  })
  const found = hits.filter(({ file, rule }) => !(`${file} ${rule}` in EXCEPTIONS))
  expect(found.map(({ file, line, rule, text }) => `${file}:${line} ${rule}: ${text}`)).toEqual([])
  const used = new Set(hits.map(({ file, rule }) => `${file} ${rule}`))
  expect(Object.keys(EXCEPTIONS).filter((exception) => !used.has(exception))).toEqual([])
})

test('every kind of file that is shipped is looked at, or is nothing that runs', () => {
  expect(shippedFiles().filter((file) => ![...CODE, ...INERT].includes(extname(file)))).toEqual([])
})

describe('control: each canary is found', () => {
  test.each<[rule: string, source: string]>([
    ['eval', 'eval(text)'],
    ['eval', '(0, eval)(text)'],
    ['eval', 'const run = eval'],
    ['eval', 'globalThis.eval(text)'],
    ['eval', "globalThis['eval'](text)"],
    ['eval', 'new Worker(text, { eval: true })'],
    ['eval', "setTimeout('work()', 10)"],
    ['eval', 'setInterval(`work(${x})`, 10)'],
    ['eval', "import inspector from 'node:inspector'"],
    ['eval', "const repl = await import('node:repl')"],
    ['Function', 'new Function(text)'],
    ['Function', 'Function(text)()'],
    ['Function', '(() => {}).constructor(text)()'],
    ['eval', 'new globalThis.Function(text)'],
    ['vm', "import vm from 'node:vm'"],
    ['vm', "import { runInNewContext } from 'vm'"],
    ['vm', "const { Script } = await import('node:vm')"],
    ['vm', "const vm = require('vm')"],
    ['vm', "export * from 'vm2'"],
    ['child_process', "import { exec } from 'node:child_process'"],
    ['child_process', "import { execSync as run } from 'child_process'"],
    ['child_process', "import * as child from 'node:child_process'"],
    ['child_process', "import child from 'node:child_process'"],
    ['child_process', "const { exec } = await import('node:child_process')"],
    ['child_process', "require('child_process').exec(line)"],
    ['shell', 'spawn(command, { shell: true })'],
    ['shell', "spawn(command, { shell: '/bin/sh' })"],
    ['shell', 'spawn(command, { shell })'],
    ['shell', "spawn(command, { 'shell': isWindows })"],
    ['shell', 'options.shell = true'],
    ['shell', "import { execaCommand } from 'execa'"],
    ['shell', "const { $ } = await import('execa')"],
    ['import', 'await import(specifier)'],
    ['import', "await import('data:text/javascript,work()')"],
    ['import', 'require(name)'],
    ['deserialize', "import { deserialize } from 'node:v8'"],
    ['deserialize', "import v8 from 'v8'"],
    ['deserialize', "import serialize from 'node-serialize'"],
    ['yaml', "import { load } from 'js-yaml'"],
    ['pickle', "import { Parser } from 'pickleparser'"],
    ['native', "process.binding('fs')"],
    ['trustRemoteCode', 'sample(folder, { trustRemoteCode: true })'],
    ['trustRemoteCode', 'function sample({ trustRemoteCode = true }) {}'],
  ])('%s: %s', (rule, source) => {
    expect(findUnsafe(source).map((hit) => hit.rule)).toContain(rule)
  })

  test.each([
    '// eval(text), new Function(text)\nexport {}',
    "const message = 'no pickle, no eval(), no { shell: true }, no vm.runInContext'",
    'const { eval: evaluate } = network',
    'spawn(command, { shell: false })',
    "import { spawn, type ChildProcess } from 'node:child_process'",
    "import type { Context } from 'node:vm'",
    "const { execa } = await import('execa')",
    'interface Options { readonly shell: boolean; readonly eval: number }',
    'type Handler = Function',
    'sample(folder, { trustRemoteCode: options.trustRemoteCode })',
    'function sample({ trustRemoteCode = false }) {}',
    'pattern.exec(text)',
    "setTimeout(() => work('now'), 10)",
    "const module = await import('node:fs')",
    'class Mine { constructor() {} }',
  ])('not found: %s', (source) => {
    expect(findUnsafe(source)).toEqual([])
  })
})
