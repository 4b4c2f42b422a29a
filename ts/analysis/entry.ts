/** What an analysis is told to run: strategies by name, as sections or as objects, and counts. */
import { resolveConfig, type AssignmentConfig } from '../../protocol/index.ts'
import type { AssignmentStrategy } from '../assignment/assignment.ts'
import { loadStrategy } from '../assignment/table.ts'
import { ConfigError } from '../errors.ts'

/** A kind, with options where they differ from the defaults: 'nearest', 'nearest:candidates=8', { kind: 'nearest', candidates: 8 }; or a strategy object. */
export type StrategyChoice = string | { readonly kind: string; readonly [option: string]: unknown } | AssignmentStrategy

/** A strategy that can be made for batches of any size. */
export interface Entry {
  readonly name: string
  readonly kind: string
  create(batchSize: number): Promise<AssignmentStrategy>
}

export function toEntry(choice: StrategyChoice): Entry {
  if (typeof choice === 'object' && 'assign' in choice) {
    const strategy = choice as AssignmentStrategy
    return { name: strategy.name, kind: strategy.name, create: async () => strategy }
  }
  const section = typeof choice === 'string' ? parseChoice(choice) : choice
  const options = Object.entries(section).filter(([key]) => key !== 'kind')
  const name = [section.kind, ...options.map(([key, value]) => `${key}=${String(value)}`)].join(':')
  return { name, kind: section.kind, create: async (batchSize) => loadStrategy(resolveSection(section, batchSize)) }
}

/** 'kind:option=value:option=value'. Values that are numbers become numbers; the schema knows the rest. */
function parseChoice(text: string): { kind: string; [option: string]: unknown } {
  const [kind, ...options] = text.split(':')
  const pairs = options.map((option) => {
    const [key, value = ''] = option.split('=')
    return [key, value.trim() === '' || Number.isNaN(Number(value)) ? value : Number(value)]
  })
  return { ...Object.fromEntries(pairs), kind }
}

function resolveSection(section: object, batchSize: number): AssignmentConfig {
  const resolved = resolveConfig({ dataset: { kind: 'digits' }, outputDir: 'unused', globalBatchSize: batchSize, assignment: section })
  if ('problems' in resolved)
    throw new ConfigError(resolved.problems.map(({ path, message }) => ({ path: path.replace(/^assignment/, 'strategies'), message })))
  return resolved.config.assignment
}

/** Throws a ConfigError unless all are integers of at least 1. */
export function expectCounts(path: string, counts: readonly number[]): void {
  const wrong = counts.filter((count) => !Number.isInteger(count) || count < 1)
  if (wrong.length > 0) throw new ConfigError([{ path, message: `expected an integer of at least 1, got ${wrong[0]}` }])
}
