/** The ways to knock at an orchestrator's door, each with the reason for which it must be refused. */
import { curveKeyPair } from 'zeromq'
import { PROTOCOL_VERSION } from '../../protocol/index.ts'
import { connect, helloOf, identityOf, type Connection, type Peer, type PeerOptions } from './peer.ts'

export type Curve = NonNullable<PeerOptions['curve']>

export interface Door {
  readonly name: 'ipc' | 'tcp'
  /** Undefined for a moment, between two lives. */
  readonly connection: () => Connection | undefined
  readonly log: readonly string[]
  /** The right key, and the one that is not on the list. */
  readonly curve?: Curve
  readonly unknownCurve?: Curve
}

/** One way to knock. Whoever knocks so must get nothing, and be counted under one of the reasons, by a line of the log that names it. */
export interface Knock {
  readonly name: string
  readonly reasons: readonly string[]
  readonly named: (connection: Connection) => string
  /** Connects in the way; `at` numbers the trial. */
  readonly knock: (door: Door, connection: Connection, at: number) => Promise<Peer>
  /** It must be the peer that is expected: no good client then, and one after the other. */
  readonly isExpected?: boolean
  readonly only?: 'tcp'
  /** It is let in, rightly, before it does what is refused. */
  readonly wasIn?: boolean
}

const introduced = async (peer: Peer, hello?: object, attach?: object): Promise<Peer> => {
  await peer.introduce({ ...hello }, { ...attach })
  return peer
}
export const rightCurve = ({ curve }: Door): PeerOptions => (curve ? { curve } : {})

export const KNOCKS: readonly Knock[] = [
  {
    name: 'a key that is not on the list',
    reasons: ['UNKNOWN_KEY'],
    named: () => 'with the public key',
    only: 'tcp',
    knock: ({ unknownCurve }, connection, at) =>
      introduced(connect(connection, { curve: unknownCurve as Curve, identity: `stranger-${at}` })),
  },
  {
    name: 'the key of another server',
    reasons: ['WRONG_SERVER_KEY'],
    named: () => 'ERR_ZMTP_CRYPTOGRAPHIC',
    only: 'tcp',
    knock: ({ curve }, connection, at) => {
      const serverKey = curveKeyPair().publicKey
      return introduced(connect(connection, { curve: { ...(curve as Curve), serverKey }, identity: `stranger-${at}` }))
    },
  },
  {
    name: 'no encryption',
    reasons: ['NO_CURVE', 'BAD_HANDSHAKE'],
    named: ({ control }) => control,
    only: 'tcp',
    knock: (_, connection, at) => introduced(connect(connection, { identity: `stranger-${at}` })),
  },
  {
    name: 'a password instead of a key',
    reasons: ['NO_CURVE', 'BAD_HANDSHAKE'],
    named: ({ control }) => control,
    only: 'tcp',
    knock: (_, connection, at) => introduced(connect(connection, { identity: `stranger-${at}`, plain: true })),
  },
  {
    name: 'the identity of the client that is served',
    reasons: ['SECOND_PEER'],
    named: () => 'its identity belongs to another connection',
    knock: (door, connection) => introduced(connect(connection, rightCurve(door))),
  },
  {
    name: 'the hello of the client that is served, replayed',
    reasons: ['UNKNOWN_IDENTITY'],
    named: (connection) => `identity: expected ${identityOf(connection)}`,
    knock: async (door, connection, at) => introduced(connect(connection, { ...rightCurve(door), identity: `replay-${at}` })),
  },
  {
    name: 'another run',
    reasons: ['WRONG_RUN'],
    named: ({ runId }) => `runId: expected ${runId}, got "${'f'.repeat(32)}"`,
    knock: async (door, connection, at) =>
      introduced(connect(connection, { ...rightCurve(door), identity: `other-${at}`, isHalf: true }), { runId: 'f'.repeat(32) }),
  },
  {
    name: 'another life',
    reasons: ['WRONG_GENERATION'],
    named: ({ generation }) => `generation: expected ${generation}, got 999999`,
    knock: async (door, connection, at) => {
      const identity = `${connection.runId}.999999.${at}`
      return introduced(connect(connection, { ...rightCurve(door), identity, isHalf: true }), { generation: 999_999 })
    },
  },
  {
    name: 'a wrong token',
    reasons: ['WRONG_TOKEN'],
    named: () => 'token: not the one this run gave out',
    isExpected: true,
    knock: (door, connection) => introduced(connect(connection, rightCurve(door)), { token: '0'.repeat(64) }),
  },
  {
    name: 'a wrong token on the data channel',
    reasons: ['WRONG_TOKEN'],
    named: () => 'token: not the one this run gave out',
    isExpected: true,
    wasIn: true,
    knock: (door, connection) => introduced(connect(connection, rightCurve(door)), {}, { token: '' }),
  },
  {
    name: 'another version of the protocol',
    reasons: ['WRONG_VERSION'],
    named: () => `protocolVersion: expected ${PROTOCOL_VERSION}, got 99`,
    isExpected: true,
    knock: (door, connection) => introduced(connect(connection, rightCurve(door)), { protocolVersion: 99 }),
  },
  {
    name: 'another config',
    reasons: ['WRONG_CONFIG'],
    named: ({ configHash }) => `configHash: expected ${configHash}, got another`,
    isExpected: true,
    knock: (door, connection) => introduced(connect(connection, rightCurve(door)), { configHash: 'another' }),
  },
  {
    name: 'its own hello, replayed',
    reasons: ['SECOND_HELLO'],
    named: () => 'hello: this worker has already been admitted',
    isExpected: true,
    wasIn: true,
    knock: async (door, connection) => {
      const peer = await introduced(connect(connection, rightCurve(door)))
      await peer.send('control', helloOf(connection))
      return peer
    },
  },
  {
    name: 'no hello',
    reasons: ['BROKEN_PROTOCOL'],
    named: () => 'expected hello first, got credit on the control channel',
    isExpected: true,
    knock: async (door, connection) => {
      const peer = connect(connection, rightCurve(door))
      await peer.send('control', { kind: 'credit', step: 0, heldMs: 0 })
      return peer
    },
  },
]
