/** `immiscible doctor` in a process of its own, with interpreters that are absent, wrong, incomplete or hang, and folders that cannot be written to. */
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { Check, Diagnosis } from '../../../ts/index.ts'
import { checkNode } from '../../../ts/doctor/machine.ts'
import { pythonPath } from '../../fixture/python.ts'

const ROOT = join(import.meta.dirname, '..', '..', '..')
const CLI = join(ROOT, 'ts', 'cli', 'main.ts')
const DIAGNOSE = join(ROOT, 'ts', 'doctor', 'diagnose.ts')

let folder: string
let home: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'doctor-'))
  home = join(folder, 'home')
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

interface Answer extends Diagnosis {
  readonly status: number | null
  readonly stderr: string
}

const bare = (): Record<string, string> => ({ IMMISCIBLE_HOME: home, IMMISCIBLE_PYTHON: '', VIRTUAL_ENV: '', CONDA_PREFIX: '' })

function doctor(env: Record<string, string> = {}): Answer {
  const { status, stdout, stderr } = spawnSync(process.execPath, [CLI, 'doctor', '--json'], {
    encoding: 'utf8',
    env: { ...process.env, ...bare(), ...env },
  })
  return { ...(JSON.parse(stdout) as Diagnosis), status, stderr }
}

/** The one check of a name. */
function check({ checks }: Diagnosis, name: string): Check {
  const found = checks.filter((each) => each.name === name)
  expect(found.map((each) => each.name)).toEqual([name])
  return found[0]
}

function script(name: string, text: string): string {
  const path = join(folder, name)
  mkdirSync(join(path, '..'), { recursive: true })
  writeFileSync(path, `#!/bin/sh\n${text}\n`, { mode: 0o755 })
  return path
}

/** A real Python that starts, and to which some modules are not there. */
function pythonWithout(...modules: string[]): string {
  const sitecustomize = `
import importlib.metadata, sys
hidden = ${JSON.stringify(modules)}
class Hide:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in hidden:
            raise ModuleNotFoundError(f"No module named '{name}'", name=name)
sys.meta_path.insert(0, Hide())
real = importlib.metadata.version
def version(name):
    if name in hidden:
        raise importlib.metadata.PackageNotFoundError(name)
    return real(name)
importlib.metadata.version = version
`
  mkdirSync(join(folder, 'site'), { recursive: true })
  writeFileSync(join(folder, 'site', 'sitecustomize.py'), sitecustomize)
  return script('python-without', `export PYTHONPATH="${join(folder, 'site')}:$PYTHONPATH"\nexec "${pythonPath()}" "$@"`)
}

/** Holds in the Python that openPython() starts, and not where its versions are asked for. */
const SPOKEN_TO = 'import os, time\nif "NODE_CHANNEL_FD" in os.environ:\n'

/** A folder for PYTHONPATH with one file. */
function planted(file: string, source: string): string {
  const path = join(folder, 'planted', file)
  mkdirSync(join(path, '..'), { recursive: true })
  writeFileSync(path, source)
  return join(folder, 'planted')
}

test('all is well: each thing is said, Python by itself', () => {
  const said = doctor({ IMMISCIBLE_PYTHON: pythonPath() })
  expect(said).toMatchObject({ status: 0, canTrain: true, environment: { python: pythonPath(), source: 'IMMISCIBLE_PYTHON' } })
  expect(said.checks.map(({ name }) => name)).toEqual(
    ['node', 'python', 'packages', 'device', 'cuda', 'kernels', 'sockets', 'ports', 'cache folder', 'working folder'], // in this order
  )
  expect(said.checks.filter(({ status }) => status !== 'ok')).toEqual([])
  expect(check(said, 'packages').found).toMatch(
    /^Python 3\.\d+\.\d+, torch 2\.\S+, diffusers 0\.\S+, accelerate \S+: \d+ packages, all as tested$/,
  )
  expect(check(said, 'device').found).toMatch(/^(cpu|cuda|mps): \S+/)
  expect(check(said, 'kernels').found).toContain('relaxed SIMD')
  expect(check(said, 'sockets').found).toMatch(/^ZeroMQ binds (ipc|tcp):/)
  expect(said.checks.every(({ fix }) => fix === undefined)).toBe(true)
})

