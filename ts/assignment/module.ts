/** A strategy from a module of the user's own, loaded in every thread that prepares pools. */
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import type { AssignmentConfig } from '../../protocol/index.ts'
import { ImmiscibleError } from '../errors.ts'
import type { AssignmentStrategy } from './assignment.ts'

export type ModuleSection = Extract<AssignmentConfig, { kind: 'module' }>

/** SHA-256 (hex) of a module's file; of what it imports nothing is known. */
export function hashModule(url: string): string {
  try {
    return createHash('sha256')
      .update(readFileSync(fileURLToPath(url)))
      .digest('hex')
  } catch (cause) {
    throw failure(url, `cannot be read: ${(cause as Error).message}`, cause)
  }
}

/** The default export, or what it answers to `options` where it is a function. Throws an ASSIGNMENT error that names the module. */
export async function loadModule({ url, options, sha256 }: Pick<ModuleSection, 'url' | 'options' | 'sha256'>): Promise<AssignmentStrategy> {
  const actual = hashModule(url)
  if (sha256 !== null && sha256 !== actual) {
    throw failure(url, `has changed since the run began: expected SHA-256 ${sha256}, got ${actual}`)
  }
  // Modules are cached by URL: another content is another module.
  const specifier = new URL(url)
  specifier.searchParams.set('sha256', actual)
  const { default: exported } = await attempt(url, 'threw while it was loaded', () => importModule(specifier.href))
  if (exported === undefined) throw failure(url, 'expected a default export (a strategy, or a function of its options), got none')
  const made = typeof exported === 'function' ? exported : () => exported
  const strategy = await attempt(url, 'its default export threw', () => (made as (given: unknown) => unknown)(options))
  checkShape(url, strategy)
  return strategy
}

function importModule(specifier: string): Promise<{ default?: unknown }> {
  return import(/* @vite-ignore */ specifier) as Promise<{ default?: unknown }>
}

async function attempt<T>(url: string, what: string, work: () => T | Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (cause) {
    throw failure(url, `${what}: ${cause instanceof Error ? cause.message : String(cause)}`, cause)
  }
}

function checkShape(url: string, value: unknown): asserts value is AssignmentStrategy {
  const expect = (holds: boolean, what: string, wanted: string, got: unknown): void => {
    if (!holds)
      throw failure(url, `${what}: expected ${wanted}, got ${typeof got === 'object' && got ? got.constructor?.name : String(got)}`)
  }
  expect(typeof value === 'object' && value !== null, 'default export', 'a strategy', value)
  const { name, candidatesPerImage, noiseSign, noiseKeys, assign } = value as Partial<Record<keyof AssignmentStrategy, unknown>>
  expect(typeof name === 'string' && name !== '', 'name', 'a string that is not empty', name)
  expect(
    Number.isInteger(candidatesPerImage) && Number(candidatesPerImage) >= 1,
    'candidatesPerImage',
    'an integer of at least 1',
    candidatesPerImage,
  )
  expect(noiseSign === undefined || noiseSign === 1 || noiseSign === -1, 'noiseSign', '1 or -1', noiseSign)
  expect(noiseKeys === undefined || typeof noiseKeys === 'function', 'noiseKeys', 'a function', noiseKeys)
  expect(typeof assign === 'function', 'assign', 'a function', assign)
}

function failure(url: string, message: string, cause?: unknown): ImmiscibleError {
  return new ImmiscibleError('ASSIGNMENT', `[assignment:module] ${fileURLToPath(url)}: ${message}`, { cause })
}
