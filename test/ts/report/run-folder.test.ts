import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { hostname, tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { hashConfig, resolveConfig, type RunManifest, type TrainConfig } from '../../../protocol/index.ts'
import { createRunFolder, openRunFolder, readRunFolder } from '../../../ts/report/run-folder.ts'

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'immiscible-test-'))
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

function configFor(outputDir: string): TrainConfig {
  const resolved = resolveConfig({ dataset: { kind: 'digits' }, outputDir })
  if ('problems' in resolved) throw new Error(JSON.stringify(resolved.problems))
  return resolved.config
}

const manifestOf = (config: TrainConfig): RunManifest => ({
  format: 'immiscible-run/1',
  runId: '0'.repeat(32),
  configHash: hashConfig(config),
  datasetSha256: 'x',
  protocolVersion: 1,
  createdAt: 'now',
})

function create(name = 'run'): ReturnType<typeof createRunFolder> {
  const config = configFor(join(folder, name))
  return createRunFolder(config, manifestOf(config))
}

test('a run folder gives back what was written', () => {
  const run = create()
  run[Symbol.dispose]()
  const again = readRunFolder(run.path)
  expect(again.config).toEqual(run.config)
  expect(again.manifest).toEqual(run.manifest)
})

test('a folder that holds a run, or anything else, is refused and left alone', () => {
  create()[Symbol.dispose]()
  const before = readFileSync(join(folder, 'run', 'run.json'), 'utf8')
  expect(() => create()).toThrow(/already holds a run; resume it/)
  expect(readFileSync(join(folder, 'run', 'run.json'), 'utf8')).toBe(before)
  writeFileSync(join(folder, 'mine.txt'), 'precious')
  expect(() => create('.')).toThrow(/expected an empty or new folder/)
  expect(readFileSync(join(folder, 'mine.txt'), 'utf8')).toBe('precious')
})

test.runIf(process.platform === 'linux')('a folder that cannot be made is one error, at once', () => {
  for (const place of ['/proc/nope/deeper', join(folder, 'file', 'run')]) {
    writeFileSync(join(folder, 'file'), '')
    const config = configFor(place)
    expect(() => createRunFolder(config, manifestOf(config))).toThrow(`outputDir: cannot create ${place}`)
  }
})

/** Puts `owner` in place of whoever has the run. */
function giveLockTo(path: string, owner: object): void {
  rmSync(join(path, 'lock'), { recursive: true, force: true })
  mkdirSync(join(path, 'lock'))
  writeFileSync(join(path, 'lock', 'other.json'), JSON.stringify({ host: hostname(), processStart: null, ...owner }))
}

test('a run in use is refused with its owner; one whose owner died is free, also where its number is another process now', () => {
  const run = create()
  expect(() => openRunFolder(run.config, run.manifest)).toThrow(`in use by process ${process.pid}`)
  run[Symbol.dispose]()
  expect(existsSync(join(run.path, 'lock'))).toBe(false)
  giveLockTo(run.path, { pid: process.ppid })
  expect(() => openRunFolder(run.config, run.manifest)).toThrow(`in use by process ${process.ppid}`)
  const { pid } = spawnSync(process.execPath, ['-e', ''])
  for (const owner of [{ pid }, ...(process.platform === 'linux' ? [{ pid: process.pid, processStart: '1' }] : [])]) {
    giveLockTo(run.path, owner)
    const opened = openRunFolder(run.config, run.manifest)
    expect(() => openRunFolder(run.config, run.manifest)).toThrow(`in use by process ${process.pid}`)
    opened[Symbol.dispose]()
  }
})

test.each(['null', '7', '{', '{"pid":"1"}', '{"pid":-1,"host":"a","processStart":null}'])('a lock that says %s has no owner', (text) => {
  const run = create()
  run[Symbol.dispose]()
  mkdirSync(join(run.path, 'lock'))
  writeFileSync(join(run.path, 'lock', 'other.json'), text)
  openRunFolder(run.config, run.manifest)[Symbol.dispose]()
  expect(existsSync(join(run.path, 'lock'))).toBe(false)
})

test('an owner that lost the run to another writes nothing more, gives out no generation, and leaves the lock to the other', () => {
  const run = create()
  run.takeGeneration()
  run.append({ kind: 'warning', time: 1, code: 'A', message: 'ours' })
  giveLockTo(run.path, { pid: process.ppid })
  expect(run.append({ kind: 'warning', time: 1, code: 'B', message: 'late' })).toMatchObject({
    message: expect.stringContaining('another process') as string,
  })
  expect(() => run.takeGeneration()).toThrow(/another process has taken this run over/)
  run.writeEnvironment({})
  run[Symbol.dispose]()
  expect(readFileSync(join(run.path, 'events.jsonl'), 'utf8')).not.toContain('late')
  expect(JSON.parse(readFileSync(join(run.path, 'generation.json'), 'utf8'))).toEqual({ next: 1 })
  expect(readdirSync(join(run.path, 'lock'))).toEqual(['other.json'])
  expect(existsSync(join(run.path, 'environment.json'))).toBe(false)
})

test('what a start left that was killed before there was a run is no obstacle; a config.json of the user is', () => {
  const run = create()
  run[Symbol.dispose]()
  rmSync(join(run.path, 'run.json'))
  expect(() => create()).toThrow(/expected an empty or new folder/)
  const { pid } = spawnSync(process.execPath, ['-e', ''])
  giveLockTo(run.path, { pid })
  create()[Symbol.dispose]()
  expect(existsSync(join(run.path, 'run.json'))).toBe(true)
})

test('generations go up over all openings', () => {
  const run = create()
  expect([run.takeGeneration(), run.takeGeneration()]).toEqual([0, 1])
  run[Symbol.dispose]()
  const again = openRunFolder(run.config, run.manifest)
  expect(again.takeGeneration()).toBe(2)
  again[Symbol.dispose]()
})

test('a line cut short by a crash does not swallow the next', () => {
  const run = create()
  run.append({ kind: 'warning', time: 1, code: 'A', message: 'whole' })
  run[Symbol.dispose]()
  writeFileSync(join(run.path, 'events.jsonl'), '{"kind":"warn', { flag: 'a' })
  const again = openRunFolder(run.config, run.manifest)
  again.append({ kind: 'warning', time: 2, code: 'B', message: 'next' })
  again[Symbol.dispose]()
  const lines = readFileSync(join(run.path, 'events.jsonl'), 'utf8').trimEnd().split('\n')
  expect(lines).toHaveLength(3)
  expect(JSON.parse(lines[2])).toMatchObject({ code: 'B' })
})

test('a folder that is no run, or a damaged one, is named', () => {
  expect(() => readRunFolder(folder)).toThrow(`expected a run folder (one with run.json), got ${folder}`)
  const run = create()
  run[Symbol.dispose]()
  writeFileSync(join(run.path, 'config.json'), '{')
  expect(() => readRunFolder(run.path)).toThrow(/config\.json is not what this version writes/)
})
