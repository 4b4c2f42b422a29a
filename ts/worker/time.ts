/** The time that the orchestrator's side of a worker lives by. Injected, so that a simulation can run it in virtual time. */
import { setTimeout as sleep } from 'node:timers/promises'

export interface Time {
  /** Milliseconds of a clock that only goes forward. */
  now(): number
  /** Calls `action` once. Waiting for it keeps no process alive. */
  after(ms: number, action: () => void): void
  /** Calls `action` again and again; answers what ends it. */
  every(ms: number, action: () => void): () => void
  sleep(ms: number): Promise<void>
}

export const systemTime: Time = {
  now: () => performance.now(),
  after: (ms, action) => void setTimeout(action, ms).unref(),
  every(ms, action) {
    const timer = setInterval(action, ms)
    return () => clearInterval(timer)
  },
  sleep: (ms) => sleep(ms),
}
