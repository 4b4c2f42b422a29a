/** One-shot calls of the worker package, JSON in and JSON out: sampling and evaluating a finished pipeline. */
import { WorkerError } from '../errors.ts'
import { run } from '../process.ts'
import { ensureEnvironment, workerEnv } from './environment.ts'

export type Tool = 'sample' | 'evaluate'

/** @throws WorkerError with Python's last line as the message and its whole output as the traceback. */
export async function runTool(tool: Tool, input: object, onSetup: (line: string) => void): Promise<unknown> {
  const { python } = await ensureEnvironment({ onProgress: onSetup })
  const result = await run(python, ['-m', 'immiscible_worker', tool], { env: workerEnv(), input: JSON.stringify(input) })
  if (result.exitCode !== 0) {
    const said = result.stderr.trimEnd().split('\n').at(-1) ?? ''
    throw new WorkerError('WORKER_FAILED', `${tool}: ${said || result.failure}`, result.stderr)
  }
  return JSON.parse(result.stdout.trimEnd().split('\n').at(-1) ?? '')
}
