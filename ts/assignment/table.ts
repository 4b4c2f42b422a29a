/** Strategies by name: add a file and a row. */
import type { AssignmentConfig } from '../../protocol/index.ts'
import { ImmiscibleError } from '../errors.ts'
import type { AssignmentStrategy } from './assignment.ts'
import { greedy, greedyBytes } from './greedy.ts'
import { independent } from './independent.ts'
import { linear, linearBytes } from './linear.ts'
import { loadModule } from './module.ts'
import { nearest, nearestBytes } from './nearest.ts'
import { negated } from './negated.ts'
import { persistent } from './persistent.ts'
import { quantized, quantizedBytes } from './quantized.ts'
import { fromStep } from './start-step.ts'
import { withinLabel } from './within-label.ts'

/** A custom strategy is an object of the caller's, a module's is loaded: neither is looked up. */
type Kind = Exclude<AssignmentConfig['kind'], 'custom' | 'module'>
type Section<K extends Kind> = Extract<AssignmentConfig, { kind: K }>

interface Row<K extends Kind> {
  readonly summary: string
  /** Fields of its section, as in a config. */
  readonly options: readonly Exclude<keyof Section<K>, 'kind'>[]
  readonly source: string
  create(config: Section<K>): AssignmentStrategy
  /** What it takes of a kernel's arena beside the pool's images (int8) and noise (float32). */
  bytes(config: Section<K>, dims: number): number
}

const PAPER_1 = 'Immiscible Diffusion, arXiv 2406.12303'
const PAPER_2 = 'Improved Immiscible Diffusion, arXiv 2505.18521'
const OURS = 'this project'

const ROWS: { readonly [K in Kind]: Row<K> } = {
  independent: { summary: 'noise as drawn: the baseline', options: ['poolSize'], source: '', create: () => independent(), bytes: () => 0 },
  linear: {
    summary: 'exact, on floating-point distances',
    options: ['poolSize', 'within', 'startStep', 'metric', 'precision'],
    source: PAPER_1,
    create: (config) => linear(config),
    bytes: ({ poolSize, precision }, dims) => linearBytes(poolSize, dims, precision),
  },
  quantized: {
    summary: 'int8 x int7 costs and an auction, within a certified share of the exact gain',
    options: ['poolSize', 'within', 'startStep', 'tolerance'],
    source: OURS,
    create: (config) => quantized(config),
    bytes: ({ poolSize }, dims) => quantizedBytes(poolSize, dims),
  },
  greedy: {
    summary: 'each image takes the best noise that is left: about 90 % of the gain, no matrix of the pool',
    options: ['poolSize', 'within', 'startStep'],
    source: OURS,
    create: () => greedy(),
    bytes: ({ poolSize }, dims) => greedyBytes(poolSize, dims),
  },
  negated: {
    summary: 'quantized, then negated: separate noise regions that are far away, an ablation',
    options: ['poolSize', 'within', 'startStep', 'tolerance'],
    source: `${PAPER_1}, Fig. 7`,
    create: (config) => negated(config),
    bytes: ({ poolSize }, dims) => quantizedBytes(poolSize, dims),
  },
  nearest: {
    summary: 'nearest of a few fresh noises per image; what is kept is not quite Gaussian',
    options: ['poolSize', 'startStep', 'candidates', 'precision'],
    source: PAPER_2,
    create: (config) => nearest(config),
    bytes: (config, dims) => nearestBytes(config.poolSize, dims, config),
  },
  persistent: {
    summary: 'noise that stays with its image from epoch to epoch, swapped by quantized: the gain of a far larger pool',
    options: ['poolSize', 'within', 'startStep', 'tolerance', 'noisesPerImage', 'refreshShare'],
    source: 'LOOM-CFM, arXiv 2603.15279',
    create: (config) => persistent(config, quantized(config)),
    bytes: ({ poolSize }, dims) => quantizedBytes(poolSize, dims),
  },
}

/** What a config can name, for lists and help. Besides: a module of your own, an object of your own. */
export const STRATEGIES: readonly {
  readonly kind: Kind
  readonly summary: string
  readonly options: readonly string[]
  readonly source: string
}[] = Object.entries(ROWS).map(([kind, { summary, options, source }]) => ({ kind: kind as Kind, summary, options, source }))

/** The strategy that a config section names. */
export function createStrategy(config: AssignmentConfig): AssignmentStrategy {
  if (config.kind === 'custom' || config.kind === 'module') {
    const got =
      config.kind === 'custom'
        ? `the custom strategy '${config.name}', which only its object can run`
        : `the module ${config.url}, which is loaded (loadStrategy)`
    throw new ImmiscibleError('ASSIGNMENT', `assignment: expected one of ${Object.keys(ROWS).join(', ')}, got ${got}`)
  }
  const row = ROWS[config.kind] as Row<typeof config.kind>
  return withOptions(row.create(config), config)
}

/** The same, for strategies in modules of the user's too. */
export async function loadStrategy(config: AssignmentConfig): Promise<AssignmentStrategy> {
  return config.kind === 'module' ? withOptions(await loadModule(config), config) : createStrategy(config)
}

/** The options that any strategy takes. */
export function withOptions(strategy: AssignmentStrategy, config: AssignmentConfig): AssignmentStrategy {
  const isByLabel = 'within' in config && config.within === 'label'
  const solving = isByLabel ? withinLabel(strategy) : strategy
  return 'startStep' in config && config.startStep > 0 ? fromStep(solving, config.startStep) : solving
}

/**
 * Bytes that the strategy of a config takes of a kernel's arena for a pool, beside its images (int8) and noise (float32); of a strategy of
 * the user's own nothing is known.
 */
export function strategyBytes(config: AssignmentConfig, dims: number): number {
  if (config.kind === 'custom' || config.kind === 'module') return 0
  const row = ROWS[config.kind] as Row<typeof config.kind>
  // Within labels the rows of a class are picked into matrices of their own.
  const picked = 'within' in config && config.within === 'label' ? 5 * config.poolSize * dims : 0
  return picked + row.bytes(config, dims)
}
