/** P14, the Python side: mutated messages against each decoder of the worker, with bounds on memory and time. */
import type { Campaign, Control } from './campaign.ts'
import { runPythonPart } from './python-part.ts'

interface Found {
  readonly violations: readonly string[]
  readonly faults: Readonly<Record<string, number>>
  readonly controls: readonly Control[]
}

export const hostilePython: Campaign = {
  name: 'hostile-python',
  promise:
    'no bytes crash the worker, hang it or fill its memory: each decoder answers with a typed error, and then decodes a good message',
  async run(scale, context) {
    const found = await runPythonPart<Found>('hostile_python.py', [scale, String(context.seed), context.folder], context)
    const trials = Object.entries(found.faults).reduce((sum, [kind, count]) => sum + (kind.endsWith(' messages') ? count : 0), 0)
    return { ...found, trials }
  },
}
