/** `immiscible serve`: until SIGINT, SIGTERM or SIGHUP. */
import type { Command } from 'commander'
import { serveBatches, type TrainInput } from '../index.ts'
import { addConfigFlags, loadFlags } from './config-flags.ts'

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const

/** Adds the command. */
export function addServe(program: Command, _print: (text: string) => void, log: (text: string) => void): void {
  addConfigFlags(program.command('serve'))
    .description('give assigned batches to a training loop of your own (Python: immiscible_worker.AssignedBatches)')
    .action(async (flags: Readonly<Record<string, unknown>>) => {
      await serve((await loadFlags(flags)).input, log)
    })
}

async function serve(input: TrainInput, log: (line: string) => void): Promise<void> {
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
