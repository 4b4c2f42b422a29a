/** The Python parts of campaigns: scripts in this folder that print one JSON line. */
import { delimiter, join } from 'node:path'
import { run } from '../../ts/process.ts'
import type { CampaignContext } from './campaign.ts'

const ROOT = join(import.meta.dirname, '..', '..')

/** What a script of this folder finds imports from: the worker's package and the helpers of its tests. */
export const PYTHON_ENV = { PYTHONPATH: ['py', join('test', 'py')].map((folder) => join(ROOT, folder)).join(delimiter) }

export async function runPythonPart<T>(script: string, args: readonly string[], { python, log }: CampaignContext): Promise<T> {
  const { stdout } = await run(python, [join(import.meta.dirname, script), ...args], {
    env: PYTHON_ENV,
    check: true,
    onLine: (line, stream) => stream === 'stderr' && log(line),
  })
  return JSON.parse(stdout) as T
}
