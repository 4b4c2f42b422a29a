/** What was written down during a schedule: all that the checker knows, beside the disk that is left. */

interface Life {
  readonly generation: number
}

interface Step extends Life {
  readonly step: number
}

interface Entries {
  fault: { readonly fault: string }
  /** An orchestrator. */
  started: object
  crashed: object
  starting: Life & { readonly step: number | null; readonly message: string }
  gone: Life & { readonly step: number | null; readonly message: string }
  sent: Step & { readonly split: string }
  credited: Step
  heardReady: Step
  heardDone: Step
  stopAsked: object
  finished: { readonly step: number; readonly state: string; readonly checkpoint: string }
  failed: { readonly code: string; readonly message: string }
  /** A worker. */
  loaded: Step & { readonly state: string }
  heldOut: Life & { readonly count: number }
  applied: Step & { readonly batch: string; readonly state: string }
  /** A checkpoint has its name; and then, it survives a power cut. */
  visible: Step & { readonly state: string }
  committed: Step & { readonly state: string }
  exited: Life & { readonly how: string }
}

export type Note = { [K in keyof Entries]: { readonly kind: K } & Entries[K] }[keyof Entries]
export type Entry = Note & { readonly at: number }

/** What a checkpoint on the disk is, read by its files. */
export interface LeftCheckpoint {
  readonly name: string
  readonly isVerified: boolean
  readonly step: number
  readonly state: string
}

export interface History {
  readonly entries: readonly Entry[]
  readonly checkpoints: readonly LeftCheckpoint[]
  readonly numLeftAlive: number
  readonly isOver: boolean
}