test('as text: a line for each thing, what to do below it, and a verdict', () => {
  const env = { ...process.env, ...bare(), IMMISCIBLE_PYTHON: '/no/such/python' }
  const { stdout, stderr, status } = spawnSync(process.execPath, [CLI, 'doctor'], { encoding: 'utf8', env })
  expect(stdout).toMatch(/^ok {4}node {12}Node \d+\.\d+\.\d+, /m)
  expect(stdout).toMatch(
    /^FAIL {2}python {10}IMMISCIBLE_PYTHON \(\/no\/such\/python\) cannot run the worker: there is no such program\n {20}\s*Either name another/m,
  )
  expect(stdout).toMatch(/\n\nTraining cannot work here: one problem\.\n$/)
  expect({ status, stderr }).toEqual({ status: 3, stderr: 'immiscible: training cannot work here\n' })
})

describe('Python', () => {
  test('that is named and is not there', () => {
    const said = doctor({ IMMISCIBLE_PYTHON: '/no/such/python' })
    expect(said).toMatchObject({ status: 3, canTrain: false })
    expect(check(said, 'python')).toMatchObject({ status: 'problem', found: expect.stringContaining('there is no such program') as string })
  })

  test('that is no Python', () => {
    const said = doctor({ IMMISCIBLE_PYTHON: script('liar', 'echo hello') })
    expect(check(said, 'python')).toMatchObject({
      status: 'problem',
      found: expect.stringContaining("expected JSON of its version, got 'hello'") as string,
    })
  })

  test('that is too old', () => {
    const answer = `{"python": "x", "version": [3, 8, 1], "prefix": "/", "canMakeVenv": true, "packages": {}}`
    const said = doctor({ IMMISCIBLE_PYTHON: script('old', `echo '${answer}'`) })
    expect(check(said, 'python').found).toContain('expected Python 3.10 or newer, got 3.8.1')
  })

  test('without torch: which, and how it is installed there', () => {
    const said = doctor({ IMMISCIBLE_PYTHON: pythonWithout('torch', 'msgspec') })
    expect(said.status).toBe(3)
    expect(check(said, 'python').found).toContain('without torch, msgspec')
    expect(check(said, 'packages')).toMatchObject({ status: 'problem', found: 'without torch, msgspec' })
    expect(check(said, 'packages').fix).toMatch(/-m pip install "torch==[\d.]+" "msgspec==[\d.]+"$/)
  })

  test('whose torch does not load', () => {
    const torch = planted('torch/__init__.py', 'raise OSError("libcudart.so.12: cannot open shared object file")')
    const said = doctor({ IMMISCIBLE_PYTHON: pythonPath(), PYTHONPATH: torch })
    expect(check(said, 'device')).toMatchObject({ status: 'problem', found: expect.stringContaining('OSError: libcudart.so.12') as string })
    expect(said.status).toBe(3)
  })

  test('that answers what it is and dies when it is spoken to', () => {
    const dying = planted('sitecustomize.py', `${SPOKEN_TO}    os.kill(os.getpid(), 9)`)
    const said = doctor({ IMMISCIBLE_PYTHON: pythonPath(), PYTHONPATH: dying })
    expect(check(said, 'bridge')).toMatchObject({ status: 'problem', found: expect.stringContaining('SIGKILL') as string })
    expect(said.status).toBe(3)
  })

  test.each([
    ['at once', 'import time\ntime.sleep(1000)', 'python', /did not answer in 2 s/],
    ['when it is spoken to', `${SPOKEN_TO}    time.sleep(1000)`, 'bridge', /did not start in 2000 ms/],
  ])('that hangs %s is given up', (_, sitecustomize, name, found) => {
    const program = `
      const { diagnose } = await import(${JSON.stringify(DIAGNOSE)})
      process.stdout.write(JSON.stringify(await diagnose({ timeoutMs: 2000 })))`
    const { stdout } = spawnSync(process.execPath, ['--input-type=module', '-e', program], {
      encoding: 'utf8',
      env: { ...process.env, ...bare(), IMMISCIBLE_PYTHON: pythonPath(), PYTHONPATH: planted('sitecustomize.py', sitecustomize) },
    })
    const said = JSON.parse(stdout) as Diagnosis
    expect(check(said, name)).toMatchObject({ status: 'problem', found: expect.stringMatching(found) as string })
    expect(check(said, 'sockets').status).toBe('ok')
  })

  test('is not there at all: what to install; nothing is installed', () => {
    mkdirSync(join(folder, 'empty'))
    const said = doctor({ PATH: join(folder, 'empty') })
    expect(check(said, 'python')).toMatchObject({
      status: 'problem',
      found: 'no Python 3.10 or newer',
      fix: expect.stringContaining('apt install python3') as string,
    })
    expect(existsSync(home)).toBe(false)
  })

  test('is there, and the environment is still to be made: a note, and nothing is made', () => {
    const said = doctor()
    expect(said).toMatchObject({ status: 0, canTrain: true })
    expect(said.environment).toBeUndefined()
    expect(check(said, 'python')).toMatchObject({ status: 'warning', fix: expect.stringContaining('immiscible setup') as string })
    expect(existsSync(home)).toBe(false)
    expect(readdirSync(folder)).toEqual([])
  })

  test('cannot make environments', () => {
    const answer = `{"python": "/a/python", "version": [3, 12, 1], "prefix": "/", "canMakeVenv": false, "packages": {}}`
    script('bin/python3.12', `echo '${answer}'`)
    expect(check(doctor({ PATH: `${join(folder, 'bin')}:/nowhere` }), 'python')).toMatchObject({
      status: 'problem',
      found: '/a/python (3.12.1) cannot make virtual environments',
      fix: expect.stringContaining('apt install python3.12-venv') as string,
    })
  })

  test('of an active environment without the packages is passed over, and that is said', () => {
    script('venv/bin/python', `exec "${pythonWithout('torch')}" "$@"`)
    expect(check(doctor({ VIRTUAL_ENV: join(folder, 'venv') }), 'python').found).toMatch(
      /passed over the active virtual environment .*venv: without torch/,
    )
  })
})

