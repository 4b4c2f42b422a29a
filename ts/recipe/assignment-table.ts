/** What strategies do to batches of a data set, as a table beside what the papers report; nothing is trained for it. */
import {
  analyzeAssignment,
  type AnalysisDataset,
  type AnalysisRow,
  type AssignmentAnalysis,
  type Estimate,
  type PaperResult,
} from '../index.ts'
import type { Context, Scale, Table } from './recipe.ts'

/** The data sets at hand at each scale. */
export const ANALYZED: Readonly<Record<Scale, readonly AnalysisDataset[]>> = {
  paper: [{ kind: 'cifar10' }],
  small: [{ kind: 'digits' }, { kind: 'emoji' }],
}

export const UNKNOWN_ANALYZED = ['the images that were measured, and their scale: CIFAR-10 in [-1, 1] is taken']

export type Quantity = 'distanceChange' | 'assignMs'

/** As a table has them: shares as %. */
export const QUANTITIES: Readonly<Record<Quantity, { readonly title: string; readonly factor: number }>> = {
  distanceChange: { title: 'distance change, %', factor: 100 },
  assignMs: { title: 'assignment, ms', factor: 1 },
}

/** A table for each data set: a row for each batch size, and of each quantity a column for each strategy. */
export async function assignmentTables(
  context: Context,
  { strategies, batchSizes, quantities }: { strategies: readonly string[]; batchSizes: readonly number[]; quantities: readonly Quantity[] },
): Promise<Table[]> {
  const tables: Table[] = []
  for (const dataset of ANALYZED[context.scale]) {
    const analysis = await analyze(context, { dataset, strategies, batchSizes })
    const cells = quantities.flatMap((quantity) => strategies.map((strategy) => ({ quantity, strategy })))
    tables.push({
      title: describeAnalysis(analysis),
      columns: ['batch', ...cells.map(({ quantity, strategy }) => `${strategy}: ${QUANTITIES[quantity].title}`)],
      rows: batchSizes.map((batchSize) => rowOf(context, analysis, batchSize, cells)),
    })
  }
  return tables
}

export async function analyze(context: Context, input: Parameters<typeof analyzeAssignment>[0] = {}): Promise<AssignmentAnalysis> {
  const onRow = ({ strategy, batchSize }: AnalysisRow): void => context.log(`${input.dataset?.kind}: ${strategy}, batch ${batchSize}`)
  return analyzeAssignment({ ...input, onRow })
}

export function describeAnalysis({ dataset, numSeeds, cpu }: AssignmentAnalysis): string {
  return `${describeImages(dataset)}: means of ${numSeeds} batches with 95 % intervals, one thread of ${cpu}`
}

export function describeImages({ name, numImages, dims, imageRms }: AssignmentAnalysis['dataset']): string {
  // The name of Gaussian images, which have no end, says their RMS.
  return numImages === null ? `${name}, ${dims} numbers each` : `${name}, ${dims} numbers each, RMS ${imageRms.toFixed(2)}`
}

export function scaled({ mean, halfWidth }: Estimate, factor: number): Estimate {
  return { mean: factor * mean, halfWidth: halfWidth === null ? null : factor * halfWidth }
}

type Comparison = AssignmentAnalysis['comparisons'][number]

/** A reported value as a cell of a table. */
export function toPaperResult(
  { theirs: { value, quantity, source, trust } }: Comparison,
  recipe: string,
  row: string,
): PaperResult | undefined {
  const { title, factor } = QUANTITIES[quantity]
  // What this project measured by other code is no paper's.
  return trust === 'D' ? undefined : { recipe, row, column: title, value: Number((factor * value).toPrecision(12)), source, trust }
}

/** A reported value stands once: beside the first of our strategies that it is comparable with. */
function rowOf(
  { recipe }: Context,
  { rows, comparisons }: AssignmentAnalysis,
  batchSize: number,
  cells: readonly { readonly quantity: Quantity; readonly strategy: string }[],
): Table['rows'][number] {
  const left = new Set(comparisons.filter(({ theirs }) => theirs.batchSize === batchSize))
  const figures = cells.map(({ quantity, strategy }) => {
    const mine = rows.find((row) => row.strategy === strategy && row.batchSize === batchSize)
    const found = [...left].find(({ theirs, ours }) => theirs.quantity === quantity && ours.some((one) => one.strategy === strategy))
    if (found) left.delete(found)
    return {
      ours: mine ? scaled(mine[quantity], QUANTITIES[quantity].factor) : null,
      paper: found && toPaperResult(found, recipe.id, String(batchSize)),
    }
  })
  return { label: String(batchSize), figures }
}
