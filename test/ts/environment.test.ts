/** Which Python runs the worker, and how ours is made: with a small shell script in the place of Python, in processes of their own. */
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { launch, run } from '../../ts/process.ts'
import { workerEnv, type Environment } from '../../ts/worker/environment.ts'
import { explainPipFailure, summarisePipLine } from '../../ts/worker/pip.ts'
import { packageFolder, parseRequirements, readWorkerRequirements } from '../../ts/worker/requirements.ts'

const environmentModule = join(packageFolder(), 'ts', 'worker', 'environment.ts')
const lockModule = join(packageFolder(), 'ts', 'lock.ts')

/** Answers the probe, makes a "virtual environment" by copying itself, and notes each call of pip. */
const FAKE_PYTHON = `#!/bin/sh
case "$1 $2" in
  "-m venv") echo venv >> "$NOTES"; mkdir -p "$3/bin"; cp "$0" "$3/bin/python" ;;
  "-m pip") for last; do :; done; echo "pip $(tr '\\n' ' ' < "$last")" >> "$NOTES"; echo "Collecting torch==0"; sleep "\${PIP_SECONDS:-0}"
    if [ -n "$PIP_ERROR" ]; then echo "$PIP_ERROR"; exit 1; fi ;;
  "-c "*) echo probe >> "$NOTES"
    if [ "$(grep -c probe "$NOTES")" -le "\${INTERRUPTED_PROBES:-0}" ]; then kill -INT $$; fi
    echo "{\\"python\\": \\"$0\\", \\"version\\": [3, \${PYTHON_MINOR:-12}, 1], \\"prefix\\": \\"/\\", \\"canMakeVenv\\": \${CAN_MAKE_VENV:-true}, \\"packages\\": \${PACKAGES:-{\\}}}" ;;
esac
`

let folder: string
let home: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'environment-'))
  home = join(folder, 'home')
  fakePython(join(folder, 'bin', 'python3.13'))
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

function fakePython(path: string): string {
  mkdirSync(join(path, '..'), { recursive: true })
  writeFileSync(path, FAKE_PYTHON, { mode: 0o755 })
  return path
}

const notes = (): string[] => (existsSync(join(folder, 'notes')) ? readFileSync(join(folder, 'notes'), 'utf8').trim().split('\n') : [])
const numPips = (): number => notes().filter((note) => note.startsWith('pip')).length
const everything = JSON.stringify(Object.fromEntries(readWorkerRequirements().base.map(({ name, version }) => [name, version])))

interface Outcome {
  readonly environment?: Environment
  readonly error?: { readonly code: string; readonly message: string }
  readonly progress: readonly string[]
}

/** ensureEnvironment() in a process of its own. */
async function ensure(env: Record<string, string> = {}, extras: readonly string[] = []): Promise<Outcome> {
  const script = `
    const { ensureEnvironment } = await import(${JSON.stringify(environmentModule)})
    const progress = []
    const outcome = await ensureEnvironment({ extras: ${JSON.stringify(extras)}, onProgress: (line) => progress.push(line) }).then(
      (environment) => ({ environment }),
      (error) => ({ error: { code: error.code, message: error.message } }),
    )
    console.log(JSON.stringify({ ...outcome, progress }))`
  const { stdout } = await run(process.execPath, ['--input-type=module', '-e', script], {
    env: {
      PATH: `${join(folder, 'bin')}:/usr/bin:/bin`,
      NOTES: join(folder, 'notes'),
      IMMISCIBLE_HOME: home,
      IMMISCIBLE_PYTHON: '',
      VIRTUAL_ENV: '',
      CONDA_PREFIX: '',
      ...env,
    },
    check: true,
  })
  return JSON.parse(stdout) as Outcome
}

