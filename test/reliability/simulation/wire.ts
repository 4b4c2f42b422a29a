/** The worker's half of the codec, as py/immiscible_worker/codec.py has it: events to bytes, bytes to commands and checked batches. */
import { createHash } from 'node:crypto'
import { crc32 } from 'node:zlib'
import { Packr, Unpackr } from 'msgpackr'
import {
  command,
  PREFIX_BYTES,
  PREFIX_MAGIC,
  PROTOCOL_VERSION,
  type BatchHeader,
  type Command,
  type WorkerEvent,
} from '../../../protocol/index.ts'
import type { WireBatch } from '../../../ts/worker/session.ts'

const packr = new Packr({ useRecords: false, variableMapSize: true, encodeUndefinedAsNil: true })
const unpackr = new Unpackr({ useRecords: false, int64AsType: 'number' })

/** What the worker calls wrong, with the code that it says and the exit code. */
export class WorkerFault extends Error {
  readonly code: string
  readonly exitCode: number

  constructor(code: string, message: string, exitCode: number) {
    super(message)
    this.code = code
    this.exitCode = exitCode
  }
}

export interface ReceivedBatch {
  readonly kind: 'batch'
  readonly header: BatchHeader
  readonly sha256: string
}

export function encodeEvent(event: WorkerEvent): Uint8Array[] {
  return [Uint8Array.from(packr.pack(event))]
}

export function decodeCommand(frames: readonly Uint8Array[]): Command {
  const parsed = command.safeParse(unpack(frames[0]))
  if (!parsed.success) throw new WorkerFault('PROTOCOL', 'command: expected a command of the protocol', 70)
  return parsed.data
}

/** Undefined: a batch of another generation. */
export function decodeBatch(frames: readonly Uint8Array[], runId: string, generation: number): ReceivedBatch | undefined {
  if (frames.length < 2) throw new WorkerFault('PROTOCOL', 'batch: expected a prefix and a header frame', 70)
  const [prefix, header, ...tensors] = frames
  expectEqual('prefix length', PREFIX_BYTES, prefix.byteLength)
  const view = new DataView(prefix.buffer, prefix.byteOffset)
  expectEqual('magic', PREFIX_MAGIC, Buffer.from(prefix.subarray(0, 4)).toString('latin1'))
  expectEqual('protocol version', PROTOCOL_VERSION, view.getUint16(4, true))
  expectEqual('prefix crc32', crc32(prefix.subarray(0, 60)), view.getUint32(60, true))
  expectEqual('run id', runId, Buffer.from(prefix.subarray(8, 24)).toString('hex'))
  if (view.getUint32(24, true) !== generation) return undefined
  expectEqual('number of frames', view.getUint32(40, true), tensors.length)
  expectEqual('header length', view.getUint32(36, true), header.byteLength)
  expectEqual('header crc32', view.getUint32(52, true), crc32(header))
  const decoded = unpack(header) as BatchHeader
  expectEqual('header step', Number(view.getBigUint64(28, true)), decoded.step)
  const sha256 = createHash('sha256')
  for (const [at, tensor] of tensors.entries()) {
    expectEqual(`${decoded.tensors[at].name} crc32`, decoded.tensors[at].crc32, crc32(tensor))
    sha256.update(tensor)
  }
  return { kind: 'batch', header: decoded, sha256: sha256.digest('hex') }
}

/** Is this the batch that was asked for? */
export function checkContract({ header }: ReceivedBatch, step: number, numImages: number, split: BatchHeader['split']): void {
  expectEqual('split', split, header.split)
  expectEqual('step', step, header.step, 'WRONG_STEP')
  expectEqual('numImages', numImages, header.numImages)
  expectEqual('tensors', 'images noise uniforms', header.tensors.map(({ name }) => name).join(' '))
}

/** What a message is, for whoever only carries it: `batch` has no kind of its own on the wire's outside. */
export function kindOf(frames: readonly Uint8Array[]): string {
  return frames.length > 1 ? 'batch' : String((unpack(frames[0]) as { kind?: unknown } | undefined)?.kind)
}

export function stepOf(frames: readonly Uint8Array[]): { readonly split: string; readonly step: number } {
  return unpack(frames[1]) as BatchHeader
}

/** The orchestrator's pure function: three small tensors that follow from seed, split and step. */
export function makeBatch(seed: number, split: BatchHeader['split'], step: number, numImages: number): WireBatch {
  const data = createHash('sha256').update(`${seed} ${split} ${step}`).digest()
  const tensors = ['images', 'noise', 'uniforms'].map((name, at) => {
    const bytes = Uint8Array.from(data.subarray(4 * at, 4 * at + 4))
    return { spec: { name, dtype: 'uint8' as const, shape: [4], byteLength: 4, crc32: crc32(bytes) }, data: bytes }
  })
  return { step: split === 'train' ? step : 0, epoch: 0, numImages, tensors, telemetry: [] }
}

export function batchSha256({ tensors }: WireBatch): string {
  const hash = createHash('sha256')
  for (const { data } of tensors) hash.update(data as Uint8Array)
  return hash.digest('hex')
}

/** The state after one more batch: a running hash in place of weights. */
export function nextState(state: string, batch: string): string {
  return createHash('sha256').update(`${state} ${batch}`).digest('hex')
}

export const FIRST_STATE = createHash('sha256').update('initial weights').digest('hex')

function unpack(frame: Uint8Array): unknown {
  try {
    return unpackr.unpack(frame)
  } catch {
    return undefined
  }
}

function expectEqual(field: string, expected: string | number, got: string | number, code = 'PROTOCOL'): void {
  if (expected !== got) throw new WorkerFault(code, `[immiscible] [worker:codec] ${field}: expected ${expected}, got ${got}`, 70)
}
