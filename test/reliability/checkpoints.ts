/** P7 to P10, P26: crash states of the checkpoint writer, rot, failing and full disks; the order of its system calls, and of the orchestrator's. */
import { mkdirSync, mkdtempSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import type { Campaign, CampaignContext, Control, Outcome } from './campaign.ts'
import { PYTHON_ENV, runPythonPart } from './python-part.ts'
import { findDisorder, traceFiles, type FileOperation } from './system-calls.ts'

interface Found {
  readonly violations: readonly string[]
  readonly faults: Readonly<Record<string, number>>
}

type FoundInPython = Found & { readonly controls: readonly Control[]; readonly recorded: readonly FileOperation[] }

export const checkpoints: Campaign = {
  name: 'checkpoints',
  promise: 'a torn checkpoint is never taken, a good one never lost: not by a crash, rot, or a disk that is full or fails',
  async run(scale, context) {
    const scratch = memoryFolder(context.folder)
    try {
      const enumerated = await runPythonPart<FoundInPython>('checkpoints.py', [scale, String(context.seed), scratch], context)
      const full = await runPythonPart<Found | NotRun>('full_disk.py', [scale, join(context.folder, 'disk')], context)
      const traced = await checkOrder(enumerated.recorded, context)
      return summarize(enumerated, [named('really full disks', full, context), traced])
    } finally {
      rmSync(scratch, { recursive: true, force: true })
    }
  },
}

interface NotRun {
  readonly notRun: string
}

/** What cannot be done on this machine is a row of the table, with its reason. */
function named(what: string, found: Found | NotRun, { log }: CampaignContext): Found {
  if (!('notRun' in found)) return found
  log(`${what}: not run: ${found.notRun}`)
  return { violations: [], faults: { [`${what} (not run: ${found.notRun})`]: 0 } }
}

function summarize(enumerated: FoundInPython, others: readonly Found[]): Outcome {
  const faults = Object.fromEntries([enumerated, ...others].flatMap((found) => Object.entries(found.faults)))
  const isRun = (kind: string): boolean => !['prefixes of operations', 'histories'].includes(kind)
  return {
    trials: Object.entries(faults).reduce((sum, [kind, count]) => sum + (isRun(kind) ? count : 0), 0),
    faults,
    violations: [enumerated, ...others].flatMap(({ violations }) => violations),
    controls: [...enumerated.controls, ...disorderControls(enumerated.recorded)],
  }
}

/** By strace, since the recorder could be wrong: the kernel sees what it recorded, and in an order that survives a loss of power. */
async function checkOrder(recorded: readonly FileOperation[], context: CampaignContext): Promise<Found> {
  const violations = findDisorder(recorded).map((problem) => `the writer's operations: ${problem}`)
  const faults: Record<string, number> = {}
  const [python, node] = ['python', 'node'].map((name) => join(context.folder, name))
  mkdirSync(python)
  mkdirSync(node)
  const script = (name: string): string => join(import.meta.dirname, name)
  const saving = await traceFiles([context.python, script('checkpoints.py'), 'write', python], python, PYTHON_ENV)
  if ('notRun' in saving) return named('traces of system calls', saving, context)
  violations.push(...findDisorder(saving.operations).map((problem) => `the worker's system calls: ${problem}`))
  if (describe(saving.operations) !== describe(recorded)) violations.push('strace saw other operations of the writer than the recorder')
  faults['system calls of the worker in order'] = saving.operations.length
  const writing = await traceFiles([process.execPath, script('durable-writes.ts'), node], node)
  if ('notRun' in writing) return named('traces of system calls', writing, context)
  // The tables of kept noise: where one is lost its epoch is solved again.
  const isCache = (path: string): boolean => path.includes('/noise')
  // The lock of a living process means nothing after a loss of power.
  const kept = writing.operations.filter(({ path }) => !path.includes('/lock'))
  violations.push(...findDisorder(kept, isCache).map((problem) => `the orchestrator's system calls: ${problem}`))
  faults['system calls of the orchestrator in order'] = kept.length
  return { violations, faults }
}

/** The files of a folder are removed in the order in which the file system lists them. */
const describe = (operations: readonly FileOperation[]): string =>
  operations.map(({ kind, path, target }) => `${kind} ${kind === 'unlink' ? parentOf(path) : path} ${target ?? ''}`).join('\n')

/** Each sync that matters left out, one at a time, and retention moved before the rename: the check of the order must say so. */
function disorderControls(recorded: readonly FileOperation[]): Control[] {
  const needed = recorded.flatMap(({ kind }, at) => (kind === 'fsync' && !isRepeated(recorded, at) ? [at] : []))
  const missed = needed.filter((left) => findDisorder(recorded.filter((_, at) => at !== left)).length === 0)
  const commit = recorded.findLastIndex(({ kind, target }) => kind === 'rename' && target?.includes('/step-'))
  const retention = recorded.slice(commit).filter(({ path }) => path.includes('step-'))
  const early = [
    ...recorded.slice(0, commit),
    ...retention,
    ...recorded.slice(commit).filter((operation) => !retention.includes(operation)),
  ]
  return [
    { name: `order: each of ${needed.length} syncs left out`, isCaught: needed.length > 0 && missed.length === 0 },
    { name: 'order: retention before the rename', isCaught: retention.length > 0 && findDisorder(early).length > 0 },
  ]
}

/** Whether this sync changes nothing: no name is new since the last one of the same folder. */
function isRepeated(recorded: readonly FileOperation[], at: number): boolean {
  const { path } = recorded[at]
  const last = recorded.slice(0, at).findLastIndex(({ kind, path: other }) => kind === 'fsync' && other === path)
  const since = recorded.slice(last + 1, at).filter(({ kind }) => kind !== 'fsync')
  return last >= 0 && since.every(({ path: other }) => other !== path && parentOf(other) !== path)
}

const parentOf = (path: string): string => (path.includes('/') ? path.slice(0, path.lastIndexOf('/')) : '.')

/** Memory rather than disk, where there is such a folder: hundreds of thousands of files are written. */
function memoryFolder(folder: string): string {
  const isThere = statSync('/dev/shm', { throwIfNoEntry: false })?.isDirectory() ?? false
  return mkdtempSync(join(isThere ? '/dev/shm' : folder, 'immiscible-checkpoints-'))
}
