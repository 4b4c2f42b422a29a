/** From what a user wrote to a complete config, or one clear error per field. */
import { createHash } from 'node:crypto'
import { z } from 'zod'
import { ASSIGNMENT_PRESETS, expandAssignment, type AssignmentInput } from './assignment.ts'
import { checkCombinations, type ConfigProblem } from './combinations.ts'
import { trainConfig, type TrainConfig } from './config.ts'
import { expandEvaluation } from './evaluation.ts'
import { listConfigFields } from './fields.ts'
import { DEFAULT_NETWORK, expandNetwork, type NetworkInput } from './network.ts'
import { expandObjective, type ObjectiveInput } from './objective.ts'
import { didYouMean, suggest } from './suggest.ts'

type RawInput = z.input<typeof trainConfig>

/** What a user writes: every field with a default may be left out. */
export type TrainConfigInput = Omit<RawInput, 'dataset' | 'assignment' | 'network' | 'objective'> & {
  /** A section, or its name alone. */
  dataset: RawInput['dataset'] | RawInput['dataset']['kind']
  assignment?: AssignmentInput
  network?: NetworkInput
  objective?: ObjectiveInput
}

/** What a section is where nobody says which; a data set has to be named. */
export const DEFAULT_NAMES = { objective: 'ddim', assignment: 'quantized', network: DEFAULT_NETWORK } as const

export type ResolveResult = { readonly config: TrainConfig } | { readonly problems: readonly ConfigProblem[] }

/** Fills defaults and presets and checks every field and combination that can be checked without the data. */
export function resolveConfig(input: unknown): ResolveResult {
  const filled = fillIn(input)
  const parsed = trainConfig.safeParse(filled, { reportInput: true })
  if (!parsed.success) return { problems: parsed.error.issues.flatMap((issue) => describeIssue(issue, filled)) }
  const problems = checkCombinations(parsed.data)
  return problems.length > 0 ? { problems } : { config: parsed.data }
}

/** SHA-256 (hex) of what decides the result of training: not where it (or a file it uses) is, how far it goes, or how it is watched. */
export function hashConfig(config: TrainConfig): string {
  const { outputDir, maxTrainSteps, sampling, evaluation, gate, checkpoint, tracking, worker, pipeline, validation, ...rest } = config
  const canonical = {
    ...rest,
    dataset: { ...rest.dataset, path: undefined, vae: undefined },
    assignment: pinned(rest.assignment),
    network: pinned(rest.network),
    objective: pinned(rest.objective),
    noiseDtype: pipeline.noiseDtype,
    device: worker.device,
    numHeldOut: validation.numImages,
  }
  return createHash('sha256').update(canonicalJson(canonical)).digest('hex')
}

/** A section without the name of the preset behind it, and without the places of files whose content it names. */
function pinned(section: Record<string, unknown>): Record<string, unknown> {
  const { preset, url, initFrom, module, lpipsWeights, ...rest } = section
  const places = { ...(rest['sha256'] === null && { initFrom, module }), ...(rest['lpipsSha256'] === null && { lpipsWeights }) }
  return { ...rest, ...places }
}

function canonicalJson(value: unknown): string {
  return JSON.stringify(value, (_key, item: unknown) =>
    isRecord(item) ? Object.fromEntries(Object.entries(item).toSorted(([a], [b]) => (a < b ? -1 : 1))) : item,
  )
}

