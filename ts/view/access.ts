/** Who may look: the token in a dashboard's address, and the checks that keep other pages and other hosts away. */
import { createHash, createHmac, randomBytes, timingSafeEqual } from 'node:crypto'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import type { IncomingMessage } from 'node:http'
import { join } from 'node:path'

const SECRET = 'view-secret'

/**
 * The token for these runs: the same each time, so that an open page finds a server that was restarted, and of no use for other runs.
 * @param folder of the user, where the secret that it is made from is kept, readable by them alone; delete it and all addresses are void
 */
export function makeToken(folder: string, paths: readonly string[]): string {
  return createHmac('sha256', readSecret(folder)).update(paths.join('\0')).digest('base64url')
}

/** One that is not kept, where the folder cannot be written, or another process is just writing it: the address then changes with a restart. */
function readSecret(folder: string): string {
  const file = join(folder, SECRET)
  const fresh = randomBytes(32).toString('hex')
  try {
    mkdirSync(folder, { recursive: true })
    writeNew(file, fresh)
    const kept = readFileSync(file, 'utf8')
    return /^[0-9a-f]{64}$/.test(kept) ? kept : fresh
  } catch {
    return fresh
  }
}

function writeNew(file: string, text: string): void {
  try {
    writeFileSync(file, text, { flag: 'wx', mode: 0o600 })
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
  }
}

/** In a time that says nothing of how much of it was right. */
export function isToken(given: string, expected: string): boolean {
  const hash = (text: string): Buffer => createHash('sha256').update(text).digest()
  return timingSafeEqual(hash(given), hash(expected))
}

/** A name that was made to lead here (DNS rebinding) is not ours. */
export function isOurHost({ headers: { host } }: IncomingMessage, port: number): boolean {
  return host === `127.0.0.1:${port}` || host === `localhost:${port}`
}

/** From our own page: browsers say where a POST comes from. */
export function isSameOrigin({ headers: { origin, host } }: IncomingMessage): boolean {
  return origin === `http://${host}`
}

/** Nothing from elsewhere, nothing inline, no frame around it, no address told to others. */
export const SECURITY_HEADERS = {
  'content-security-policy':
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
  'cache-control': 'no-store',
}
