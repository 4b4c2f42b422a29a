/** A decoding thread: decodes the images that it is sent and hands their memory over. */
import { parentPort, workerData } from 'node:worker_threads'
import { ImmiscibleError } from '../../errors.ts'
import { createDecode, type AlteredImage, type DecoderOptions } from './decode.ts'

export interface DecodeRequest {
  readonly id: number
  readonly bytes: Uint8Array<ArrayBuffer>
  readonly name: string
}

/** In whatever order they are done. */
export interface DecodeAnswer {
  readonly id: number
  /** Or the message of a DATASET error. */
  readonly result: AlteredImage | string
}

if (!parentPort) throw new Error('ts/dataset/image/decode-thread.ts runs as a worker thread only')
const port = parentPort

const decode = createDecode(workerData as DecoderOptions)

async function answer({ id, bytes, name }: DecodeRequest): Promise<void> {
  try {
    const result = await decode(bytes, name)
    port.postMessage({ id, result } satisfies DecodeAnswer, [result.pixels.buffer as ArrayBuffer])
  } catch (error) {
    // All else ends the thread, and is told so.
    if (!(error instanceof ImmiscibleError)) throw error
    port.postMessage({ id, result: error.message } satisfies DecodeAnswer)
  }
}

port.on('message', (request: DecodeRequest) => void answer(request))
