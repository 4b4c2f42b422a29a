/** reproduce(): a recipe from its first run to its table, in one folder, and from there on where it was interrupted. */
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { ConfigError, type AnalysisDataset, type EvaluationConfig } from '../index.ts'
import { listCells, runCells, type Cell } from './cells.ts'
import { formatReport } from './format.ts'
import type { Arm, Context, Recipe, Report, Scale, TrainSettings } from './recipe.ts'

type Inception = NonNullable<EvaluationConfig['inception']>

/** A mode that is not named is that of the code base of each objective: pytorch-fid for DDIM, clean-fid's legacy_tensorflow for the others. */
export type InceptionFile = Omit<Inception, 'mode'> & Partial<Pick<Inception, 'mode'>>

export interface Overrides {
  /** Where data sets of the paper lie, by their kinds; default: what `immiscible data fetch` downloaded. */
  readonly paths?: Readonly<Record<string, string>>
  /** The Inception network of FID; default: a small classifier, whose numbers are not FID. */
  readonly inception?: InceptionFile
  /** Weights of LPIPS, for the papers' consistency training. */
  readonly lpips?: string
  readonly device?: 'auto' | 'cuda' | 'mps' | 'cpu'
}

export interface ReproduceOptions extends Overrides {
  /** Default: small. */
  readonly scale?: Scale
  /** Runs of each arm, with seeds 0, 1, ...; default: 3 at the small scale, 1 at the paper's. */
  readonly seeds?: number
  /** Default: runs/reproduce/ID-SCALE. */
  readonly outputDir?: string
  /** Runs trained at the same time; 1. */
  readonly jobs?: number
  /** Aborting saves the runs under way; the same call goes on with them. */
  readonly signal?: AbortSignal
  readonly log?: (line: string) => void
}

export interface Reproduction {
  readonly folder: string
  /** report.md: Markdown. */
  readonly text: string
  readonly context: Context
  readonly report: Report
}

/** What recipe.json says of its folder. */
interface Claim {
  readonly id: string
  readonly scale: Scale
  readonly cells: Readonly<Record<string, unknown>>
}

/** Runs of each arm where nobody says how many. */
export const DEFAULT_SEEDS = { small: 3, paper: 1 } as const

/** Runs what is not there yet, and writes report.md, report.json and pictures. Rejects with a ConfigError where the folder holds something else. */
export async function reproduce(recipe: Recipe, options: ReproduceOptions = {}): Promise<Reproduction> {
  const { scale = 'small', seeds: numSeeds = DEFAULT_SEEDS[scale], jobs = 1, log = () => undefined } = options
  for (const [path, count] of Object.entries({ seeds: numSeeds, jobs })) {
    if (!Number.isInteger(count) || count < 1) throw new ConfigError([{ path, message: `expected an integer of at least 1, got ${count}` }])
  }
  const folder = resolve(options.outputDir ?? join('runs', 'reproduce', `${recipe.id}-${scale}`))
  const seeds = Array.from({ length: numSeeds }, (_, seed) => seed)
  const cells = listCells(overriddenArms(recipe, scale, options), seeds)
  const metric = options.inception ? 'fid' : 'fdClassifier'
  mkdirSync(folder, { recursive: true })
  claim(join(folder, 'recipe.json'), recipe.id, scale, cells)
  const signal = options.signal ?? new AbortController().signal
  const runs = await runCells(cells, { folder: join(folder, 'runs'), jobs, metric, signal, log })
  const datasets = overriddenDatasets(recipe, scale, options)
  const context: Context = { recipe, scale, folder, seeds: cells.length > 0 ? seeds : [], runs, datasets, metric, log }
  const report = await recipe.report(context)
  const command = commandOf(recipe, scale, cells.length > 0 ? numSeeds : undefined, options)
  const text = formatReport(context, report, command)
  writeWhole(join(folder, 'report.json'), `${JSON.stringify({ command, ...toJson(context, report) }, null, 2)}\n`)
  writeWhole(join(folder, 'report.md'), text)
  return { folder, text, context, report }
}

/** The arms of a recipe with what the caller names: files, weights, a device. */
export function overriddenArms(recipe: Recipe, scale: Scale, overrides: Overrides): Arm[] {
  return recipe.arms(scale).map((arm) => ({ ...arm, settings: override(arm.settings, overrides) }))
}

/** The data sets that a recipe measures, where the caller has them. */
function overriddenDatasets(recipe: Recipe, scale: Scale, { paths = {} }: Overrides): AnalysisDataset[] {
  return (recipe.datasets?.(scale) ?? []).map((dataset) => placed(dataset, paths))
}

