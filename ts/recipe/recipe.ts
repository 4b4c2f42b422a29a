/** What a recipe is: the runs behind a table or figure of a paper, at two scales, and how they become that table. */
import type { AnalysisDataset, Estimate, MetricCurve, PaperResult, RunCurves, TrainInput } from '../index.ts'

/** paper: as the paper has it. small: the same comparison on embedded data, in minutes on two cores. */
export type Scale = 'paper' | 'small'

export type TrainSettings = Omit<TrainInput, 'outputDir' | 'seed'>

/** A row of runs: the same settings, a run for each seed. */
export interface Arm {
  /** As the table names it; unique in its recipe, and the name of its folders. */
  readonly label: string
  readonly settings: TrainSettings
  /** Why it cannot be run, where it cannot: it is listed and passed over. */
  readonly blocked?: string
}

export interface Recipe {
  /** Of the command: `paper2-table8`. */
  readonly id: string
  readonly title: string
  readonly source: string
  /** What the sources at hand do not say, and what is taken in its place; printed with the table. */
  unknown(scale: Scale): readonly string[]
  /** Empty: nothing is trained. */
  arms(scale: Scale): readonly Arm[]
  /** Whose batches are assigned and measured without training; default: none. */
  datasets?(scale: Scale): readonly AnalysisDataset[]
  report(context: Context): Promise<Report>
}

/** A finished run of an arm. */
export interface ArmRun {
  readonly arm: string
  readonly seed: number
  readonly runFolder: string
  readonly curves: RunCurves
}

/** What a report is made of. */
export interface Context {
  readonly recipe: Recipe
  readonly scale: Scale
  /** Where pictures go. */
  readonly folder: string
  readonly seeds: readonly number[]
  /** Every arm that can run, with a run for each seed, in their order. */
  readonly runs: readonly ArmRun[]
  /** Those of the recipe, where they lie. */
  readonly datasets: readonly AnalysisDataset[]
  /** The metric that stands for the papers' FID: `fid` where its network was given, else `fdClassifier`. */
  readonly metric: string
  readonly log: (line: string) => void
}

/** A number of ours beside the paper's. */
export interface Figure {
  /** null: there is none. A text: what there is in place of a number. */
  readonly ours: Estimate | number | string | null
  readonly paper?: PaperResult | undefined
  /** Digits after the point; 2. */
  readonly digits?: number
}

export interface Table {
  readonly title: string
  /** Above the labels, and above each figure. */
  readonly columns: readonly [label: string, ...figures: string[]]
  readonly rows: readonly { readonly label: string; readonly figures: readonly Figure[] }[]
}

export interface Report {
  readonly tables: readonly Table[]
  /** Files in the folder of the report: PNG beside an SVG of the same name, or a PNG alone. */
  readonly pictures: readonly { readonly file: string; readonly caption: string }[]
  /** What a reader must know to read it. */
  readonly notes: readonly string[]
}

/** A metric of a run over its steps, for one number of inference steps; where it is not finite it is left out. */
export function curveOf(run: ArmRun, metric: string, numInferenceSteps?: number): MetricCurve {
  const wanted = numInferenceSteps ?? run.curves.evaluations[0]?.numInferenceSteps
  const points = run.curves.evaluations.flatMap(({ step, seconds, measures, numInferenceSteps: count }) => {
    const value = measures.find(({ name }) => name === metric)?.value
    return count === wanted && value !== null && value !== undefined ? [{ step, seconds, value }] : []
  })
  return { steps: points.map(({ step }) => step), seconds: points.map(({ seconds }) => seconds), values: points.map(({ value }) => value) }
}
