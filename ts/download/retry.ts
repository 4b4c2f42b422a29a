/** What can pass by itself is tried again, a bounded number of times: dropped connections, stalls, servers that are busy. */
import { setTimeout as sleep } from 'node:timers/promises'
import { ImmiscibleError } from '../errors.ts'

/** A server that asks for a longer wait is not waited for. */
const LONGEST_WAIT_MS = 120_000
const PASSING_CODES = [
  'EAI_AGAIN',
  'ECONNABORTED',
  'ECONNREFUSED',
  'ECONNRESET',
  'EHOSTUNREACH',
  'ENETDOWN',
  'ENETUNREACH',
  'ENOTFOUND',
  'EPIPE',
  'ETIMEDOUT',
]

/** Something that the next attempt may not meet. */
export class PassingError extends Error {
  override readonly name = 'PassingError'
  /** As the server asked. */
  readonly waitMs: number | undefined

  constructor(message: string, options: ErrorOptions & { readonly waitMs?: number | undefined } = {}) {
    super(message, options)
    this.waitMs = options.waitMs
  }
}

export interface RetryOptions {
  /** Failures in a row without progress that are tried again. Default 5: half a minute. */
  readonly retries?: number | undefined
  /** Before the second attempt; doubles with each one. Default 1,000. */
  readonly backoffMs?: number | undefined
  readonly signal?: AbortSignal | undefined
  /** One line for each failure that is tried again. */
  readonly onNotice?: ((message: string) => void) | undefined
}

/**
 * Calls `work` until it succeeds or throws anything but a PassingError.
 *
 * @param what names it in messages.
 * @param progress a failure after which it is more than ever before does not count: a large file may come in many pieces.
 */
export async function retrying<T>(what: string, options: RetryOptions, work: () => Promise<T>, progress = () => 0): Promise<T> {
  const { retries = 5, backoffMs = 1000, signal, onNotice } = options
  let furthest = progress()
  for (let failures = 0; ;) {
    signal?.throwIfAborted()
    try {
      return await work()
    } catch (cause) {
      signal?.throwIfAborted()
      if (!(cause instanceof PassingError)) throw cause
      if (progress() > furthest) failures = 0
      furthest = Math.max(furthest, progress())
      failures++
      const give = (why: string): never => {
        throw new ImmiscibleError('DATASET', `${what}: ${cause.message}: ${why}`, { cause })
      }
      if (failures > retries) give(`given up after ${failures} ${failures === 1 ? 'attempt' : 'attempts'}`)
      const waitMs = cause.waitMs ?? backoffMs * 2 ** (failures - 1)
      if (waitMs > LONGEST_WAIT_MS) give(`the server asks to wait ${Math.ceil(waitMs / 1000)} s`)
      onNotice?.(`${what}: ${cause.message}: once more in ${Math.ceil(waitMs / 1000)} s`)
      await sleep(waitMs, undefined, { ...(signal && { signal }) })
    }
  }
}

/** What an error of a connection to `where` means: it can pass, or it cannot. */
export function connectionError(cause: unknown, where: string): Error {
  const { code = '', message } = cause as NodeJS.ErrnoException
  if (cause instanceof PassingError) return cause
  if (!PASSING_CODES.includes(code)) return new ImmiscibleError('DATASET', `${where}: ${message || code}`, { cause })
  return new PassingError(code === 'ECONNRESET' ? 'the connection was dropped' : message || code, { cause })
}

/** @param text a Retry-After header: seconds, or a date. */
export function parseRetryAfter(text: string | undefined): number | undefined {
  if (text === undefined) return undefined
  if (/^\d+$/.test(text)) return Number(text) * 1000
  const at = Date.parse(text)
  return Number.isNaN(at) ? undefined : Math.max(0, at - Date.now())
}
