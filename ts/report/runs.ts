/** Runs on disk, beside each other: what became of each, and in what they differ. */
import { existsSync, readdirSync, statSync } from 'node:fs'
import { basename, join, resolve } from 'node:path'
import { listConfigFields, type RunEvent, type RunEventOf, type TrainConfig } from '../../protocol/index.ts'
import { ImmiscibleError } from '../errors.ts'
import { readRunEvents } from './events.ts'
import { findRunOwner, readRunFolder } from './run-folder.ts'

/** Steps at the end that figures are means of, as in a report. */
const NUM_LAST = 100
const MAX_DEPTH = 3

/** `interrupted`: nobody has the run, and it never said how it ended. */
export type RunState = 'running' | 'finished' | 'stopped' | 'failed' | 'interrupted'

/** A run and its figures, those of steps as means over the last hundred; null where nothing of the kind was recorded. */
export interface RunSummary {
  /** Path below the folder that was listed. */
  readonly name: string
  readonly runFolder: string
  readonly state: RunState
  /** Optimiser updates applied. */
  readonly step: number
  readonly maxTrainSteps: number
  readonly loss: number | null
  /** The last ones measured on the held-out images, by the network and by its EMA weights. */
  readonly validationLoss: number | null
  readonly validationEmaLoss: number | null
  /** Mean projection of the noise on the direction of its image, in standard deviations. */
  readonly gain: number | null
  /** Milliseconds of a step that the worker waited for a batch, and those of the step with it. */
  readonly waitMs: number | null
  readonly msPerStep: number | null
  readonly dataset: string
  readonly objective: string
  readonly strategy: string
  /** When it was made, as ISO 8601. */
  readonly started: string
  /** That it ran, without the time between a stop and a resume. */
  readonly minutes: number
}

/** A row of a comparison: one value for each run, undefined where a run has no such field. */
export interface ComparedField {
  /** As in `optimizer.learningRate`. */
  readonly path: string
  readonly values: readonly unknown[]
}

export interface RunComparison {
  readonly runs: readonly RunSummary[]
  /** The fields of the config that are not the same in all; not where a run lies. In the order of the schema. */
  readonly differences: readonly ComparedField[]
}

export interface ListRunsOptions {
  /** Told of each run that is there and cannot be read, as one of another version; it is not in the list. Default: nobody is. */
  readonly onUnreadable?: (message: string) => void
}

/** The runs in a folder and the folders below it, oldest first. @throws ImmiscibleError RUN_FOLDER where there is no such folder. */
export async function listRuns(folder = 'runs', { onUnreadable }: ListRunsOptions = {}): Promise<RunSummary[]> {
  const root = resolve(folder)
  if (!existsSync(root) || !statSync(root).isDirectory())
    throw new ImmiscibleError('RUN_FOLDER', `expected a folder with runs, got ${root}`)
  const summaries: RunSummary[] = []
  for (const path of findRuns(root, 0)) {
    try {
      summaries.push(await summarize(path, path === root ? basename(root) : path.slice(root.length + 1)))
    } catch (error) {
      if (!(error instanceof ImmiscibleError)) throw error
      onUnreadable?.(error.message)
    }
  }
  return summaries.toSorted((a, b) => a.started.localeCompare(b.started))
}

/** @throws ImmiscibleError RUN_FOLDER where one is no run. */
export async function compareRuns(runFolders: readonly string[]): Promise<RunComparison> {
  const runs: RunSummary[] = []
  for (const runFolder of runFolders) runs.push(await summarize(runFolder, basename(resolve(runFolder))))
  const configs = runFolders.map((runFolder) => new Map(flatten('', readRunFolder(runFolder).config)))
  const paths = new Set(configs.flatMap((config) => [...config.keys()]))
  paths.delete('outputDir')
  const fields = listConfigFields().map(({ path }) => path)
  const rank = (path: string): number => fields.findIndex((field) => path === field || path.startsWith(`${field}.`))
  const inOrder = [...paths].toSorted((a, b) => rank(a) - rank(b))
  const differences = inOrder.flatMap((path) => {
    const values = configs.map((config) => config.get(path))
    return new Set(values.map((value) => JSON.stringify(value))).size > 1 ? [{ path, values }] : []
  })
  return { runs, differences }
}

function findRuns(folder: string, depth: number): string[] {
  if (existsSync(join(folder, 'run.json'))) return [folder]
  if (depth === MAX_DEPTH) return []
  const folders = readdirSync(folder, { withFileTypes: true }).filter((entry) => entry.isDirectory() && !entry.name.startsWith('.'))
  return folders.flatMap(({ name }) => findRuns(join(folder, name), depth + 1))
}

async function summarize(runFolder: string, name: string): Promise<RunSummary> {
  const { path, manifest, config } = readRunFolder(runFolder)
  const figures = await readFigures(path)
  return {
    name,
    runFolder: path,
    state: findRunOwner(path) ? 'running' : (figures.outcome ?? 'interrupted'),
    step: figures.step,
    maxTrainSteps: config.maxTrainSteps,
    loss: mean(figures.last.flatMap(({ loss }) => loss ?? [])),
    validationLoss: figures.validation?.loss ?? null,
    validationEmaLoss: figures.validation?.emaLoss ?? null,
    gain: mean(figures.last.map(({ assignment }) => assignment.gain)),
    waitMs: mean(figures.last.map(({ timeline }) => timeline.waitMs)),
    msPerStep: mean(figures.last.map(({ timeline }) => timeline.waitMs + timeline.trainMs)),
    dataset: config.dataset.kind,
    objective: config.objective.kind,
    strategy: strategyName(config),
    started: manifest.createdAt,
    minutes: figures.runMs / 60_000,
  }
}

interface Figures {
  outcome: RunEventOf<'end'>['outcome'] | undefined
  step: number
  readonly last: RunEventOf<'step'>[]
  validation: RunEventOf<'validation'> | undefined
  runMs: number
}

async function readFigures(runFolder: string): Promise<Figures> {
  const figures: Figures = { outcome: undefined, step: 0, last: [], validation: undefined, runMs: 0 }
  let last: RunEvent | undefined
  for await (const event of readRunEvents(runFolder)) {
    // Each start of a run begins with the event of that name: what was before it is no time of the run's.
    if (last && event.kind !== 'run') figures.runMs += Math.max(0, event.time - last.time)
    last = event
    count(figures, event)
  }
  return figures
}

function count(figures: Figures, event: RunEvent): void {
  switch (event.kind) {
    case 'run':
      figures.outcome = undefined
      return
    case 'worker':
      if (event.state === 'ready' && event.step !== null) figures.step = event.step
      return
    case 'step':
      figures.step = event.step + 1
      figures.last.push(event)
      if (figures.last.length > NUM_LAST) figures.last.shift()
      return
    case 'validation':
      figures.validation = event
      return
    case 'end':
      figures.outcome = event.outcome
      figures.step = event.step
      return
    default:
  }
}

function strategyName({ assignment }: TrainConfig): string {
  if (assignment.kind === 'custom') return assignment.name
  return assignment.kind === 'module' ? basename(assignment.url) : assignment.kind
}

function mean(values: readonly number[]): number | null {
  return values.length > 0 ? values.reduce((sum, value) => sum + value, 0) / values.length : null
}

/** Leaves by path; a list is one leaf. */
function flatten(prefix: string, value: unknown): [path: string, value: unknown][] {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return [[prefix, value]]
  return Object.entries(value).flatMap(([name, child]) => flatten(prefix === '' ? name : `${prefix}.${name}`, child))
}
