/** `immiscible serve`: until SIGINT or SIGTERM. */
import { serveBatches, type TrainInput } from '../index.ts'

export async function serve(input: TrainInput, log: (line: string) => void): Promise<void> {
  const stop = new AbortController()
  const onSignal = (): void => stop.abort()
  process.once('SIGINT', onSignal)
  process.once('SIGTERM', onSignal)
  try {
    const serving = serveBatches(input, { signal: stop.signal, onLog: log })
    serving.folder.then(
      (folder) => log(`serving; in Python: AssignedBatches(${JSON.stringify(folder)})`),
      () => undefined, // said by the promise itself
    )
    await serving
  } finally {
    process.off('SIGINT', onSignal)
    process.off('SIGTERM', onSignal)
  }
}