/** Defaults that depend on another field: the preset behind a network, the batch behind a pool, the run's length behind a schedule. */
function fillIn(input: unknown): unknown {
  if (!isRecord(input)) return input
  // A bad value is reported as itself, not a second time as what it decides.
  const { globalBatchSize, maxTrainSteps } = trainConfig.shape
  const poolSize = globalBatchSize.safeParse(input['globalBatchSize']).data ?? 1
  const numSteps = maxTrainSteps.safeParse(input['maxTrainSteps']).data ?? 1
  const objective = expandObjective(input['objective'] ?? DEFAULT_NAMES.objective, { maxTrainSteps: numSteps })
  const objectiveKind = isRecord(objective) && typeof objective['kind'] === 'string' ? objective['kind'] : DEFAULT_NAMES.objective
  const dataset = input['dataset']
  const optimizer = input['optimizer'] ?? {}
  const sampling = input['sampling'] ?? {}
  return {
    ...input,
    dataset: typeof dataset === 'string' ? { kind: dataset } : dataset,
    objective,
    assignment: expandAssignment(input['assignment'] ?? DEFAULT_NAMES.assignment, { poolSize, objectiveKind }),
    network: expandNetwork(input['network'] ?? {}),
    optimizer: isRecord(optimizer) && isFalling(optimizer['lrScheduler']) ? { lrDecaySteps: numSteps, ...optimizer } : optimizer,
    ...(input['evaluation'] !== undefined && { evaluation: expandEvaluation(input['evaluation']) }),
    sampling: isRecord(sampling) && objectiveKind === 'consistency' ? { numInferenceSteps: 1, ...sampling } : sampling,
  }
}

function isFalling(lrScheduler: unknown): boolean {
  return lrScheduler !== undefined && lrScheduler !== 'constant' && lrScheduler !== 'constant_with_warmup'
}

function describeIssue(issue: z.core.$ZodIssue, input: unknown): ConfigProblem[] {
  const path = formatPath(issue.path)
  const got = `got ${show(issue.input)}`
  switch (issue.code) {
    case 'unrecognized_keys':
      return issue.keys.map((key) => {
        const [section] = issue.path
        const kind = isRecord(input) && section !== undefined ? (input[String(section)] as { kind?: unknown }).kind : undefined
        return { path: formatPath([...issue.path, key]), message: `unknown key${explainKey(issue.path.join('.'), key, kind)}` }
      })
    case 'invalid_value':
      return [{ path, message: `expected ${listOf(issue.values)}, ${got}${meant(issue.input, issue.values)}` }]
    case 'invalid_union': {
      const options = (issue as { options?: readonly unknown[] }).options
      const value = isRecord(issue.input) ? issue.input[String(issue.path.at(-1))] : issue.input
      const names = path === 'assignment.kind' ? [...(options ?? []), ...Object.keys(ASSIGNMENT_PRESETS)] : options
      return [{ path, message: names ? `expected ${listOf(names)}, got ${show(value)}${meant(value, names)}` : `${issue.message}, ${got}` }]
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

/** What an unknown key may have been meant to be: a field of other kinds of the section, one of a name like it, or one of its name elsewhere. */
function explainKey(section: string, key: string, kind: unknown): string {
  const fields = listConfigFields()
  const prefix = section === '' ? '' : `${section}.`
  const elsewhere = fields.find(({ path, kinds }) => path === `${prefix}${key}` && kinds.length > 0)
  if (elsewhere) return ` of ${show(kind)}; ${elsewhere.kinds.map(show).join(', ')} ${elsewhere.kinds.length > 1 ? 'have' : 'has'} it`
  const siblings = fields.filter(
    ({ path, kinds }) => path.startsWith(prefix) && (kinds.length === 0 || typeof kind !== 'string' || kinds.includes(kind)),
  )
  const near = didYouMean(
    key,
    siblings.map(({ path }) => path.slice(prefix.length).split('.')[0]),
  )
  if (near !== '') return near
  const name = suggest(
    key,
    fields.map(({ path }) => path.slice(path.lastIndexOf('.') + 1)),
  )
  const places = fields.filter(({ path }) => path.endsWith(`.${name}`)).map(({ path }) => `'${path}'`)
  return places.length > 0 ? `; did you mean ${places.join(' or ')}?` : ''
}

function meant(value: unknown, known: readonly unknown[]): string {
  const names = known.filter((name) => typeof name === 'string')
  return typeof value === 'string' ? didYouMean(value, names) : ''
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
