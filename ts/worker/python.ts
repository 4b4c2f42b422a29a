/** Python interpreters on this machine: which there are, and what one of them has. */
import { join } from 'node:path'
import { run, type RunResult } from '../process.ts'
import type { Requirement, WorkerRequirements } from './requirements.ts'

export interface PythonProbe {
  /** The interpreter's own path. */
  readonly python: string
  readonly version: readonly [number, number, number]
  readonly prefix: string
  /** Both `venv` and `ensurepip` are there (Debian packs them apart). */
  readonly canMakeVenv: boolean
  /** Installed version by package name; null: absent. */
  readonly packages: Readonly<Record<string, string | null>>
}

const TERMINAL_SIGNALS: ReadonlySet<string> = new Set(['SIGINT', 'SIGTERM', 'SIGHUP'])
const MAX_ATTEMPTS = 3
const PROBE_MS = 60_000
const PROBE = `
import importlib.metadata, importlib.util, json, sys
def version(name):
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
print(json.dumps({
    "python": sys.executable,
    "version": list(sys.version_info[:3]),
    "prefix": sys.prefix,
    "canMakeVenv": all(importlib.util.find_spec(name) for name in ("venv", "ensurepip")),
    "packages": {name: version(name) for name in sys.argv[1:]},
}))
`

/** Runs `python` once. Answers what is wrong with it as a string. */
export async function probePython(python: string, packages: readonly string[] = [], timeoutMs = PROBE_MS): Promise<PythonProbe | string> {
  let result: RunResult
  let attempts = 0
  do {
    result = await run(python, ['-c', PROBE, ...packages], { timeoutMs })
    // Ctrl-C and its like reach the whole process group; what they mean is for this process to say, so it asks again.
  } while (TERMINAL_SIGNALS.has(result.signal ?? '') && result.durationMs < timeoutMs && ++attempts < MAX_ATTEMPTS)
  const { exitCode, stdout, stderr, errorCode, durationMs } = result
  if (exitCode === null && durationMs >= timeoutMs) return `it did not answer in ${timeoutMs / 1000} s`
  if (errorCode === 'ENOENT') return 'there is no such program'
  if (exitCode !== 0) return stderr.trim().split('\n').at(-1) || errorCode || `exit code ${exitCode}`
  try {
    return JSON.parse(stdout.trim().split('\n').at(-1) ?? '') as PythonProbe
  } catch {
    return `expected JSON of its version, got '${stdout.slice(0, 80)}'`
  }
}

/** What of `requirements` is not installed, as text: empty when all is there. Another version than the pinned one is allowed here. */
export function listMissing(probe: Pick<PythonProbe, 'packages'>, requirements: readonly Requirement[]): string[] {
  return [...new Set(requirements.map(({ name }) => name))].filter((name) => probe.packages[name] == null)
}

/** Installed versions that are not the pinned ones: they may work, and it must be said that they are used. */
export function listDeviations(probe: Pick<PythonProbe, 'packages'>, requirements: readonly Requirement[]): string[] {
  return Object.entries(probe.packages).flatMap(([name, version]) => {
    const installed = version?.split('+')[0]
    // One name has several pins where the version depends on that of Python.
    const pins = requirements.filter((requirement) => requirement.name === name && requirement.version !== null)
    if (installed === undefined || pins.length === 0 || pins.some((pin) => pin.version === installed)) return []
    return [`${name} ${installed} (tested with ${pins.map((pin) => pin.version).join(' or ')})`]
  })
}

export function isOldPython(probe: PythonProbe, [major, minor]: WorkerRequirements['minPython']): boolean {
  return probe.version[0] < major || (probe.version[0] === major && probe.version[1] < minor)
}

/** The interpreter to make an environment with: newest first, one that can make a virtual environment before one that cannot. */
export async function findBasePython(
  minPython: WorkerRequirements['minPython'],
  timeoutMs = PROBE_MS,
): Promise<PythonProbe | { readonly tried: string[] }> {
  const tried: string[] = []
  const usable: PythonProbe[] = []
  for (const name of ['python3.13', 'python3.12', 'python3.11', 'python3.10', 'python3', 'python']) {
    const probe = await probePython(name, [], timeoutMs)
    if (typeof probe === 'string') tried.push(`${name}: ${probe}`)
    else if (isOldPython(probe, minPython)) tried.push(`${name}: version ${probe.version.join('.')}`)
    else if (probe.canMakeVenv) return probe
    else usable.push(probe)
  }
  return usable[0] ?? { tried }
}

/** Where a virtual environment, or with `isConda` a conda environment, has its interpreter. */
export function interpreterOf(prefix: string, isConda = false): string {
  if (process.platform !== 'win32') return join(prefix, 'bin', 'python')
  return isConda ? join(prefix, 'python.exe') : join(prefix, 'Scripts', 'python.exe')
}
