/** Watches a run from a terminal: its events as status, Ctrl-C as stop. */
import { serveDashboard, type Dashboard, type Run, type TrainResult } from '../index.ts'
import { createStatus } from './status.ts'

const INTERRUPTED = 130
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const

export interface FollowOptions {
  /** Serve a page about the run while it lasts, and say where. */
  readonly dashboard?: boolean
}

/** Shows a run until it ends. The first SIGINT, SIGTERM or SIGHUP saves and ends it, the second ends this process at once; its worker then ends by itself. */
export async function follow(run: Run, { dashboard: isServed = false }: FollowOptions = {}): Promise<TrainResult> {
  const status = createStatus(process.stderr)
  let dashboard: Dashboard | undefined
  let interrupts = 0
  const onSignal = (): void => {
    interrupts++
    if (interrupts > 1) process.exit(INTERRUPTED)
    status.line('saving and ending; once more to end at once')
    run.stop()
  }
  /** A run goes on without its page. */
  const serve = async (runFolder: string): Promise<Dashboard | undefined> => {
    try {
      const served = await serveDashboard([runFolder], { onStop: () => run.stop() })
      status.line(`dashboard ${served.url}`)
      return served
    } catch (error) {
      status.line(`no dashboard: ${(error as Error).message}`)
      return undefined
    }
  }
  for (const signal of SIGNALS) process.on(signal, onSignal)
  try {
    for await (const event of run) {
      status.show(event)
      if (event.kind === 'run' && isServed) dashboard = await serve(event.runFolder)
    }
    return await run
  } finally {
    await dashboard?.close()
    for (const signal of SIGNALS) process.off(signal, onSignal)
  }
}
