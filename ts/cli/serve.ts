/** `immiscible serve`: until SIGINT, SIGTERM or SIGHUP. */
import { serveBatches, type TrainInput } from '../index.ts'

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const

export async function serve(input: TrainInput, log: (line: string) => void): Promise<void> {
  const stop = new AbortController()
  const onSignal = (): void => stop.abort()
  for (const signal of SIGNALS) process.once(signal, onSignal)
  try {
    const serving = serveBatches(input, { signal: stop.signal, onLog: log })
    serving.folder.then(
      (folder) => log(`serving; in Python: AssignedBatches(${JSON.stringify(folder)})`),
      () => undefined, // said by the promise itself
    )
    await serving
  } finally {
    for (const signal of SIGNALS) process.off(signal, onSignal)
  }
}
