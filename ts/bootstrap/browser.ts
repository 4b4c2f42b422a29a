/** Chromium for the tests of pages: Debian's, installed where this is root's machine and has apt-get. Without one those tests are skipped, and say so. */
import { existsSync } from 'node:fs'
import { run } from '../process.ts'

const COMMANDS = [
  ['update', '-qq'],
  ['install', '-y', '-qq', '--no-install-recommends', 'chromium'],
]
const TIMEOUT_MS = 300_000

/** Says one line where it has something to do, and never fails. */
export async function ensureBrowser(say: (line: string) => void): Promise<void> {
  const isThere = process.env['CHROMIUM_PATH'] !== undefined || existsSync('/usr/bin/chromium') || !existsSync('/usr/bin/apt-get')
  if (isThere || process.getuid?.() !== 0) return
  say('installing Chromium for the tests of pages')
  for (const args of COMMANDS) {
    const { exitCode, failure } = await run('apt-get', args, { env: { DEBIAN_FRONTEND: 'noninteractive' }, timeoutMs: TIMEOUT_MS })
    if (exitCode !== 0) return say(`no Chromium, so the tests of pages are skipped: ${failure}`)
  }
}
