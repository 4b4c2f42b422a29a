/** `immiscible serve`: until SIGINT, SIGTERM or SIGHUP. */
import type { Command } from 'commander'
import { serveBatches, type TrainInput } from '../index.ts'
import { toInput, type TrainFlags } from './input.ts'
import { integer } from './parse.ts'

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const

/** Adds the command. */
export function addServe(program: Command, _print: (text: string) => void, log: (text: string) => void): void {
  program
    .command('serve')
    .description('give assigned batches to a training loop of your own (Python: immiscible_worker.AssignedBatches)')
    .option('--config <file>', 'config as JSON; flags below win over it')
    .option('--dataset <kind>', 'data set')
    .option('--assignment <kind>', 'strategy, see `immiscible strategies`')
    .option('--pool-size <images>', 'images over which an assignment is solved', integer)
    .option('--global-batch-size <images>', 'images per optimiser step, over all devices', integer)
    .option('--max-train-steps <steps>', 'steps in all', integer)
    .option('--seed <seed>', 'seed of everything', integer)
    .option('--output-dir <folder>', 'where serve.json tells the client how to connect')
    .option('--listen <address>', 'tcp://HOST:PORT, for a client on another host; PORT + 1 as well')
    .option('--key-file <file>', "the server's NAME.key_secret, from `immiscible keys`")
    .option('--client-key <file...>', 'NAME.key of each client that may connect')
    .action(async (flags: TrainFlags) => {
      await serve(toInput(flags), log)
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
