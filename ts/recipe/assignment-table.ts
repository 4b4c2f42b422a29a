/** What strategies do to batches of a data set, as a table beside what the papers report; nothing is trained for it. */
import { analyzeAssignment, type AnalysisDataset, type AnalysisRow, type AssignmentAnalysis, type Estimate } from '../index.ts'
import type { Context, Figure, Scale, Table } from './recipe.ts'
import { paperResult } from './tables.ts'

/** As large as CIFAR-10 in [-1, 1], and as many numbers. */
const GAUSSIAN: AnalysisDataset = { kind: 'gaussian', imageRms: 0.5 }
/** The data sets that are measured at each scale: the small one has the paper's number of dimensions from Gaussian numbers. */
const ANALYZED: Readonly<Record<Scale, readonly AnalysisDataset[]>> = {
  paper: [{ kind: 'cifar10' }, GAUSSIAN],
  small: [{ kind: 'digits' }, { kind: 'emoji' }, GAUSSIAN],
}

export const analyzed = (scale: Scale): readonly AnalysisDataset[] => ANALYZED[scale]

export const UNKNOWN_ANALYZED = ['the images that were measured, and their scale: CIFAR-10 in [-1, 1] is taken']

export type Quantity = 'distanceChange' | 'assignMs'

/** As a table has them: shares as %. */
export const QUANTITIES: Readonly<Record<Quantity, { readonly title: string; readonly factor: number }>> = {
  distanceChange: { title: 'distance change, %', factor: 100 },
  assignMs: { title: 'assignment, ms', factor: 1 },
}

interface Column {
  readonly strategy: string
  readonly quantity: Quantity
  /** The paper's name of it, where it has one. */
  readonly paper?: string
}

/** A table for each data set, with a row for each batch size. */
export async function assignmentTables(context: Context, batchSizes: readonly number[], columns: readonly Column[]): Promise<Table[]> {
  const strategies = [...new Set(columns.map(({ strategy }) => strategy))]
  const tables: Table[] = []
  for (const dataset of context.datasets) {
    const analysis = await analyze(context, { dataset, strategies, batchSizes })
    tables.push({
      title: describeAnalysis(analysis),
      columns: ['batch', ...columns.map(({ strategy, quantity }) => `${strategy}: ${QUANTITIES[quantity].title}`)],
      rows: batchSizes.map((batchSize) => rowOf(context, analysis, batchSize, columns)),
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

function rowOf({ recipe }: Context, { rows }: AssignmentAnalysis, batchSize: number, columns: readonly Column[]): Table['rows'][number] {
  const label = String(batchSize)
  const figures = columns.map(({ quantity, strategy, paper }): Figure => {
    const mine = rows.find((row) => row.strategy === strategy && row.batchSize === batchSize)
    return {
      ours: mine ? scaled(mine[quantity], QUANTITIES[quantity].factor) : null,
      ...(paper !== undefined && { paper: paperResult(recipe.id, label, paper) }),
    }
  })
  return { label, figures }
}
