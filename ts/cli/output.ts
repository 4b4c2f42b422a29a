/** Where the command line writes: what was asked for on stdout, everything else on stderr. */

/** What a command is for: its result, and nothing else. */
export function print(text: string): void {
  process.stdout.write(`${text}\n`)
}

/** What a person watching wants to know. */
export function log(text: string): void {
  process.stderr.write(`${text}\n`)
}
