/** Child processes: the only user of execa. Never a shell; execa is loaded at the first child, since that takes 85 ms. */
import { closeSync, openSync } from 'node:fs'
import { createInterface } from 'node:readline'
import type { Readable } from 'node:stream'

export type OutputStream = 'stdout' | 'stderr'
export type OnLine = (line: string, stream: OutputStream) => void

interface ChildOptions {
  /** Added to this process's own environment. */
  readonly env?: Readonly<Record<string, string>>
  readonly cwd?: string
  readonly onLine?: OnLine
}

export interface RunOptions extends ChildOptions {
  /** All of the child's stdin; without it the child reads nothing. */
  readonly input?: string
  /** Show the child's output on this process's own stdout and stderr instead of collecting it. */
  readonly inherit?: boolean
  /** Ends the child: SIGTERM, then SIGKILL after five seconds. */
  readonly signal?: AbortSignal
  readonly timeoutMs?: number
  /** Throw on anything but exit code 0. */
  readonly check?: boolean
}

export interface Exit {
  /** null: ended by a signal, or never started. */
  readonly exitCode: number | null
  readonly signal: string | null
  /** One line about what went wrong; null after exit code 0. */
  readonly failure: string | null
  /** Node's code where the child could not be started or read: ENOENT, EACCES... */
  readonly errorCode: string | null
}

export interface RunResult extends Exit {
  readonly stdout: string
  readonly stderr: string
  readonly durationMs: number
}

/** Runs a command to its end. Resolves whatever the exit code, also when there is no such command, unless `check` is set. */
export async function run(command: string, args: readonly string[], options: RunOptions = {}): Promise<RunResult> {
  const { execa } = await import('execa')
  const { env, cwd, input, onLine, inherit = false, signal, timeoutMs, check = false } = options
  const output = inherit ? ('inherit' as const) : ('pipe' as const)
  const child = execa(command, args, {
    ...(env && { env }),
    ...(cwd !== undefined && { cwd }),
    ...(input === undefined ? { stdin: 'ignore' as const } : { input }),
    ...(signal && { cancelSignal: signal }),
    ...(timeoutMs !== undefined && { timeout: timeoutMs }),
    stdout: output,
    stderr: output,
    reject: false,
  })
  const allLines = onLine && watchLines(child, onLine)
  const result = await child
  await allLines
  if (check && result.failed) throw new Error([result.shortMessage, result.stderr].filter(Boolean).join('\n'), { cause: result.cause })
  const { stdout, stderr, durationMs } = result
  return { ...describeExit(result), stdout: stdout ?? '', stderr: stderr ?? '', durationMs }
}

export interface LaunchOptions extends ChildOptions {
  /** File that gets stdout and stderr, appended to by the child itself: nothing passes through this process, and nothing is lost when it dies. */
  readonly logFile?: string
  /** From SIGTERM to SIGKILL. */
  readonly forceKillAfterMs?: number
}

export interface Launched {
  /** undefined: it could not be started, see `exited`. */
  readonly pid: number | undefined
  /** Never rejects. */
  readonly exited: Promise<Exit>
  /** SIGTERM unless told otherwise; SIGKILL follows SIGTERM after `forceKillAfterMs`. */
  kill(signal?: NodeJS.Signals): void
}

/**
 * Starts a long-lived child. Its stdin is a pipe that stays open and empty: the child reads end-of-file when this process is gone.
 * Output goes to `logFile`, or line by line to `onLine`, or nowhere. It is killed when this process exits by itself.
 */
export async function launch(command: string, args: readonly string[], options: LaunchOptions = {}): Promise<Launched> {
  const { execa } = await import('execa')
  const { env, cwd, onLine, logFile, forceKillAfterMs = 5000 } = options
  const log = logFile === undefined ? undefined : openSync(logFile, 'a')
  // execa types descriptors as the literals 3 to 9; any number goes through to spawn().
  const output = (log as 3 | undefined) ?? (onLine ? ('pipe' as const) : ('ignore' as const))
  try {
    const child = execa(command, args, {
      ...(env && { env }),
      ...(cwd !== undefined && { cwd }),
      stdin: 'pipe',
      stdout: output,
      stderr: output,
      buffer: false,
      reject: false,
      forceKillAfterDelay: forceKillAfterMs,
    })
    // A child that dies with its stdin open: the write end reports EPIPE, and `exited` says the rest.
    child.stdin?.on('error', () => undefined)
    if (onLine) void watchLines(child, onLine)
    return { pid: child.pid, exited: child.then(describeExit), kill: (signal) => void child.kill(signal) }
  } finally {
    if (log !== undefined) closeSync(log)
  }
}

/** Resolves when both streams have ended and every line was handed over. */
async function watchLines(child: { readonly stdout: Readable | null; readonly stderr: Readable | null }, onLine: OnLine): Promise<void> {
  const ended = (['stdout', 'stderr'] as const).map(async (stream) => {
    const input = child[stream]
    if (!input) return
    const lines = createInterface({ input, crlfDelay: Infinity }).on('line', (line) => onLine(line, stream))
    await new Promise((resolve) => lines.once('close', resolve))
  })
  await Promise.all(ended)
}

interface ExecaOutcome {
  failed: boolean
  exitCode?: number | undefined
  signal?: string | undefined
  shortMessage?: string | undefined
  code?: string | undefined
}

function describeExit(result: ExecaOutcome): Exit {
  return {
    exitCode: result.exitCode ?? null,
    signal: result.signal ?? null,
    failure: result.failed ? (result.shortMessage ?? 'failed') : null,
    errorCode: result.code ?? null,
  }
}
