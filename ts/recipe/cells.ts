/** The runs of a recipe, a few at a time: a finished one is kept, one that was cut off goes on, and none is trained twice. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { ImmiscibleError, readRunCurves, resumeImmiscible, trainImmiscible, type Run } from '../index.ts'
import type { Arm, ArmRun, TrainSettings } from './recipe.ts'

/** A run to make: an arm with a seed. */
export interface Cell {
  /** Of its folder. */
  readonly name: string
  readonly arm: string
  readonly seed: number
  readonly settings: TrainSettings
}

export interface RunOptions {
  /** Holds a run folder for each cell. */
  readonly folder: string
  /** Trained at the same time. */
  readonly jobs: number
  readonly metric: string
  readonly signal: AbortSignal
  readonly log: (line: string) => void
}

/** A cell for each arm that can run and each seed: all arms of the first seed, then of the next, so that what is there can be compared early. */
export function listCells(arms: readonly Arm[], seeds: readonly number[]): Cell[] {
  return seeds.flatMap((seed) =>
    arms
      .filter(({ blocked }) => blocked === undefined)
      .map(({ label, settings }) => ({ name: `${slug(label)}-seed-${seed}`, arm: label, seed, settings })),
  )
}

/**
 * Trains what is not finished. The first that fails ends the others, which save, and is thrown; aborting does the same.
 * @returns in the order of the cells.
 */
export async function runCells(cells: readonly Cell[], options: RunOptions): Promise<ArmRun[]> {
  const failed = new AbortController()
  const signal = AbortSignal.any([options.signal, failed.signal])
  const runs = new Map<Cell, ArmRun>()
  const waiting = [...cells]
  const errors: unknown[] = []
  const work = async (): Promise<void> => {
    for (let cell = waiting.shift(); cell && !signal.aborted; cell = waiting.shift()) {
      try {
        runs.set(cell, await runCell(cell, `${cells.indexOf(cell) + 1} of ${cells.length}`, { ...options, signal }))
      } catch (error) {
        errors.push(error)
        failed.abort(error)
      }
    }
  }
  await Promise.all(Array.from({ length: Math.min(options.jobs, cells.length) }, work))
  if (options.signal.aborted) throw new ImmiscibleError('ABORTED', 'interrupted; the same command goes on from here')
  if (errors.length > 0) throw errors[0]
  return cells.map((cell) => runs.get(cell) as ArmRun)
}

async function runCell(cell: Cell, place: string, { folder, metric, signal, log }: RunOptions): Promise<ArmRun> {
  const runFolder = join(folder, cell.name)
  const say = (text: string): void => log(`run ${place}, ${cell.arm}, seed ${cell.seed}: ${text}`)
  if (existsSync(join(runFolder, 'run.json'))) {
    const curves = await readRunCurves(runFolder)
    if (curves.outcome === 'finished') return { arm: cell.arm, seed: cell.seed, runFolder, curves }
    say('going on')
    await follow(resumeImmiscible(runFolder, { signal, onSetup: log }), metric, say)
  } else {
    say('begins')
    await follow(trainImmiscible({ ...cell.settings, seed: cell.seed, outputDir: runFolder }, { signal, onSetup: log }), metric, say)
  }
  return { arm: cell.arm, seed: cell.seed, runFolder, curves: await readRunCurves(runFolder) }
}

async function follow(run: Run, metric: string, say: (text: string) => void): Promise<void> {
  for await (const event of run) {
    if (event.kind === 'warning') say(`warning ${event.code}: ${event.message}`)
    if (event.kind !== 'evaluation') continue
    const measure = event.measures.find(({ name }) => name === metric)
    if (measure) say(`step ${event.step}, ${metric} ${measure.value?.toPrecision(4) ?? 'not finite'}`)
  }
  await run
}

function slug(label: string): string {
  return label
    .toLowerCase()
    .replaceAll(/[^a-z0-9.]+/g, '-')
    .replaceAll(/^-|-$/g, '')
}
