/** What a trial of `life-cycle` is: one attempt on a run of its own. */
import type { Scale } from './campaign.ts'
import type { Truth } from './ledger.ts'
import type { Place } from './place.ts'

/** For a machine that hangs; decides nothing else. */
export const SECONDS_TO_HANG = 90

export interface TrialContext {
  readonly place: Place
  /** What the run of TINY comes to, undisturbed. */
  readonly truth: Truth
  readonly scale: Scale
  /** Random integers below a number, from the campaign's seed. */
  readonly random: (below: number) => number
  /** A figure for whoever watches. */
  readonly note: (line: string) => void
}

export interface Trial {
  readonly name: string
  /** Of fault, as the table counts them. */
  readonly kind: string
  readonly scales: readonly Scale[]
  /** A control: a fault is planted, and this is among what `run` finds. */
  readonly finds?: RegExp
  /** The interpreter itself, not a fork of one: where it counts whose child a worker is, and who gets a terminal's signals. */
  readonly isPlain?: boolean
  /** To the config of the run. */
  readonly changes?: object
  /** Answers what is wrong. */
  run(context: TrialContext): Promise<string[]>
}
