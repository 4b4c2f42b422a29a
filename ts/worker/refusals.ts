/** Who was not let in, or was let in and not listened to: counted by reason, and said so that a flood cannot fill a log. */

/** Why. Those from the handshake come before anything of the peer is read. */
export type Refusal =
  | 'UNKNOWN_KEY' // its key is not on the list
  | 'WRONG_SERVER_KEY' // it expects another server
  | 'NO_CURVE' // it speaks ZeroMQ without encryption to a port that asks for it
  | 'BAD_HANDSHAKE' // it speaks no ZeroMQ, or left, or was too slow
  | 'SECOND_PEER' // its identity belongs to another connection
  | 'UNKNOWN_IDENTITY' // a message of a peer that nobody expects
  | 'OLD_WORKER' // a message of an earlier life, which is over
  | 'WRONG_VERSION'
  | 'WRONG_RUN'
  | 'WRONG_GENERATION'
  | 'WRONG_CONFIG'
  | 'WRONG_TOKEN'
  | 'SECOND_HELLO' // it was admitted already
  | 'BROKEN_PROTOCOL' // what it says is not what the protocol has at this point

/** Of each field of a hello that is compared. */
export const MISMATCH = {
  protocolVersion: 'WRONG_VERSION',
  runId: 'WRONG_RUN',
  generation: 'WRONG_GENERATION',
  configHash: 'WRONG_CONFIG',
} as const satisfies Record<string, Refusal>

export interface Refusals {
  /** @param who what is known of the peer, for a reader: its key, its address, what it said. */
  count(reason: Refusal, who: string): void
  /** Says every total that has grown since it was last said. */
  finish(): void
  readonly totals: ReadonlyMap<Refusal, number>
}

const NAMES_KEPT = 16
const NAME_LENGTH = 300

/**
 * Says the first of each kind, each new name among the first sixteen, and then only the 2nd, 4th, 8th ...: at most some seventy lines for a kind, whatever comes.
 * @param say a code, and a line with the count.
 */
export function createRefusals(say: (code: string, message: string) => void): Refusals {
  const kinds = new Map<Refusal, { count: number; said: number; last: string; names: Set<string> }>()
  const totals = new Map<Refusal, number>()

  function tell(reason: Refusal, kind: { count: number; said: number; last: string }): void {
    kind.said = kind.count
    say(`REFUSED_${reason}`, `refused ${kind.count} so far, the last: ${kind.last}`)
  }

  return {
    totals,
    count(reason, who) {
      const kind = kinds.get(reason) ?? { count: 0, said: 0, last: '', names: new Set() }
      kinds.set(reason, kind)
      kind.count++
      totals.set(reason, kind.count)
      kind.last = who.slice(0, NAME_LENGTH)
      const isNew = kind.names.size < NAMES_KEPT && !kind.names.has(kind.last)
      if (isNew) kind.names.add(kind.last)
      if (isNew || Number.isInteger(Math.log2(kind.count))) tell(reason, kind)
    },
    finish() {
      for (const [reason, kind] of kinds) if (kind.count > kind.said) tell(reason, kind)
    },
  }
}