describe('the order', () => {
  test('IMMISCIBLE_PYTHON comes before an active environment', async () => {
    const python = fakePython(join(folder, 'mine'))
    const venv = join(folder, 'venv')
    fakePython(join(venv, 'bin', 'python'))
    const { environment } = await ensure({ IMMISCIBLE_PYTHON: python, VIRTUAL_ENV: venv, PACKAGES: everything })
    expect(environment).toMatchObject({ python, source: 'IMMISCIBLE_PYTHON' })
  })

  test('IMMISCIBLE_PYTHON without the packages is refused, with what to install, and nothing else is tried', async () => {
    const { error } = await ensure({ IMMISCIBLE_PYTHON: fakePython(join(folder, 'mine')), PACKAGES: '{"torch": "2.13.0"}' })
    expect(error?.code).toBe('ENVIRONMENT')
    expect(error?.message).toMatch(/IMMISCIBLE_PYTHON \(.*mine\) cannot run the worker: without diffusers, .*pip install "diffusers==/)
    expect(numPips()).toBe(0)
  })

  test("an interpreter that a terminal's Ctrl-C hit while it was asked is asked again, and not for ever", async () => {
    const python = fakePython(join(folder, 'mine'))
    const given = { IMMISCIBLE_PYTHON: python, PACKAGES: everything }
    expect((await ensure({ ...given, INTERRUPTED_PROBES: '1' })).environment).toMatchObject({ python })
    expect(notes()).toEqual(['probe', 'probe'])
    expect((await ensure({ ...given, INTERRUPTED_PROBES: '99' })).error?.message).toContain('cannot run the worker')
    expect(notes()).toHaveLength(5)
  })

  test('IMMISCIBLE_PYTHON that is not there is refused', async () => {
    const { error } = await ensure({ IMMISCIBLE_PYTHON: '/no/such/python' })
    expect(error?.message).toContain('there is no such program')
  })

  test.each([
    ['VIRTUAL_ENV', 'venv'],
    ['CONDA_PREFIX', 'conda'],
  ])('%s is used when it has the packages', async (variable, source) => {
    const prefix = join(folder, 'active')
    const python = fakePython(join(prefix, 'bin', 'python'))
    const { environment } = await ensure({ [variable]: prefix, PACKAGES: everything })
    expect(environment).toMatchObject({ python, source })
    expect(numPips()).toBe(0)
  })

  test('an active environment in other versions is used, and they are named', async () => {
    const prefix = join(folder, 'active')
    fakePython(join(prefix, 'bin', 'python'))
    const { environment } = await ensure({ CONDA_PREFIX: prefix, PACKAGES: everything.replace(/"torch":"[^"]+"/, '"torch":"2.9.9+cu130"') })
    expect(environment?.reason).toMatch(/torch 2\.9\.9 \(tested with 2/)
  })

  test('an active environment without the packages is passed over, and the reason says so', async () => {
    const prefix = join(folder, 'active')
    fakePython(join(prefix, 'bin', 'python'))
    const { environment } = await ensure({ VIRTUAL_ENV: prefix })
    expect(environment?.source).toBe('managed')
    expect(environment?.reason).toMatch(/passed over the active virtual environment .*active: without torch/)
  })
})

describe('our own environment', () => {
  test('is made once; the second time starts no process at all', async () => {
    const first = await ensure()
    expect(first.environment?.source).toBe('managed')
    expect(first.environment?.python.startsWith(join(home, 'python'))).toBe(true)
    expect(first.progress).toEqual([
      expect.stringContaining('making a Python 3.12.1 environment'),
      'resolving torch',
      expect.stringContaining('ready'),
    ])
    const before = notes()
    expect((await ensure()).environment).toEqual(first.environment)
    expect(notes()).toEqual(before)
  })

  test('gets the extras that are asked for later, and only those', async () => {
    const { environment } = await ensure()
    expect((await ensure({}, ['test'])).environment).toEqual(environment)
    const pips = notes().filter((note) => note.startsWith('pip'))
    expect(pips).toHaveLength(2)
    expect(pips[1]).toContain('pytest==')
    expect(pips[1]).not.toContain('torch==')
  })

  test('is made by one of two concurrent starts while the other waits and says so', async () => {
    const first = ensure({ PIP_SECONDS: '2' })
    while (numPips() === 0) await sleep(20)
    const outcomes = await Promise.all([first, ensure()])
    expect(outcomes[0].environment).toEqual(outcomes[1].environment)
    expect(outcomes[1].progress.join('\n')).toMatch(/waiting for process \d+ on .*installing the same environment/)
    expect(numPips()).toBe(1)
    expect(readdirSync(join(home, 'python')).filter((name) => /lock|tmp/.test(name))).toEqual([])
  })

  test('is made by exactly one of eight simultaneous starts', async () => {
    const outcomes = await Promise.all(Array.from({ length: 8 }, () => ensure({ PIP_SECONDS: '0.3' })))
    expect(new Set(outcomes.map(({ environment }) => environment?.python)).size).toBe(1)
    expect(numPips()).toBe(1)
  })

  test('is made anew when the process that made it was killed in the middle: its lock is taken over', async () => {
    await ensure()
    const [name] = readdirSync(join(home, 'python'))
    const made = join(home, 'python', name)
    rmSync(join(made, 'complete.json'))
    const script = `const { withLock } = await import(${JSON.stringify(lockModule)})
      await withLock(${JSON.stringify(`${made}.lock`)}, {}, async () => { console.log('held'); await new Promise((done) => setTimeout(done, 60_000)) })`
    const isHeld = Promise.withResolvers<void>()
    const holder = await launch(process.execPath, ['--input-type=module', '-e', script], { onLine: () => isHeld.resolve() })
    await isHeld.promise
    const waiting = ensure()
    await sleep(700)
    expect(numPips()).toBe(1)
    holder.kill('SIGKILL')
    await holder.exited
    expect((await waiting).environment?.source).toBe('managed')
    expect(numPips()).toBe(2)
    expect(existsSync(`${made}.lock`)).toBe(false)
  })

  test('a lock whose owner file was torn by a power loss is taken over', async () => {
    await ensure()
    const [name] = readdirSync(join(home, 'python'))
    const made = join(home, 'python', name)
    rmSync(join(made, 'complete.json'))
    mkdirSync(`${made}.lock`)
    writeFileSync(join(`${made}.lock`, 'owner.json'), '')
    expect((await ensure()).environment?.source).toBe('managed')
  })

  test('leaves nothing but a log when pip fails, and works the next time', async () => {
    const { error } = await ensure({ PIP_ERROR: 'ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device' })
    expect(error?.code).toBe('ENVIRONMENT')
    expect(error?.message).toMatch(/The disk is full.*IMMISCIBLE_HOME and TMPDIR.*Full log: .*\.log$/s)
    expect(readdirSync(join(home, 'python'))).toEqual([expect.stringMatching(/\.log$/)])
    expect((await ensure()).environment?.source).toBe('managed')
  })

  test('without a Python, the message lists what was tried and what to install', async () => {
    const { error } = await ensure({ PATH: join(folder, 'nothing') })
    expect(error?.message).toMatch(/Python 3\.\d+ or newer was not found.*python3-venv.*python3\.13: there is no such program/s)
  })

  test('with only an old Python, its version is in the message', async () => {
    rmSync(join(folder, 'bin'), { recursive: true })
    fakePython(join(folder, 'bin', 'python3'))
    const { error } = await ensure({ PATH: join(folder, 'bin'), PYTHON_MINOR: '8' })
    expect(error?.message).toContain('python3: version 3.8.1')
  })

  test('without the venv module, the message names the package that has it', async () => {
    const { error } = await ensure({ PATH: join(folder, 'bin'), CAN_MAKE_VENV: 'false' })
    expect(error?.message).toMatch(/apt install python3\.12-venv/)
  })

  test('a cache folder that is a file is a clear message', async () => {
    writeFileSync(home, '')
    const { error } = await ensure()
    expect(error?.code).toBe('ENVIRONMENT')
    expect(error?.message).toMatch(/cannot write in .*Set IMMISCIBLE_HOME/)
  })
})

describe('pip, made readable', () => {
  test.each([
    ['Collecting torch==2.13.0 (from -r requirements.txt (line 1))', 'resolving torch'],
    ['Processing /mirror/torch-2.13.0-cp312-none-linux_x86_64.whl', 'resolving torch'],
    ['Collecting filelock (from torch==2.13.0)', undefined],
    ['  Downloading torch-2.13.0-cp312-none-linux_x86_64.whl (888.1 MB)', 'downloading torch (888.1 MB)'],
    ['  Downloading torch-2.13.0-cp312-none-linux_x86_64.whl.metadata (29 kB)', undefined],
    ['Installing collected packages: a, b, c', 'installing 3 packages'],
    ['Requirement already satisfied: pip', undefined],
  ])('%s', (line, summary) => {
    expect(summarisePipLine(line)).toBe(summary)
  })

  test.each([
    ['[Errno 28] No space left on device', /disk is full/],
    [
      "WARNING: Retrying after connection broken by 'NewConnectionError'\nERROR: No matching distribution found for torch",
      /cannot be reached/,
    ],
    ['ERROR: No matching distribution found for torch==2.13.0', /has no torch==2\.13\.0 for/],
    ["ERROR: [Errno 13] Permission denied: '/x'", /No permission/],
    ['one\ntwo', /pip said last:\n {2}one\n {2}two/],
  ])('%s', (output, advice) => {
    expect(explainPipFailure({ output, folder: '/cache', python: 'python3' })).toMatch(advice)
  })
})

test('requirements are read with markers, extras, comments and either quote', () => {
  const toml = `
[project]
requires-python = ">=3.10"
dependencies = [
  "Torch==2.13.0", # "not-this==1"
  'numpy==2.2.6; python_version < "3.11"',
  "uvicorn[standard] == 1.0",
  "loose>=1",
]
[project.optional-dependencies]
test = ["pytest==9.2.0"]
one-line = []
[tool.x]
dependencies = ["no==1"]
`
  const { minPython, base, extras } = parseRequirements(toml)
  expect(minPython).toEqual([3, 10])
  expect(base.map(({ name, version }) => [name, version])).toEqual([
    ['torch', '2.13.0'],
    ['numpy', '2.2.6'],
    ['uvicorn', '1.0'],
    ['loose', null],
  ])
  expect(extras).toEqual({ test: [{ name: 'pytest', version: '9.2.0', text: 'pytest==9.2.0' }], 'one-line': [] })
})

test("the worker's own code comes first on its path", () => {
  expect(workerEnv({ PYTHONPATH: '/mine' })).toMatchObject({ PYTHONPATH: `${join(packageFolder(), 'py')}:/mine`, PYTHONUNBUFFERED: '1' })
  expect(workerEnv({})['PYTHONPATH']).toBe(join(packageFolder(), 'py'))
})
