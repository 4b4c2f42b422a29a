/** From what a user wrote to a complete config, or one clear error per field. */
import { createHash } from 'node:crypto'
import { z } from 'zod'
import { ASSIGNMENT_PRESETS, expandAssignment, type AssignmentInput } from './assignment.ts'
import { NETWORK_PRESETS, trainConfig, type TrainConfig } from './config.ts'

type RawInput = z.input<typeof trainConfig>

/** What a user writes: every field with a default may be left out. */
export type TrainConfigInput = Omit<RawInput, 'assignment' | 'network'> & {
  assignment?: AssignmentInput
  network?: Partial<RawInput['network']>
}

/** One thing wrong with a config: where, and what was expected and came. */
export interface ConfigProblem {
  readonly path: string
  readonly message: string
}

export type ResolveResult = { readonly config: TrainConfig } | { readonly problems: readonly ConfigProblem[] }

/** Fills defaults and presets and checks every field and combination that can be checked without the data. */
export function resolveConfig(input: unknown): ResolveResult {
  const parsed = trainConfig.safeParse(fillIn(input), { reportInput: true })
  if (!parsed.success) return { problems: parsed.error.issues.flatMap(describeIssue) }
  const problems = checkCombinations(parsed.data)
  return problems.length > 0 ? { problems } : { config: parsed.data }
}

/** SHA-256 (hex) of what decides the result of training: not where it (or a strategy's module) is written, how far it goes, or how it is watched. */
export function hashConfig(config: TrainConfig): string {
  const { outputDir, maxTrainSteps, sampling, gate, checkpoint, tracking, worker, pipeline, ...rest } = config
  const { url, ...assignment } = { url: undefined, ...rest.assignment }
  const canonical = { ...rest, assignment, noiseDtype: pipeline.noiseDtype, device: worker.device }
  return createHash('sha256').update(canonicalJson(canonical)).digest('hex')
}

function canonicalJson(value: unknown): string {
  return JSON.stringify(value, (_key, item: unknown) =>
    isRecord(item) ? Object.fromEntries(Object.entries(item).toSorted(([a], [b]) => (a < b ? -1 : 1))) : item,
  )
}

/** Defaults that depend on another field: the preset behind a network, the batch behind a pool. */
function fillIn(input: unknown): unknown {
  if (!isRecord(input)) return input
  const objective = input['objective']
  const objectiveKind = isRecord(objective) && typeof objective['kind'] === 'string' ? objective['kind'] : 'ddim'
  const network = input['network'] ?? {}
  const preset = (isRecord(network) && network['preset']) || 'tiny'
  // A bad batch size is reported as itself, not a second time as a pool.
  const poolSize = trainConfig.shape.globalBatchSize.safeParse(input['globalBatchSize']).data ?? 1
  const presetValues = NETWORK_PRESETS[preset as keyof typeof NETWORK_PRESETS] ?? NETWORK_PRESETS.tiny
  return {
    ...input,
    assignment: expandAssignment(input['assignment'] ?? 'quantized', { poolSize, objectiveKind }),
    network: isRecord(network) ? { ...presetValues, ...network, preset } : network,
  }
}

function checkCombinations(config: TrainConfig): ConfigProblem[] {
  const problems: ConfigProblem[] = []
  const expect = (holds: boolean, path: string, message: string): void => {
    if (!holds) problems.push({ path, message })
  }
  const { assignment, network, globalBatchSize, objective, sampling, ema } = config
  expect(
    assignment.poolSize % globalBatchSize === 0,
    'assignment.poolSize',
    `expected a multiple of globalBatchSize (${globalBatchSize}), got ${assignment.poolSize}`,
  )
  expect(
    sampling.numInferenceSteps <= objective.numTrainTimesteps,
    'sampling.numInferenceSteps',
    `expected at most objective.numTrainTimesteps (${objective.numTrainTimesteps}), got ${sampling.numInferenceSteps}`,
  )
  expect(
    objective.betaStart < objective.betaEnd,
    'objective.betaStart',
    `expected less than objective.betaEnd (${objective.betaEnd}), got ${objective.betaStart}`,
  )
  expect(ema.minDecay <= ema.decay, 'ema.minDecay', `expected at most ema.decay (${ema.decay}), got ${ema.minDecay}`)
  const numBlocks = network.blockOutChannels.length
  for (const field of ['downBlockTypes', 'upBlockTypes'] as const) {
    expect(
      network[field].length === numBlocks,
      `network.${field}`,
      `expected ${numBlocks} blocks, one for each of network.blockOutChannels, got ${network[field].length}`,
    )
  }
  network.blockOutChannels.forEach((channels, level) => {
    expect(
      channels % network.normNumGroups === 0,
      `network.blockOutChannels[${level}]`,
      `expected a multiple of network.normNumGroups (${network.normNumGroups}), got ${channels}`,
    )
  })
  return problems
}

function describeIssue(issue: z.core.$ZodIssue): ConfigProblem[] {
  const path = formatPath(issue.path)
  const got = `got ${show(issue.input)}`
  switch (issue.code) {
    case 'unrecognized_keys':
      return issue.keys.map((key) => ({ path: formatPath([...issue.path, key]), message: 'unknown key' }))
    case 'invalid_value':
      return [{ path, message: `expected ${listOf(issue.values)}, ${got}` }]
    case 'invalid_union': {
      const options = (issue as { options?: readonly unknown[] }).options
      const value = isRecord(issue.input) ? issue.input[String(issue.path.at(-1))] : issue.input
      const names = path === 'assignment.kind' ? [...(options ?? []), ...Object.keys(ASSIGNMENT_PRESETS)] : options
      return [{ path, message: names ? `expected ${listOf(names)}, got ${show(value)}` : `${issue.message}, ${got}` }]
    }
    case 'invalid_type':
      return [{ path, message: `expected ${issue.expected}, ${got}` }]
    case 'too_small':
      return [{ path, message: `expected ${issue.inclusive ? 'at least' : 'more than'} ${issue.minimum}${unitOf(issue.origin)}, ${got}` }]
    case 'too_big':
      return [{ path, message: `expected ${issue.inclusive ? 'at most' : 'less than'} ${issue.maximum}${unitOf(issue.origin)}, ${got}` }]
    default:
      return [{ path, message: `${issue.message}, ${got}` }]
  }
}

function unitOf(origin: string): string {
  return origin === 'string' ? ' character' : origin === 'array' ? ' entry' : ''
}

function formatPath(path: readonly PropertyKey[]): string {
  return path.map((part, at) => (typeof part === 'number' ? `[${part}]` : `${at > 0 ? '.' : ''}${String(part)}`)).join('') || '(config)'
}

function listOf(values: readonly unknown[]): string {
  return values.length === 1 ? show(values[0]) : `one of ${values.map(show).join(', ')}`
}

function show(value: unknown): string {
  if (value === undefined) return 'nothing'
  if (typeof value === 'string') return `'${value}'`
  if (typeof value === 'number' || typeof value === 'boolean' || value === null) return String(value)
  return Array.isArray(value) ? 'an array' : `${typeof value === 'object' ? 'an' : 'a'} ${typeof value}`
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
