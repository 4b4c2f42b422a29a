/** Where the command line writes: what was asked for on stdout, everything else on stderr. */

/** What a command is for: its result, and nothing else. */
export function print(text: string): void {
  process.stdout.write(`${text}\n`)
}

/** What a person watching wants to know. */
export function log(text: string): void {
  process.stderr.write(`${text}\n`)
}

/**
 * A terminal that was closed, or a reader that has gone as `head` in `immiscible config | head`: what is left to say is not said, and a run goes on.
 * Anything else, as a full disk behind `>`, is a failure.
 */
export function tolerateClosedPipes(failed: number): void {
  for (const stream of [process.stdout, process.stderr]) {
    stream.on('error', ({ code, message }: NodeJS.ErrnoException) => {
      if (stream !== process.stdout || code === 'EPIPE' || code === 'EIO') return
      log(`immiscible: cannot write to stdout: ${message}`)
      process.exitCode = failed
    })
  }
}
