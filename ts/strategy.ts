/** The strategy of a run before it begins: an object of the caller's as a config section, a module tried, the data looked at for what the strategy needs. */
import type { AssignmentInput, TrainConfig } from '../protocol/index.ts'
import type { AssignmentStrategy } from './assignment/assignment.ts'
import { loadStrategy, withOptions } from './assignment/table.ts'
import type { Dataset } from './dataset/dataset.ts'
import { ConfigError } from './errors.ts'

/** What any strategy takes besides its own options; see protocol/assignment.ts. */
export interface StrategyOptions {
  readonly poolSize?: number
  readonly within?: 'pool' | 'label'
  readonly startStep?: number
}

/** A strategy object of the caller's. It runs on the main thread, since it cannot cross to another; a module runs on all. */
export type OwnStrategy = AssignmentStrategy & StrategyOptions

export function isOwnStrategy(assignment: AssignmentInput | OwnStrategy | undefined): assignment is OwnStrategy {
  return typeof assignment === 'object' && assignment !== null && 'assign' in assignment
}

/** What is recorded of such an object. */
export function sectionOf(own: OwnStrategy): AssignmentInput {
  const { name, poolSize, within, startStep } = own
  return {
    kind: 'custom',
    name,
    ...(poolSize !== undefined && { poolSize }),
    ...(within !== undefined && { within }),
    ...(startStep !== undefined && { startStep }),
  }
}

/**
 * The caller's own strategy with its options; undefined for any other, which the preparing threads make for themselves. A module is tried here first.
 * Throws before anything of a run is written.
 */
export async function prepareStrategy(
  { assignment }: TrainConfig,
  dataset: Dataset,
  own: AssignmentStrategy | undefined,
): Promise<AssignmentStrategy | undefined> {
  if ('within' in assignment && assignment.within === 'label' && !dataset.labels) {
    throw new ConfigError([{ path: 'assignment.within', message: `expected 'pool', since ${dataset.name} has no labels, got 'label'` }])
  }
  if (own) return asConfig(() => withOptions(own, assignment))
  if (assignment.kind === 'module') await loadStrategy(assignment).catch(rethrow)
  return undefined
}

function asConfig<T>(work: () => T): T {
  try {
    return work()
  } catch (error) {
    return rethrow(error)
  }
}

/** What is wrong with a strategy before it ever assigned is wrong with the config. */
function rethrow(cause: unknown): never {
  throw new ConfigError([{ path: 'assignment', message: (cause as Error).message }], { cause })
}
