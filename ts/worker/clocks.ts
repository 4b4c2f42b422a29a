/** The clocks of a worker's life: start, link and progress, all of them monotonic. The fourth way to end, the process's exit, needs none. */
import type { TrainConfig, WorkerEventOf } from '../../protocol/index.ts'
import type { Time } from './time.ts'

/** How many times worker.stepSeconds a phase may last; waiting: once all that the worker is due has been sent. */
const PATIENCE = {
  starting: 10,
  waiting: 1,
  compiling: 10,
  training: 1,
  validating: 10,
  sampling: 10,
  evaluating: 10,
  saving: 10,
  ending: 10,
} as const

export function createClocks(
  { startSeconds, leaseSeconds, stepSeconds }: TrainConfig['worker'],
  watchMs: number,
  time: Time,
): {
  heard(): void
  ready(): void
  progress(phase: WorkerEventOf<'heartbeat'>['phase'], ageMs: number): void
  /** What is overdue, in words. To be asked each watchMs. */
  late(): string | undefined
} {
  let start = time.now()
  let askedAt = start
  let lastHeard: number | undefined
  let isReady = false
  let stuck: string | undefined
  return {
    heard() {
      lastHeard = time.now()
    },
    ready() {
      isReady = true
    },
    progress(phase, ageMs) {
      const limitMs = stepSeconds * 1000 * PATIENCE[phase]
      stuck =
        ageMs > limitMs ? `the worker made no progress for ${Math.round(ageMs / 1000)} s while ${phase} (worker.stepSeconds)` : undefined
    },
    late() {
      const now = time.now()
      // While this process did not run, or was busy, it did not listen: that time is no silence.
      const missed = now - askedAt > 2 * watchMs ? now - askedAt - watchMs : 0
      askedAt = now
      start += missed
      if (lastHeard !== undefined) lastHeard = Math.min(now, lastHeard + missed)
      if (!isReady && now - start > startSeconds * 1000) return `the worker was not ready within ${startSeconds} s (worker.startSeconds)`
      if (lastHeard !== undefined && now - lastHeard > leaseSeconds * 1000)
        return `the worker was silent for ${leaseSeconds} s (worker.leaseSeconds)`
      return stuck
    },
  }
}
