/** The checker of kills: reads what workers and orchestrators left behind, and nothing of the system that wrote it. */
import { createHash } from 'node:crypto'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { readLedger, readLines, type LedgerLine, type Place } from './place.ts'

/** What a run came to. */
export interface Truth {
  /** SHA-256 of each step's batch. */
  readonly batches: readonly string[]
  /** Of the final checkpoint, by our own count: every tensor of network, EMA and optimiser, and the numbers beside them. */
  readonly digest: string
  /** What the product says of it. */
  readonly stateSha256: string
  /** Of the weights in pipeline/. */
  readonly pipeline: string
}

/** Of a run that nothing disturbed. */
export function readTruth(place: Place): Truth {
  const batches = readLedger(place)
    .filter(({ kind }) => kind === 'applied')
    .map(({ batch }) => batch as string)
  return { batches, ...digestRun(place.runFolder) }
}

/** Everything that differs from the truth, one line each. */
export function compareWithTruth(place: Place, truth: Truth): string[] {
  const found = digestRun(place.runFolder)
  const differing = (['digest', 'stateSha256', 'pipeline'] as const).filter((field) => found[field] !== truth[field])
  return [
    ...checkLineage(readLedger(place), truth.batches),
    ...checkEvents(place.runFolder, truth.batches),
    ...differing.map((field) => `${field}: expected ${truth[field].slice(0, 12)}, got ${found[field].slice(0, 12)}`),
    ...findRubbish(place.runFolder),
  ]
}

/**
 * Follows the lives of workers in the order of their lines: each starts from a checkpoint, which takes back the steps after it, and adds the steps that
 * it applies. In the end every step is there once, in order, with its own batch. Whoever a later worker has replaced adds nothing, and commits nothing.
 */
export function checkLineage(lines: readonly LedgerLine[], batches: readonly string[]): string[] {
  const violations: string[] = []
  const saved = new Set([0])
  let numApplied = 0
  let latest = -1
  for (const { kind, generation, step = 0, batch } of lines) {
    const who = `generation ${generation}`
    if (kind === 'applied' && batch !== batches[step]) violations.push(`step ${step} was applied with another batch by ${who}`)
    if (generation < latest) {
      if (kind === 'commit') violations.push(`a checkpoint of step ${step} was committed by ${who}, after generation ${latest} had started`)
      continue
    }
    if (kind === 'rename') saved.add(step)
    if (kind === 'start') {
      latest = generation
      if (!saved.has(step)) violations.push(`${who} starts at step ${step}, which no checkpoint has`)
      if (step > numApplied) violations.push(`${who} starts at step ${step}, and step ${numApplied} was never applied`)
      numApplied = step
    }
    if (kind !== 'applied') continue
    if (step !== numApplied) violations.push(`${who} applied step ${step}, expected step ${numApplied}`)
    numApplied = step + 1
  }
  if (numApplied !== batches.length) violations.push(`the lineage ends after ${numApplied} steps, expected ${batches.length}`)
  return violations
}

/** events.jsonl: whole lines, and every step that it tells of with its own batch; orchestrators that were killed may have left some out. */
function checkEvents(runFolder: string, batches: readonly string[]): string[] {
  const violations: string[] = []
  const lines = readFileSync(join(runFolder, 'events.jsonl'), 'utf8').split('\n')
  for (const [at, line] of lines.entries()) {
    if (line === '') continue
    try {
      const { kind, step, batchSha256 } = JSON.parse(line) as { kind: string; step: number; batchSha256: string }
      if (kind === 'step' && batchSha256 !== batches[step]) violations.push(`events.jsonl: step ${step} has another batch`)
    } catch {
      // The orchestrator was killed as it wrote this line, and its successor has begun a new one.
      if (!lines[at + 1]?.includes('"kind":"run"')) violations.push(`events.jsonl: line ${at + 1} is torn`)
    }
  }
  return violations
}

/** What a finished run must not have left. */
function findRubbish(runFolder: string): string[] {
  const checkpoints = join(runFolder, 'checkpoints')
  const left = readdirSync(checkpoints).filter((name) => name.startsWith('.tmp-'))
  if (existsSync(join(runFolder, 'lock'))) left.push('lock')
  if (readdirSync(checkpoints).length > 2) left.push(`${readdirSync(checkpoints).length} checkpoints`)
  return left.map((name) => `left behind: ${name}`)
}

function digestRun(runFolder: string): Omit<Truth, 'batches'> {
  const checkpoints = join(runFolder, 'checkpoints')
  const newest = join(checkpoints, readdirSync(checkpoints).toSorted().at(-1) as string)
  const { stateSha256 } = JSON.parse(readFileSync(join(newest, 'manifest.json'), 'utf8')) as { stateSha256: string }
  const parts = readdirSync(newest).filter((name) => name.endsWith('.safetensors'))
  const digest = createHash('sha256').update(readFileSync(join(newest, 'scalars.json')))
  for (const part of parts.toSorted()) digest.update(`${part} ${digestTensors(join(newest, part))}`)
  const pipeline = join(runFolder, 'pipeline', 'unet', 'diffusion_pytorch_model.safetensors')
  return { digest: digest.digest('hex'), stateSha256, pipeline: digestTensors(pipeline) }
}

/** Tensor by tensor: one state may be written as different files. */
function digestTensors(file: string): string {
  const bytes = readFileSync(file)
  const start = 8 + Number(bytes.readBigUInt64LE())
  const header = JSON.parse(bytes.toString('utf8', 8, start)) as Record<
    string,
    { dtype: string; shape: number[]; data_offsets: [number, number] }
  >
  const digest = createHash('sha256')
  for (const name of Object.keys(header).toSorted()) {
    if (name === '__metadata__') continue
    const { dtype, shape, data_offsets: offsets } = header[name]
    digest.update(`${name} ${dtype} ${shape.join('x')}\n`).update(bytes.subarray(start + offsets[0], start + offsets[1]))
  }
  return digest.digest('hex')
}

/** Pids of the workers that the hook has seen begin, each with the generation that it was. */
export function workersOf(place: Place): LedgerLine[] {
  return readLines<LedgerLine>(join(place.folder, 'ledger.jsonl')).filter(({ kind }) => kind === 'begin')
}
