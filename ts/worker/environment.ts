/** Which Python runs the worker: the one that the user names, an active environment that has the worker's packages, or our own. */
import { delimiter, join } from 'node:path'
import { ImmiscibleError } from '../errors.ts'
import { findManaged, makeManaged, type ManagedOptions } from './managed-environment.ts'
import { interpreterOf, isOldPython, listDeviations, listMissing, probePython } from './python.ts'
import { packageFolder, readWorkerRequirements, type Requirement } from './requirements.ts'

export interface Environment {
  /** Path of the interpreter. */
  readonly python: string
  readonly source: 'IMMISCIBLE_PYTHON' | 'venv' | 'conda' | 'managed'
  /** Why this one, in one line. */
  readonly reason: string
}

export interface EnvironmentOptions {
  /** Groups of optional dependencies in py/pyproject.toml, such as `test`. */
  readonly extras?: readonly string[]
  /** Each is the group of its name where there is one; any other the user installs, and the worker says so where it is missing. */
  readonly trackers?: readonly string[]
  readonly onProgress?: (line: string) => void
  readonly signal?: AbortSignal
  /** Instead of this process's own. */
  readonly env?: NodeJS.ProcessEnv
  /** For each Python that is asked what it has; a minute. */
  readonly probeTimeoutMs?: number
}

/** The Python that would run the worker, or undefined where one must be installed first. Installs nothing. */
export async function findEnvironment(options: EnvironmentOptions = {}): Promise<Environment | undefined> {
  return (await examineEnvironments(options)).environment
}

/** As findEnvironment(), and what was looked at and cannot be used. */
export async function examineEnvironments(
  options: EnvironmentOptions = {},
): Promise<{ readonly environment: Environment | undefined; readonly passedOver: readonly string[] }> {
  const { given, managed, passedOver } = await look(options)
  const python = given ? undefined : findManaged(managed)
  return { environment: python === undefined ? given : describeManaged(python, passedOver), passedOver }
}

/** The Python that runs the worker; installs our own where there is no other. */
export async function ensureEnvironment(options: EnvironmentOptions = {}): Promise<Environment> {
  const { given, managed, passedOver } = await look(options)
  return given ?? describeManaged(findManaged(managed) ?? (await makeManaged(managed)), passedOver)
}

/** Environment variables to start a worker with. */
export function workerEnv(env: NodeJS.ProcessEnv = process.env): Record<string, string> {
  return {
    // The worker's code always comes from this package, so that both sides of the wire are of one version.
    PYTHONPATH: [join(packageFolder(), 'py'), env['PYTHONPATH']].filter(Boolean).join(delimiter),
    PYTHONUNBUFFERED: '1',
    ...(process.platform === 'linux' && MALLOC_TUNING),
  }
}

/** glibc: keep the pages of received batches instead of returning them to the system after each; a third less CPU per batch. */
const MALLOC_TUNING = {
  MALLOC_MMAP_THRESHOLD_: '1073741824',
  MALLOC_TRIM_THRESHOLD_: '4294967296',
  MALLOC_TOP_PAD_: '67108864',
}

interface Findings {
  readonly given?: Environment
  readonly managed: ManagedOptions
  readonly passedOver: readonly string[]
}

async function look(options: EnvironmentOptions): Promise<Findings> {
  const { extras = [], trackers = [], onProgress = () => undefined, signal, env = process.env, probeTimeoutMs } = options
  const requirements = readWorkerRequirements()
  const wanted = [
    ...requirements.base,
    ...extras.flatMap((extra) => requirements.extras[extra] ?? unknownExtra(extra)),
    ...trackers.flatMap((tracker) => requirements.extras[tracker] ?? []),
  ]
  const managed: ManagedOptions = { requirements, wanted, env, onProgress, signal }
  const passedOver: string[] = []
  for (const { python, source, label } of listCandidates(env)) {
    const verdict = await judge(python, managed, probeTimeoutMs)
    if (verdict.usable) {
      return { given: { python: verdict.python, source, reason: `${label} has the worker's packages${verdict.note}` }, managed, passedOver }
    }
    // What the user names is used or refused; never silently replaced.
    if (source === 'IMMISCIBLE_PYTHON') throw new ImmiscibleError('ENVIRONMENT', explainRefusal(label, verdict, wanted))
    passedOver.push(`${label}: ${verdict.problem}`)
  }
  return { managed, passedOver }
}

interface Candidate {
  readonly python: string
  readonly source: Environment['source']
  readonly label: string
}

function listCandidates(env: NodeJS.ProcessEnv): Candidate[] {
  const { IMMISCIBLE_PYTHON: named, VIRTUAL_ENV: venv, CONDA_PREFIX: conda } = env
  const candidates: Candidate[] = []
  if (named) candidates.push({ python: named, source: 'IMMISCIBLE_PYTHON', label: `IMMISCIBLE_PYTHON (${named})` })
  if (venv) candidates.push({ python: interpreterOf(venv), source: 'venv', label: `the active virtual environment ${venv}` })
  if (conda) candidates.push({ python: interpreterOf(conda, true), source: 'conda', label: `the active conda environment ${conda}` })
  return candidates
}

type Verdict =
  | { readonly usable: true; readonly python: string; readonly note: string }
  | { readonly usable: false; readonly problem: string; readonly missing: readonly string[] }

async function judge(python: string, { requirements, wanted }: ManagedOptions, probeTimeoutMs: number | undefined): Promise<Verdict> {
  const names = [...new Set(wanted.map(({ name }) => name))]
  const probe = await probePython(python, names, probeTimeoutMs)
  if (typeof probe === 'string') return { usable: false, problem: probe, missing: [] }
  if (isOldPython(probe, requirements.minPython)) {
    const problem = `expected Python ${requirements.minPython.join('.')} or newer, got ${probe.version.join('.')}`
    return { usable: false, problem, missing: [] }
  }
  const missing = listMissing(probe, wanted)
  if (missing.length > 0) return { usable: false, problem: `without ${missing.join(', ')}`, missing }
  const deviations = listDeviations(probe, wanted)
  return { usable: true, python: probe.python, note: deviations.length > 0 ? `, in other versions: ${deviations.join(', ')}` : '' }
}

function explainRefusal(label: string, verdict: Verdict & { usable: false }, wanted: readonly Requirement[]): string {
  const texts = wanted.filter(({ name }) => verdict.missing.includes(name)).map(({ text }) => `"${text}"`)
  const advice = texts.length > 0 ? `install them there (python -m pip install ${texts.join(' ')})` : 'name another'
  return `${label} cannot run the worker: ${verdict.problem}. Either ${advice}, or unset IMMISCIBLE_PYTHON to have an environment made.`
}

function describeManaged(python: string, passedOver: readonly string[]): Environment {
  const reason = passedOver.length > 0 ? `our own environment; passed over ${passedOver.join('; ')}` : 'our own environment'
  return { python, source: 'managed', reason }
}

function unknownExtra(extra: string): never {
  throw new ImmiscibleError('ENVIRONMENT', `py/pyproject.toml has no optional dependencies named '${extra}'`)
}
