/** Messages <-> bytes: the only file that knows msgpack and the prefix of a batch. */
import { crc32 } from 'node:zlib'
import { Packr, Unpackr } from 'msgpackr'
import {
  event,
  PREFIX_BYTES,
  PREFIX_MAGIC,
  PROTOCOL_VERSION,
  type BatchHeader,
  type Command,
  type TensorSpec,
  type WorkerEvent,
  type WorkerEventOf,
} from '../../protocol/index.ts'
import { ImmiscibleError } from '../errors.ts'
import { findExcess } from './bounds.ts'

// Plain maps only: records, `undefined` and bare typed arrays are extensions that no other msgpack reads rightly.
const packr = new Packr({ useRecords: false, variableMapSize: true, encodeUndefinedAsNil: true })
const unpackr = new Unpackr({ useRecords: false, int64AsType: 'number' })

/** A tensor to send: its description and its memory, which belongs to the channel until the batch's credit comes back. */
export interface WireTensor {
  readonly spec: TensorSpec
  readonly data: ArrayBufferView
}

/** The bytes of a command, one frame. */
export function encodeCommand(message: Command): Uint8Array {
  return packr.pack(message)
}

/** @throws ImmiscibleError PROTOCOL when the frame is not an event of this protocol. */
export function decodeEvent(frame: Uint8Array): WorkerEvent {
  const excess = findExcess(frame)
  if (excess !== undefined)
    throw new ImmiscibleError('PROTOCOL', `expected one msgpack map, got ${frame.byteLength} bytes that are none: ${excess}`)
  let value: unknown
  try {
    value = unpackr.unpack(frame)
  } catch (cause) {
    throw new ImmiscibleError('PROTOCOL', `expected one msgpack map, got ${frame.byteLength} bytes that are none`, { cause })
  }
  const parsed = event.safeParse(value)
  if (parsed.success) return parsed.data
  const [issue] = parsed.error.issues
  // A frame may hold a megabyte of unknown keys, and each would be named.
  const message = (issue?.message ?? 'not an event').slice(0, 300)
  throw new ImmiscibleError('PROTOCOL', `event.${issue?.path.join('.').slice(0, 100) ?? ''}: ${message}`)
}

/** For a peer that nobody expects: its hello, where it is one. */
export function decodeHello(frame: Uint8Array): WorkerEventOf<'hello'> | undefined {
  try {
    const message = decodeEvent(frame)
    return message.kind === 'hello' ? message : undefined
  } catch {
    return undefined
  }
}

/** The frames of a batch: prefix, header, then the tensors without a copy. Layout in protocol/batch.ts. */
export function encodeBatch(runId: string, generation: number, header: BatchHeader, tensors: readonly WireTensor[]): Uint8Array[] {
  const frames = tensors.map(({ spec, data }) => {
    if (data.byteLength !== spec.byteLength) {
      throw new ImmiscibleError('PROTOCOL', `tensor ${spec.name}: expected ${spec.byteLength} bytes, got ${data.byteLength}`)
    }
    // zeromq sends a Float16Array as an empty frame and refuses a DataView; bytes are the one form that is always right.
    return new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
  })
  const headerFrame = packr.pack(header)
  const prefix = new Uint8Array(PREFIX_BYTES)
  const view = new DataView(prefix.buffer)
  prefix.set(new TextEncoder().encode(PREFIX_MAGIC), 0)
  view.setUint16(4, PROTOCOL_VERSION, true)
  prefix.set(Buffer.from(runId, 'hex'), 8)
  view.setUint32(24, generation, true)
  view.setBigUint64(28, BigInt(header.step), true)
  view.setUint32(36, headerFrame.byteLength, true)
  view.setUint32(40, frames.length, true)
  view.setBigUint64(44, BigInt(frames.reduce((sum, frame) => sum + frame.byteLength, 0)), true)
  view.setUint32(52, crc32(headerFrame), true)
  view.setUint32(60, crc32(prefix.subarray(0, 60)), true)
  return [prefix, headerFrame, ...frames]
}
