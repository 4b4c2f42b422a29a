/** A thread that holds pythonia and its Python: pythonia's faults end a thread and not the program, and each thread has a Python of its own. Text in, text out. */
import type { ChildProcess } from 'node:child_process'
import { stripVTControlCharacters } from 'node:util'
import { parentPort } from 'node:worker_threads'

export type ThreadRequest = { readonly kind: 'call'; readonly request: string } | { readonly kind: 'end' }

export type ThreadAnswer =
  | { readonly kind: 'started'; readonly pid: number }
  | { readonly kind: 'ready' }
  | { readonly kind: 'answer'; readonly answer: string }
  /** pythonia itself failed, or the adapter could not be imported. */
  | { readonly kind: 'failed'; readonly text: string }
  | { readonly kind: 'exited'; readonly exitCode: number | null; readonly signal: NodeJS.Signals | null }

/** From a broken channel to the end of its Python. */
const LAST_WORDS_MS = 1000

interface Pythonia {
  readonly python: (module: string) => Promise<Adapter>
  readonly com: { readonly proc: ChildProcess }
}

/** py/immiscible_worker/bridge.py */
interface Adapter {
  begin(): Promise<string>
  answer(request: string): Promise<string>
}

if (parentPort) await serve(parentPort)

async function serve(port: NonNullable<typeof parentPort>): Promise<void> {
  const tell = (answer: ThreadAnswer): void => port.postMessage(answer)
  // Importing it starts Python.
  const { python, com } = (await import('pythonia')).default as unknown as Pythonia
  const { proc } = com
  proc.on('error', (error) => {
    if (proc.pid === undefined) tell({ kind: 'failed', text: error.message })
    // Its channel broke, most often since it is ending, which `exited` says; one that lives on cannot be spoken to any more.
    else setTimeout(() => proc.kill('SIGKILL'), LAST_WORDS_MS)
  })
  proc.once('exit', (exitCode, signal) => tell({ kind: 'exited', exitCode, signal }))
  if (proc.pid === undefined) return
  tell({ kind: 'started', pid: proc.pid })

  let adapter: Adapter | undefined
  const attempt = async (work: () => Promise<ThreadAnswer>): Promise<void> => {
    try {
      tell(await work())
    } catch (error) {
      tell({ kind: 'failed', text: stripVTControlCharacters((error as Error).stack ?? String(error)) })
    }
  }
  await attempt(async () => {
    adapter = await python('immiscible_worker.bridge')
    await adapter.begin()
    return { kind: 'ready' }
  })
  port.on('message', (message: ThreadRequest) => {
    // Python reads the end of its channel, and ends as a Python does.
    if (message.kind === 'end') proc.disconnect()
    else void attempt(async () => ({ kind: 'answer', answer: await (adapter as Adapter).answer(message.request) }))
  })
}
