/** One GET over HTTP or HTTPS: bytes as they are sent, bounded redirects, a clock on silence, secrets for one origin alone, and no socket where we are offline. */
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http'
import { ImmiscibleError } from '../errors.ts'
import { connectionError, parseRetryAfter, PassingError } from './retry.ts'

const MAX_REDIRECTS = 5
const STALL_MS = 30_000
const SAYS_NO = ['', '0', 'false', 'no', 'off']

/** What is sent to this origin, and to none that it redirects to. */
export interface Authorization {
  readonly origin: string
  readonly value: string
}

export interface RequestOptions {
  /** Never opens a socket; so do IMMISCIBLE_OFFLINE and HF_HUB_OFFLINE. */
  readonly offline?: boolean | undefined
  readonly authorization?: Authorization | undefined
  readonly headers?: Readonly<Record<string, string>>
  readonly signal?: AbortSignal | undefined
  /** Longest time without a byte. Default 30,000. */
  readonly stallMs?: number | undefined
  /** Added to the message of an answer that is an error. */
  readonly explain?: ((status: number) => string) | undefined
}

/** To be disposed: a body that was not read to its end holds its connection. */
export interface Answer {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  /** Throws a PassingError where it drops or falls silent. */
  readonly body: AsyncIterable<Uint8Array>
  [Symbol.dispose](): void
}

export function isOffline(offline: boolean | undefined, env: NodeJS.ProcessEnv = process.env): boolean {
  const says = (name: string): boolean => !SAYS_NO.includes((env[name] ?? '').toLowerCase())
  return offline === true || says('IMMISCIBLE_OFFLINE') || says('HF_HUB_OFFLINE')
}

/** Throws a DATASET error for what is no http or https address. @param what names it. */
export function parseAddress(text: string, what: string, base?: URL): URL {
  const url = URL.parse(text, base?.href) ?? undefined
  if (url && ['http:', 'https:'].includes(url.protocol)) return url
  throw new ImmiscibleError('DATASET', `${what}: expected an http or https address, got ${JSON.stringify(text)}`)
}

/** For messages and files: without a password or a signature. */
export function publicAddress({ origin, pathname }: URL): string {
  return origin + pathname
}

/**
 * The answer of `address` with a status of `expected`.
 *
 * Not by `fetch`: that unpacks what a server labels as `Content-Encoding: gzip`, which some do for a .gz file itself, whose bytes then have
 * another length and another checksum.
 *
 * @throws PassingError for what can pass; DATASET for any other status, more redirects than five or one away from HTTPS, and where we are offline.
 */
export async function get(address: URL, expected: readonly number[], options: RequestOptions): Promise<Answer> {
  const where = publicAddress(address)
  if (isOffline(options.offline)) throw new ImmiscibleError('DATASET', `${where}: offline, so it was not asked for`)
  let url = address
  for (let redirects = 0; ; redirects++) {
    const response = await send(url, where, options)
    const { statusCode: status = 0, statusMessage, headers } = response
    const body = readBody(response, where, options)
    if (expected.includes(status)) return { status, headers, body, [Symbol.dispose]: () => void response.destroy() }
    response.destroy()
    const isRedirect = [301, 302, 303, 307, 308].includes(status) && headers.location !== undefined
    if (!isRedirect) {
      const message = `got ${[status, statusMessage].filter(Boolean).join(' ')}`
      const isPassing = status >= 500 || status === 429 || status === 408
      if (isPassing) throw new PassingError(message, { waitMs: parseRetryAfter(headers['retry-after']) })
      throw new ImmiscibleError('DATASET', `${where}: ${message}${options.explain?.(status) ?? ''}`)
    }
    if (redirects === MAX_REDIRECTS) throw new ImmiscibleError('DATASET', `${where}: expected at most ${MAX_REDIRECTS} redirects, got more`)
    url = redirectedTo(url, headers.location as string, where)
  }
}

/** Throws a DATASET error for a redirect from HTTPS to HTTP, or to anything else. */
export function redirectedTo(url: URL, location: string, where: string): URL {
  const next = parseAddress(location, `${where}: redirect`, url)
  if (url.protocol === 'https:' && next.protocol !== 'https:')
    throw new ImmiscibleError('DATASET', `${where}: expected a redirect to https, got ${publicAddress(next)}`)
  return next
}

async function send(
  url: URL,
  where: string,
  { headers, authorization, signal, stallMs = STALL_MS }: RequestOptions,
): Promise<IncomingMessage> {
  const { request } = url.protocol === 'https:' ? await import('node:https') : await import('node:http')
  return new Promise((resolve, reject) => {
    const sent = request(url, {
      headers: {
        'user-agent': 'immiscible',
        'accept-encoding': 'identity',
        ...headers,
        ...(authorization?.origin === url.origin && { authorization: authorization.value }),
      },
      ...(signal && { signal }),
    })
    const timer = setTimeout(() => sent.destroy(silence(stallMs)), stallMs)
    sent.once('response', (response) => {
      clearTimeout(timer)
      resolve(response)
    })
    // Later ones come out of the body as well.
    sent.on('error', (error) => {
      clearTimeout(timer)
      reject(signal?.aborted ? (signal.reason as Error) : connectionError(error, where))
    })
    sent.end()
  })
}

async function* readBody(
  response: IncomingMessage,
  where: string,
  { signal, stallMs = STALL_MS }: RequestOptions,
): AsyncGenerator<Uint8Array> {
  const watch = (): NodeJS.Timeout => setTimeout(() => response.destroy(silence(stallMs)), stallMs)
  let timer = watch()
  try {
    for await (const chunk of response) {
      clearTimeout(timer)
      yield chunk as Uint8Array
      timer = watch()
    }
  } catch (error) {
    throw signal?.aborted ? (signal.reason as Error) : connectionError(error, where)
  } finally {
    clearTimeout(timer)
  }
}

function silence(stallMs: number): PassingError {
  return new PassingError(`no byte came for ${stallMs / 1000} s`)
}
