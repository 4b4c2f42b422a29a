/** Strategies by name: add a file and a row. */
import type { AssignmentConfig } from '../../protocol/index.ts'
import { ImmiscibleError } from '../errors.ts'
import type { AssignmentStrategy } from './assignment.ts'
import { independent } from './independent.ts'
import { linear, linearBytes } from './linear.ts'
import { quantized, quantizedBytes } from './quantized.ts'

/** A custom strategy is an object of the caller's, never looked up. */
type Kind = Exclude<AssignmentConfig['kind'], 'custom'>

interface Row<K extends Kind> {
  readonly summary: string
  create(config: Extract<AssignmentConfig, { kind: K }>): AssignmentStrategy
  /** What it takes of a kernel's arena beside the pool's images and noise. */
  bytes(poolSize: number, dims: number): number
}

const ROWS: { readonly [K in Kind]: Row<K> } = {
  independent: { summary: 'noise as drawn: the baseline', create: () => independent(), bytes: () => 0 },
  linear: { summary: 'exact, on float32 squared L2 costs', create: () => linear(), bytes: linearBytes },
  quantized: {
    summary: 'int8 x int7 costs and an auction, within a certified share of the exact gain',
    create: (config) => quantized(config),
    bytes: quantizedBytes,
  },
}

/** What there is to choose from, for lists and help. */
export const STRATEGIES: readonly { readonly kind: Kind; readonly summary: string }[] = Object.entries(ROWS).map(([kind, { summary }]) => ({
  kind: kind as Kind,
  summary,
}))

/** The strategy that a config section names. */
export function createStrategy(config: AssignmentConfig): AssignmentStrategy {
  if (config.kind === 'custom') {
    throw new ImmiscibleError(
      'ASSIGNMENT',
      `assignment: expected one of ${Object.keys(ROWS).join(', ')}, got the custom strategy '${config.name}', which only its object can run`,
    )
  }
  const row = ROWS[config.kind] as Row<typeof config.kind>
  return row.create(config)
}

/** Bytes that the strategy of a config takes of a kernel's arena for a pool, beside its images (int8) and noise (float32); of a custom strategy nothing is known. */
export function strategyBytes({ kind, poolSize }: AssignmentConfig, dims: number): number {
  return kind === 'custom' ? 0 : ROWS[kind].bytes(poolSize, dims)
}
