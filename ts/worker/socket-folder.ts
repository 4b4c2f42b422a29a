/** Where ipc sockets lie: a folder that only this user can enter, gone with its owner; those of killed owners are swept by the next. */
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { findOwner, tryLock } from '../lock.ts'

/** Short: the path of a socket has at most 107 bytes. */
const NAME = 'immiscible-'
const LOCK = 'lock'

export interface SocketFolder extends Disposable {
  readonly path: string
}

/** Makes one, mode 0700. */
export function makeSocketFolder(): SocketFolder {
  sweep()
  // mkdtemp makes folders of mode 0700.
  const path = mkdtempSync(join(tmpdir(), NAME))
  tryLock(join(path, LOCK))
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) }
}

/**
 * libzmq never unlinks its files, and nobody else does after a SIGKILL. A folder without a lock is one that is being made, or no folder of
 * sockets. In a folder of another process nothing is written: it may be deleting it.
 */
function sweep(): void {
  for (const name of readdirSync(tmpdir()).filter((entry) => /^immiscible-\w{6}$/.test(entry))) {
    const path = join(tmpdir(), name)
    try {
      if (existsSync(join(path, LOCK)) && !findOwner(join(path, LOCK))) rmSync(path, { recursive: true, force: true })
    } catch {
      // Another user's, or another process was faster.
    }
  }
}
