/** Ctrl-C on commands that have nothing to save: the work is aborted, and cleans up after itself. */
import { ImmiscibleError } from '../index.ts'
import { EXIT } from './exit.ts'

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const

/**
 * Runs `work`, which the first SIGINT, SIGTERM or SIGHUP aborts and the second ends at once, with this process.
 * Throws ABORTED where it was aborted before its end.
 */
export async function withInterrupt<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const controller = new AbortController()
  const { signal } = controller
  const onSignal = (): void => {
    if (signal.aborted) process.exit(EXIT.interrupted)
    controller.abort()
  }
  for (const name of SIGNALS) process.on(name, onSignal)
  try {
    return await work(signal)
  } catch (cause) {
    throw signal.aborted ? new ImmiscibleError('ABORTED', 'interrupted', { cause }) : cause
  } finally {
    for (const name of SIGNALS) process.off(name, onSignal)
  }
}
