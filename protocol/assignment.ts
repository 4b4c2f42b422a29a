/** Which noise goes with which image, as a config says it: one schema per strategy, the presets, and the short forms that a user may write. */
import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { z } from 'zod'
import { jsonOptions } from './json.ts'

/** Pairs are n^2: 16,384 images take half a GiB of a thread at two bytes each. */
export const MAX_POOL_SIZE = 16_384
const poolSize = z
  .int32()
  .min(1)
  .max(MAX_POOL_SIZE)
  .describe('images over which the assignment is solved, cut into batches afterwards; default: globalBatchSize')
const startStep = z
  .int32()
  .min(0)
  .default(0)
  .describe('pools whose first step is before it keep their noise as drawn; a pool is never cut in two')
const within = z
  .enum(['pool', 'label'])
  .default('pool')
  .describe("'label' solves each class by itself, so that the noise of a class stays Gaussian; needs labels")
const permuting = { poolSize, within, startStep }
const tolerance = z.number().min(0).max(1).default(0.001).describe('solve until the certified dual gap is at most this share of the gain')
const precision = z.enum(['float32', 'float16']).default('float32')

export const independentAssignment = z
  .strictObject({ kind: z.literal('independent'), poolSize })
  .meta({ id: 'IndependentAssignment' })
  .describe('noise as drawn: the baseline')

export const linearAssignment = z
  .strictObject({
    kind: z.literal('linear'),
    ...permuting,
    metric: z.enum(['l1', 'l2', 'squaredL2']).default('squaredL2').describe('what of each pair is summed and minimised'),
    precision: precision.describe('float16, of linear: both sides times 0.10 and every distance rounded to float16, as the paper has it'),
  })
  .meta({ id: 'LinearAssignment' })
  .describe('exact linear sum assignment on floating-point distances')

export const quantizedAssignment = z
  .strictObject({ kind: z.literal('quantized'), ...permuting, tolerance })
  .meta({ id: 'QuantizedAssignment' })
  .describe('int8 x int7 inner-product costs, integer auction with epsilon scaling')

export const greedyAssignment = z
  .strictObject({ kind: z.literal('greedy'), ...permuting })
  .meta({ id: 'GreedyAssignment' })
  .describe('each image in turn takes the best noise that is left')

export const negatedAssignment = z
  .strictObject({ kind: z.literal('negated'), ...permuting, tolerance })
  .meta({ id: 'NegatedAssignment' })
  .describe('assigned as by quantized, then negated: an ablation')

export const nearestAssignment = z
  .strictObject({
    kind: z.literal('nearest'),
    poolSize,
    startStep,
    candidates: z.int32().min(1).default(4).describe('fresh noises drawn for each image, of which the nearest is kept'),
    precision: precision.describe('float16, of nearest: both sides and every distance rounded to float16, as the official code has it'),
  })
  .meta({ id: 'NearestAssignment' })
  .describe('the nearest of a few fresh noises for each image; the noise that is kept is not quite Gaussian')

export const persistentAssignment = z
  .strictObject({
    kind: z.literal('persistent'),
    ...permuting,
    tolerance,
    noisesPerImage: z
      .int32()
      .min(1)
      .max(64)
      .default(6)
      .describe('kept for each image and mirror image, used in turn, an epoch each; more keep a network from learning the pairs by heart'),
    refreshShare: z.number().min(0).max(1).default(0).describe('share of the kept noises drawn anew in each epoch'),
  })
  .meta({ id: 'PersistentAssignment' })
  .describe('noise stays with its image from epoch to epoch, and is swapped by quantized')

export const moduleAssignment = z
  .strictObject({
    kind: z.literal('module'),
    ...permuting,
    url: z.string().startsWith('file:', 'expected a path or a file: URL').describe('the module whose default export is the strategy'),
    options: jsonOptions.describe('given to the default export where that is a function'),
    sha256: z
      .string()
      .nullable()
      .default(null)
      .describe("of the module's file, noted at the start of a run and checked wherever it is loaded"),
  })
  .meta({ id: 'ModuleAssignment' })
  .describe("a strategy of the user's own, loaded by every thread that prepares pools")

