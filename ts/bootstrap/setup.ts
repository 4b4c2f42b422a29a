/** Gets the worker's Python ready and says which one it is: the first half of `npm run demo`. */
import { ImmiscibleError } from '../errors.ts'
import { ensureEnvironment, type Environment } from '../worker/environment.ts'

/** Shows progress on stderr; on failure says what to do and ends the process with exit code 3. */
export async function setUp(extras: readonly string[] = []): Promise<Environment> {
  try {
    const environment = await ensureEnvironment({ extras, onProgress: say })
    say(`Python: ${environment.python} (${environment.reason})`)
    return environment
  } catch (error) {
    if (!(error instanceof ImmiscibleError)) throw error
    say(error.message)
    return process.exit(3)
  }
}

function say(line: string): void {
  process.stderr.write(`[immiscible] ${line}\n`)
}

if (import.meta.main) await setUp()
