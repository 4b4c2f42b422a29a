/** How the process ends: one exit code for each way in which a command can go wrong. */
import { ImmiscibleError } from '../index.ts'

export const EXIT = { done: 0, failed: 1, usage: 2, environment: 3, interrupted: 130 } as const

/** What each code means, for help and documentation. */
export const EXIT_CODES: readonly (readonly [code: number, meaning: string])[] = [
  [EXIT.done, 'done; a run that was stopped with Ctrl-C and saved is done as well'],
  [EXIT.failed, 'failed: the message says why'],
  [EXIT.usage, 'wrong config, flags or run folder: nothing was started'],
  [EXIT.environment, 'no usable Python'],
  [EXIT.interrupted, 'interrupted before it was done; training: interrupted twice, and ended without saving'],
]

export function exitCode(error: unknown): number {
  if (!(error instanceof ImmiscibleError)) return EXIT.failed
  if (error.code === 'CONFIG' || error.code === 'RUN_FOLDER') return EXIT.usage
  if (error.code === 'ABORTED') return EXIT.interrupted
  return error.code === 'ENVIRONMENT' ? EXIT.environment : EXIT.failed
}