export const customAssignment = z
  .strictObject({ kind: z.literal('custom'), ...permuting, name: z.string().min(1).describe('of the object') })
  .meta({ id: 'CustomAssignment' })
  .describe('a strategy object passed to trainImmiscible(); only its name is recorded')

export const assignmentConfig = z
  .discriminatedUnion('kind', [
    independentAssignment,
    linearAssignment,
    quantizedAssignment,
    greedyAssignment,
    negatedAssignment,
    nearestAssignment,
    persistentAssignment,
    moduleAssignment,
    customAssignment,
  ])
  .meta({ id: 'AssignmentConfig' })

export type AssignmentConfig = z.infer<typeof assignmentConfig>

/** k of Li et al. 2025 (arXiv 2505.18521, Table 7) by objective: the best of the powers of two they tried. On Stable Diffusion's latents it is 64. */
const PAPER_CANDIDATES: Readonly<Record<string, number>> = { ddim: 8, flow: 4, consistency: 4 }

interface Preset {
  readonly summary: string
  readonly source: string
  /** The section it stands for, before defaults. */
  expand(objectiveKind: string): Record<string, unknown>
}

/** Strategies exactly as a paper has them, by name. A preset is only a way of writing: config.json holds what it stands for. */
export const ASSIGNMENT_PRESETS = {
  'paper-linear': {
    summary: 'linear on L2 norms in float16',
    source: 'Immiscible Diffusion, arXiv 2406.12303, and its official code',
    expand: () => ({ kind: 'linear', metric: 'l2', precision: 'float16' }),
  },
  'paper-knn': {
    summary: 'nearest in float16, of 8 noises for ddim and 4 for flow and consistency',
    source: 'Improved Immiscible Diffusion, arXiv 2505.18521, Table 7',
    expand: (objectiveKind) => ({
      kind: 'nearest',
      precision: 'float16',
      candidates: PAPER_CANDIDATES[objectiveKind] ?? PAPER_CANDIDATES['ddim'],
    }),
  },
} satisfies Record<string, Preset>

export type AssignmentPreset = keyof typeof ASSIGNMENT_PRESETS

type Section = z.input<typeof assignmentConfig>
type Written<S> = S extends { url: string }
  ? Omit<S, 'poolSize' | 'url'> & { poolSize?: number; url: string | URL }
  : Omit<S, 'poolSize'> & { poolSize?: number }
type WrittenPreset = {
  kind: AssignmentPreset
} & Partial<Omit<z.input<typeof linearAssignment>, 'kind'> & Omit<z.input<typeof nearestAssignment>, 'kind'>>

/** What a user writes: a section, a preset with changes, either by its name alone, or a module by its path or `file:` URL. */
export type AssignmentInput = Written<Section> | WrittenPreset | Section['kind'] | AssignmentPreset | (string & Record<never, never>) | URL

/** What was written as a section; what makes no sense stays as it is, for the schema to report. */
export function expandAssignment(written: unknown, defaults: { readonly poolSize: number; readonly objectiveKind: string }): unknown {
  const section = typeof written === 'string' || written instanceof URL ? { kind: written } : written
  if (typeof section !== 'object' || section === null || Array.isArray(section)) return section
  const { kind, ...given } = section as Record<string, unknown>
  const sized = { poolSize: defaults.poolSize }
  if (isModule(kind)) return { ...sized, kind: 'module', url: toFileUrl(kind), ...given }
  if (kind === 'module' && (given['url'] instanceof URL || typeof given['url'] === 'string')) {
    return { ...sized, kind, ...given, url: toFileUrl(given['url']) }
  }
  const preset = Object.hasOwn(ASSIGNMENT_PRESETS, kind as string) ? ASSIGNMENT_PRESETS[kind as AssignmentPreset] : undefined
  return { ...sized, kind, ...preset?.expand(defaults.objectiveKind), ...given }
}

/** No name has a slash or the ending of a file. */
function isModule(kind: unknown): kind is string | URL {
  return kind instanceof URL || (typeof kind === 'string' && /[/\\]|\.[mc]?[jt]s$/.test(kind))
}

/** A path is taken from the working directory. Another kind of URL is left for the schema to refuse. */
function toFileUrl(module: string | URL): string {
  const text = String(module)
  return /^[a-z][a-z0-9+.-]+:/i.test(text) ? text : pathToFileURL(resolve(text)).href
}
