/** What the worker needs of Python, read from py/pyproject.toml: the one place where its versions are written. */
import { readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { ImmiscibleError } from '../errors.ts'

export interface Requirement {
  /** Normalised as PEP 503 has it: lower case, one dash. */
  readonly name: string
  /** The exact version, where one is pinned. */
  readonly version: string | null
  /** As written, with marker: what pip is given. */
  readonly text: string
}

export interface WorkerRequirements {
  /** Lowest Python, as [major, minor]. */
  readonly minPython: readonly [number, number]
  readonly base: readonly Requirement[]
  readonly extras: Readonly<Record<string, readonly Requirement[]>>
}

/** The folder of this package: the source tree, or the installed package with dist/ in it. */
export function packageFolder(): string {
  let folder = dirname(fileURLToPath(import.meta.url))
  for (;;) {
    if (readPackageName(folder) === 'immiscible') return folder
    const parent = dirname(folder)
    if (parent === folder) throw new ImmiscibleError('ENVIRONMENT', `no package.json named immiscible above ${import.meta.url}`)
    folder = parent
  }
}

export function readWorkerRequirements(folder = packageFolder()): WorkerRequirements {
  return parseRequirements(readFileSync(join(folder, 'py', 'pyproject.toml'), 'utf8'))
}

/** Reads the few keys that matter of a pyproject.toml. Not a TOML parser: it knows arrays of plain strings, which is what these keys hold. */
export function parseRequirements(pyproject: string): WorkerRequirements {
  const project = readTable(pyproject, 'project')
  const optional = readTable(pyproject, 'project.optional-dependencies')
  const minPython = /^requires-python\s*=\s*["']>=\s*(\d+)\.(\d+)/m.exec(project)
  if (!minPython) throw new ImmiscibleError('ENVIRONMENT', 'py/pyproject.toml: expected requires-python = ">=MAJOR.MINOR"')
  const extras = [...optional.matchAll(/^([\w-]+)\s*=\s*\[/gm)].map(([, name]) => [name, readArray(optional, name)] as const)
  return {
    minPython: [Number(minPython[1]), Number(minPython[2])],
    base: readArray(project, 'dependencies'),
    extras: Object.fromEntries(extras),
  }
}

function readTable(toml: string, name: string): string {
  const lines = toml.split(/\r?\n/)
  const start = lines.findIndex((line) => line.trim() === `[${name}]`)
  if (start < 0) return ''
  const length = lines.slice(start + 1).findIndex((line) => /^\[[\w.-]+\]/.test(line) || line.startsWith('[['))
  return lines.slice(start + 1, length < 0 ? undefined : start + 1 + length).join('\n')
}

function readArray(table: string, key: string): Requirement[] {
  const start = new RegExp(`^${key}\\s*=\\s*\\[`, 'm').exec(table)
  if (!start) return []
  const requirements: Requirement[] = []
  // A string, a comment, or the closing bracket: brackets inside strings (name[extra]) do not close the array.
  const token = /"([^"]*)"|'([^']*)'|#[^\n]*|(\])/g
  token.lastIndex = start.index + start[0].length
  for (let match = token.exec(table); match && match[3] === undefined; match = token.exec(table)) {
    const text = match[1] ?? match[2]
    if (text !== undefined) requirements.push(parseRequirement(text))
  }
  return requirements
}

function parseRequirement(text: string): Requirement {
  const name = /^[\w.-]+/.exec(text)?.[0]
  if (name === undefined) throw new ImmiscibleError('ENVIRONMENT', `py/pyproject.toml: expected a requirement, got '${text}'`)
  return { name: name.toLowerCase().replaceAll(/[-_.]+/g, '-'), version: /==\s*([\w.!+-]+)/.exec(text)?.[1] ?? null, text }
}

function readPackageName(folder: string): string | undefined {
  try {
    return (JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as { name?: string }).name
  } catch {
    return undefined
  }
}
