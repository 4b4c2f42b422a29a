/** What a campaign is: one promise, the attempts to break it, and the controls which show that a break would be seen. */

/** short: part of `npm test`, seconds. quick: `npm run reliability -- --quick`. long: `npm run reliability`. */
export type Scale = 'short' | 'quick' | 'long'

/** A fault planted into what the campaign checks: `isCaught` tells whether the campaign's own check found it. */
export interface Control {
  readonly name: string
  readonly isCaught: boolean
}

export interface Outcome {
  readonly trials: number
  /** What was done to the system, by kind: kills, torn files, mutated frames ... */
  readonly faults: Readonly<Record<string, number>>
  /** Where the promise did not hold, one line each, with what replays it. */
  readonly violations: readonly string[]
  readonly controls: readonly Control[]
}

export interface CampaignContext {
  /** The interpreter of the worker's environment. */
  readonly python: string
  /** uint32: decides every random choice, so that a violation can be replayed. */
  readonly seed: number
  /** An empty folder of the campaign's own, deleted afterwards. */
  readonly folder: string
  readonly log: (line: string) => void
}

export interface Campaign {
  /** As in `npm run reliability -- NAME`. */
  readonly name: string
  /** One sentence: what holds, whatever the campaign does. */
  readonly promise: string
  run(scale: Scale, context: CampaignContext): Promise<Outcome>
}
