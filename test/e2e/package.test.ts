/** What npm publishes, installed into an empty project elsewhere: commands, imports, types, and a call of Python, on the oldest Node and this one. */
import { execFileSync } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'

const ROOT = join(import.meta.dirname, '..', '..')
const MINUTES = 60_000
/** All that the published files are made of, and the compilers. */
const SOURCES = ['ts', 'protocol', 'py', 'package.json', 'tsconfig.json', 'tsconfig.build.json', 'environment.yml']
const TEXTS = ['README.md', 'LICENSE', 'NOTICE', 'CHANGELOG.md']

interface Manifest {
  readonly version: string
  readonly engines: { readonly node: string }
  readonly devDependencies: Readonly<Record<string, string>>
}
const manifest = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as Manifest
/** Exact: the lowest that `engines` allows. */
const OLDEST_NODE = `${manifest.engines.node.replace('>=', '')}.0`

/** Names what a user of the package would write, and would not compile where a type is missing. */
const PROGRAM = `
import { ConfigError, STRATEGIES, trainImmiscible, type Diagnosis, type RunEvent, type TrainInput } from 'immiscible'
import { checkStrategy } from 'immiscible/testing'
import { computeMetric, loadPipeline, openPython, PythonError, withMetric, type PythonArray } from 'immiscible/python'

export async function main(input: TrainInput): Promise<number> {
  await using python = await openPython()
  const run = withMetric(trainImmiscible(input), python, { metric: './metric.py:sharpness' })
  for await (const event of run) if (event.kind === 'metric') console.log(event.value, event.step)
  const { series, pipelineFolder } = await run
  await using pipeline = await loadPipeline(python, pipelineFolder)
  const images: PythonArray<Uint8Array> = await pipeline.sample({ numImages: 4, seed: 1 })
  return images.data.length + (series['sharpness']?.length ?? 0) + Number(await computeMetric(python, 'm:f', '.'))
}
export const names: string[] = STRATEGIES.map(({ kind }) => kind)
export const explain = (error: unknown): string =>
  error instanceof PythonError ? error.traceback : error instanceof ConfigError ? error.problems[0]?.path ?? '' : ''
export type Everything = [Diagnosis, RunEvent, typeof checkStrategy]
// @ts-expect-error a number is no data set: the types are there, and not any
export const wrong: TrainInput = { dataset: 1 }
`
const IMPORTS = `
import { gather, STRATEGIES } from 'immiscible'
import { openPython } from 'immiscible/python'
await using python = await openPython()
const root = await python.call('math:sqrt', [49])
process.stdout.write(JSON.stringify({ node: process.versions.node, root, numStrategies: STRATEGIES.length, gather: typeof gather }))
`

let folder: string
let project: string

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'immiscible-package-'))
  // A copy: npm pack builds dist anew, which other tests are reading here.
  const copy = join(folder, 'copy')
  for (const name of [...SOURCES, ...TEXTS]) cpSync(join(ROOT, name), join(copy, name), { recursive: true })
  symlinkSync(join(ROOT, 'node_modules'), join(copy, 'node_modules'))
  const [{ filename }] = JSON.parse(npm(copy, 'pack', '--json', '--pack-destination', folder)) as [{ filename: string }]

  project = join(folder, 'project')
  mkdirSync(project)
  writeFileSync(join(project, 'package.json'), '{ "name": "elsewhere", "private": true, "type": "module" }')
  const { typescript, '@types/node': types, vitest } = manifest.devDependencies
  const packages = [join(folder, filename), `typescript@${typescript}`, `@types/node@${types}`, `vitest@${vitest}`, `node@${OLDEST_NODE}`]
  npm(project, 'install', '--prefer-offline', '--no-audit', '--no-fund', '--save-exact', ...packages)
  writeFileSync(join(project, 'program.ts'), PROGRAM)
  writeFileSync(join(project, 'imports.js'), IMPORTS.replace('await using python', 'const python').concat('await python.close()\n'))
}, 4 * MINUTES)
afterAll(() => rmSync(folder, { recursive: true, force: true }))

function npm(cwd: string, ...args: string[]): string {
  return execFileSync('npm', args, { cwd, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] })
}

describe.each([
  ['the oldest Node', () => join(project, 'node_modules', 'node', 'bin', 'node')],
  ['this Node', () => process.execPath],
])('%s', (name, node) => {
  const run = (...args: string[]): string =>
    execFileSync(node(), args, { cwd: project, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] })
  const immiscible = (...args: string[]): string =>
    run(join(project, 'node_modules', 'immiscible', 'dist', 'ts', 'cli', 'main.js'), ...args)

  test('is that Node', () => {
    expect(run('--version').trim()).toBe(name === 'this Node' ? process.version : `v${OLDEST_NODE}`)
  })

  test('the command line answers', () => {
    expect(immiscible('--version').trim()).toBe(manifest.version)
    expect((JSON.parse(immiscible('strategies', '--json')) as { name: string }[]).map(({ name: each }) => each)).toContain('quantized')
  })

  test('doctor finds that training can work, and asks Python for it', () => {
    const diagnosis = JSON.parse(immiscible('doctor', '--json')) as { canTrain: boolean; checks: { name: string; status: string }[] }
    expect(diagnosis.canTrain).toBe(true)
    expect(diagnosis.checks.filter(({ status }) => status === 'problem')).toEqual([])
    expect(diagnosis.checks.map(({ name: each }) => each)).toContain('device')
  })

  test('the API is imported, and Python called', () => {
    expect(JSON.parse(run('imports.js'))).toMatchObject({ root: 7, gather: 'function' })
  })
})

test('the types of a small program are right under nodenext, those of the package included', () => {
  const tsc = join(project, 'node_modules', '.bin', 'tsc')
  const flags = [
    '--module',
    'nodenext',
    '--strict',
    '--noEmit',
    '--lib',
    'es2024,esnext.disposable',
    '--target',
    'es2024',
    '--types',
    'node',
  ]
  execFileSync(tsc, [...flags, 'program.ts'], { cwd: project, encoding: 'utf8' })
  // Control: the same command finds what is wrong.
  writeFileSync(join(project, 'wrong.ts'), PROGRAM.replace("event.kind === 'metric'", "event.kind === 'metrics'"))
  expect(() => execFileSync(tsc, [...flags, 'wrong.ts'], { cwd: project, encoding: 'utf8', stdio: 'pipe' })).toThrow()
})
