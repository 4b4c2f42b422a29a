/** Decodes many images on all cores: here at first, in threads once that has taken longer than their start. */
import { availableParallelism } from 'node:os'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'
import { ImmiscibleError } from '../../errors.ts'
import { createDecode, type AlteredImage, type DecoderOptions, type ImageDecoder } from './decode.ts'
import type { DecodeAnswer, DecodeRequest } from './decode-thread.ts'
import { createNotes } from './notes.ts'

export interface ThreadOptions {
  /** Default: one for each core, at most 8. Below 2 all is decoded here. */
  readonly numThreads?: number
  /** Milliseconds of decoding after which the threads start. */
  readonly afterMs?: number
  /** Milliseconds that one image takes, below which they do not. */
  readonly imageMs?: number
  /** The module that each thread runs, instead of decode-thread.ts: for tests of threads that go wrong. */
  readonly module?: URL
}

const MAX_THREADS = 8
/** A thread takes about a tenth of a second to start. */
const AFTER_MS = 250
/** To send an image to a thread and back takes about a third of it. */
const IMAGE_MS = 0.3
const THREAD = new URL(`./decode-thread.${import.meta.url.endsWith('.ts') ? 'ts' : 'js'}`, import.meta.url)

/** As `createDecoder`, for images that are decoded several at once; it lets sockets and timers go first. A thread that ends by itself is a DATASET error. */
export function createThreadedDecoder(
  options: DecoderOptions,
  {
    numThreads = Math.min(availableParallelism(), MAX_THREADS),
    afterMs = AFTER_MS,
    imageMs = IMAGE_MS,
    module = THREAD,
  }: ThreadOptions = {},
): ImageDecoder & { close(): Promise<void> } {
  const decodeHere = createDecode(options)
  const notes = createNotes()
  let threads: readonly Thread[] = []
  let spentMs = 0
  let numDecoded = 0
  let isClosed = false

  async function here(bytes: Uint8Array, name: string): Promise<AlteredImage> {
    await nextTurn()
    const start = performance.now()
    const image = await decodeHere(bytes, name)
    spentMs += performance.now() - start
    numDecoded++
    const isSlow = spentMs >= Math.max(afterMs, imageMs * numDecoded)
    if (isSlow && numThreads > 1 && threads.length === 0 && !isClosed) {
      threads = Array.from({ length: numThreads }, () => startThread(options, module))
    }
    return image
  }

  return {
    async decode(bytes, name) {
      const image = await (threads.length === 0
        ? here(bytes, name)
        : threads.reduce((least, other) => (other.numWaiting() < least.numWaiting() ? other : least)).decode(bytes, name))
      for (const altered of image.altered) notes.count(altered)
      return image
    },
    notes: notes.list,
    async close() {
      isClosed = true
      await Promise.all(threads.map((thread) => thread.close()))
    },
  }
}

interface Thread {
  decode(bytes: Uint8Array, name: string): Promise<AlteredImage>
  numWaiting(): number
  close(): Promise<void>
}

function startThread(options: DecoderOptions, module: URL): Thread {
  const waiting = new Map<number, { readonly name: string; readonly answer: PromiseWithResolvers<AlteredImage> }>()
  const thread = new Worker(module, { workerData: options })
  let lastId = 0
  let failure: { readonly what: string; readonly cause?: Error } | undefined

  function refuse(name: string, { what, cause }: NonNullable<typeof failure>): ImmiscibleError {
    return new ImmiscibleError('DATASET', `${name}: the thread that decodes it ${what}`, { cause })
  }

  function fail(why: NonNullable<typeof failure>): void {
    failure ??= why
    for (const { name, answer } of waiting.values()) answer.reject(refuse(name, failure))
    waiting.clear()
  }

  thread.on('message', ({ id, result }: DecodeAnswer) => {
    const answer = waiting.get(id)?.answer
    waiting.delete(id)
    if (waiting.size === 0) thread.unref()
    if (typeof result === 'string') answer?.reject(new ImmiscibleError('DATASET', result))
    else answer?.resolve(result)
  })
  thread.on('error', (cause: Error) => fail({ what: `failed: ${cause.message}`, cause }))
  thread.on('exit', (code) => fail({ what: `ended with code ${code}` }))
  // Only while it decodes does it keep the process alive; last, since to listen to messages does too.
  thread.unref()

  return {
    numWaiting: () => waiting.size,
    decode(bytes, name) {
      if (failure) return Promise.reject(refuse(name, failure))
      const answer = Promise.withResolvers<AlteredImage>()
      const id = ++lastId
      waiting.set(id, { name, answer })
      if (waiting.size === 1) thread.ref()
      // A copy: it may be a small part of a large buffer, which is the caller's.
      const copy = new Uint8Array(bytes)
      thread.postMessage({ id, bytes: copy, name } satisfies DecodeRequest, [copy.buffer])
      return answer.promise
    },
    async close() {
      await thread.terminate()
    },
  }
}
