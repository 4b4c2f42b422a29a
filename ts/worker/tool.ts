/** One-shot calls of the worker package, JSON in and JSON out. */
import { ImmiscibleError, WorkerError } from '../errors.ts'
import { run, type OnLine } from '../process.ts'
import { ensureEnvironment, workerEnv } from './environment.ts'

export type Tool = 'sample' | 'evaluate' | 'measure' | 'encode' | 'plot' | 'describe' | 'denoise' | 'miscibility' | 'gaussianity'

export interface ToolOptions {
  /** Of the installation of Python packages. */
  readonly onSetup: (line: string) => void
  /** Groups of optional dependencies in py/pyproject.toml that it needs besides the worker's. */
  readonly extras?: readonly string[]
  /** What the tool says while it works. */
  readonly onLine?: OnLine
  /** Aborting ends it. */
  readonly signal?: AbortSignal | undefined
}

/** @throws WorkerError with Python's last line as the message and its whole output as the traceback; ABORTED by `signal`, when Python has ended. */
export async function runTool(tool: Tool, input: object, { onSetup, extras = [], onLine, signal }: ToolOptions): Promise<unknown> {
  const { python } = await ensureEnvironment({ extras, onProgress: onSetup })
  const result = await run(python, ['-m', 'immiscible_worker', tool], {
    env: workerEnv(),
    input: JSON.stringify(input),
    ...(onLine && { onLine }),
    ...(signal && { signal }),
  })
  if (result.exitCode !== 0) {
    if (signal?.aborted) throw new ImmiscibleError('ABORTED', `${tool}: aborted`, { cause: signal.reason })
    const said = (result.stderr.trimEnd().split('\n').at(-1) ?? '').replace('[immiscible] [worker:tool] ', '')
    throw new WorkerError('WORKER_FAILED', `${tool}: ${said || result.failure}`, result.stderr)
  }
  return JSON.parse(result.stdout.trimEnd().split('\n').at(-1) ?? '')
}
