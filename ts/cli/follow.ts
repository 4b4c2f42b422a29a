/** Watches a run from a terminal: its events as status, Ctrl-C as stop. */
import type { Run, TrainResult } from '../index.ts'
import { createStatus } from './status.ts'

const INTERRUPTED = 130
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const

/** Shows a run until it ends. The first SIGINT, SIGTERM or SIGHUP saves and ends it, the second ends this process at once; its worker then ends by itself. */
export async function follow(run: Run): Promise<TrainResult> {
  const status = createStatus(process.stderr)
  let interrupts = 0
  const onSignal = (): void => {
    interrupts++
    if (interrupts > 1) process.exit(INTERRUPTED)
    status.line('saving and ending; once more to end at once')
    run.stop()
  }
  for (const signal of SIGNALS) process.on(signal, onSignal)
  try {
    for await (const event of run) status.show(event)
    return await run
  } finally {
    for (const signal of SIGNALS) process.off(signal, onSignal)
  }
}