describe('the machine', () => {
  test('a cache folder that cannot be made is a problem where the environment is to be made in it, and else a warning', () => {
    writeFileSync(join(folder, 'file'), '')
    const env = { IMMISCIBLE_HOME: join(folder, 'file', 'home') }
    const said = doctor(env)
    expect(check(said, 'cache folder')).toMatchObject({
      status: 'problem',
      found: expect.stringContaining('is no folder') as string,
      fix: expect.stringContaining('IMMISCIBLE_HOME') as string,
    })
    expect(said.status).toBe(3)
    const used = doctor({ ...env, IMMISCIBLE_PYTHON: pythonPath() })
    expect([check(used, 'cache folder').status, used.status]).toEqual(['warning', 0])
  })

  test('a temporary folder that is not there, or whose path is too long for a socket', () => {
    const long = join(folder, 'x'.repeat(120))
    mkdirSync(long)
    for (const TMPDIR of ['/no/such/folder', long]) {
      const said = doctor({ TMPDIR, IMMISCIBLE_PYTHON: pythonPath() })
      expect(check(said, 'sockets')).toMatchObject({ status: 'problem', fix: expect.stringContaining('Set TMPDIR') as string })
      expect(said.status).toBe(3)
    }
  })

  test('a Node that is too old, as package.json says', () => {
    expect(checkNode('20.19.0')).toMatchObject({ status: 'problem', fix: expect.stringMatching(/^Install Node 22\.18 or newer/) as string })
    expect(checkNode('22.17.9').status).toBe('problem')
    expect(['22.18.0', '24.0.0'].map((version) => checkNode(version).status)).toEqual(['ok', 'ok'])
  })
})