/** A data set of a path that the caller names; one of the Hub is then a folder. */
function placed<Section extends { kind: string }>(section: Section, paths: Readonly<Record<string, string>>): Section {
  const path = paths[section.kind]
  if (path === undefined) return section
  const { repo: _repo, ...rest } = section as Section & { repo?: string }
  return { ...rest, path } as Section & { path: string }
}

function override(settings: TrainSettings, { paths = {}, inception, lpips, device }: Overrides): TrainSettings {
  const { dataset, evaluation, objective, worker } = settings
  const isLpips = typeof objective === 'object' && 'loss' in objective && objective.loss === 'lpips'
  const kind = typeof objective === 'object' && 'kind' in objective ? objective.kind : objective
  const mode = (kind ?? 'ddim') === 'ddim' ? 'pytorch-fid' : 'legacy-tensorflow'
  return {
    ...settings,
    dataset: typeof dataset === 'object' && 'kind' in dataset ? placed(dataset, paths) : dataset,
    ...(inception && { evaluation: { ...evaluation, inception: { mode, ...inception } } }),
    ...(lpips !== undefined && isLpips && { objective: { ...objective, lpipsWeights: lpips } }),
    ...(device !== undefined && { worker: { ...worker, device } }),
  }
}

/** Refuses a folder of another recipe or scale, or whose runs were made by other settings, and notes those of ours. */
function claim(file: string, id: string, scale: Scale, cells: readonly Cell[]): void {
  const before = existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as Claim) : { id, scale, cells: {} }
  if (before.id !== id || before.scale !== scale) {
    const message = `expected a new folder, or one of ${id} at scale ${scale}: ${file} is of ${before.id} at scale ${before.scale}`
    throw new ConfigError([{ path: 'outputDir', message }])
  }
  const mine = Object.fromEntries(cells.map(({ name, settings }) => [name, JSON.parse(JSON.stringify(settings)) as unknown]))
  const other = Object.keys(mine).find((name) => name in before.cells && JSON.stringify(before.cells[name]) !== JSON.stringify(mine[name]))
  if (other !== undefined) {
    const message = `expected a new folder, or one whose runs have the settings of now: ${file} has '${other}' with others`
    throw new ConfigError([{ path: 'outputDir', message }])
  }
  writeWhole(file, `${JSON.stringify({ format: 'immiscible-recipe/1', id, scale, cells: { ...before.cells, ...mine } }, null, 2)}\n`)
}

function toJson({ recipe, scale, seeds, runs, metric, folder }: Context, report: Report): object {
  return {
    format: 'immiscible-report/1',
    recipe: recipe.id,
    source: recipe.source,
    scale,
    seeds,
    metric,
    unknown: recipe.unknown(scale),
    ...report,
    runs: runs.map(({ arm, seed, runFolder, curves }) => {
      const read = (file: string): unknown => JSON.parse(readFileSync(join(runFolder, file), 'utf8'))
      const { configHash, datasetSha256, runId, createdAt } = read('run.json') as Record<string, string>
      const place = runFolder.slice(folder.length + 1)
      return { arm, seed, folder: place, runId, createdAt, configHash, datasetSha256, environment: read('environment.json'), ...curves }
    }),
  }
}

/** With which anybody gets the table: everything that decides about a number; not where it is written, or how many runs go at a time. */
function commandOf(
  { id }: Recipe,
  scale: Scale,
  numSeeds: number | undefined,
  { paths = {}, inception, lpips, device }: Overrides,
): string {
  const flags: readonly (readonly [name: string, value: string | number | undefined])[] = [
    ['scale', scale],
    ['seeds', numSeeds],
    ...Object.entries(paths).map(([kind, path]) => ['path', `${kind}=${path}`] as const),
    ['inception', inception?.weights],
    ['inception-sha256', inception?.sha256],
    ['inception-backend', inception?.backend],
    ['inception-mode', inception?.mode],
    ['lpips', lpips],
    ['device', device],
  ]
  const given = flags.flatMap(([name, value]) => (value === undefined ? [] : [`--${name} ${quote(String(value))}`]))
  return ['npx immiscible reproduce', id, ...given].join(' ')
}

/** For a shell, where it has to be. */
function quote(text: string): string {
  return /^[\w./=:@+-]+$/.test(text) ? text : `'${text.replaceAll("'", String.raw`'\''`)}'`
}

/** A reader never finds half of it. */
function writeWhole(file: string, text: string): void {
  writeFileSync(`${file}.tmp`, text)
  renameSync(`${file}.tmp`, file)
}
