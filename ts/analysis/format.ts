/** An analysis as text: aligned columns for a terminal, or Markdown tables. */
import type { AnalysisRow, AssignmentAnalysis, Comparison } from './assignment.ts'
import type { Estimate } from './estimate.ts'

export type AnalysisFormat = 'text' | 'markdown'

interface Column<T> {
  readonly title: string
  cell(row: T): string
}

const UNKNOWN = '-'

const COLUMNS: readonly Column<AnalysisRow>[] = [
  { title: 'strategy', cell: ({ strategy }) => strategy },
  { title: 'batch', cell: ({ batchSize }) => String(batchSize) },
  { title: 'distance before', cell: ({ distanceBefore }) => show(distanceBefore, 2) },
  { title: 'after', cell: ({ distanceAfter }) => show(distanceAfter, 2) },
  { title: 'change %', cell: ({ distanceChange }) => show(distanceChange, 2, 100) },
  { title: 'gain', cell: ({ gain }) => show(gain, 2) },
  { title: '% of linear', cell: ({ gainShare }) => show(gainShare, 1, 100) },
  { title: 'moved %', cell: ({ movedShare }) => show(movedShare, 1, 100) },
  { title: 'dual gap %', cell: ({ dualGap }) => show(dualGap, 3, 100) },
  { title: 'norm', cell: ({ norm }) => show(norm, 4) },
  { title: 'norm se', cell: ({ normDeviation }) => show(normDeviation, 1) },
  { title: 'mean se', cell: ({ meanDeviation }) => show(meanDeviation, 1) },
  { title: 'variance se', cell: ({ varianceDeviation }) => show(varianceDeviation, 1) },
  { title: 'class mean', cell: ({ classMean }) => show(classMean, 2) },
  { title: 'class se', cell: ({ classMeanDeviation }) => show(classMeanDeviation, 1) },
  { title: 'noise ms', cell: ({ noiseMs }) => showMs(noiseMs) },
  { title: 'assign ms', cell: ({ assignMs }) => showMs(assignMs) },
  { title: 'measure ms', cell: ({ measureMs }) => showMs(measureMs) },
]

const COMPARISON_COLUMNS: readonly Column<Comparison>[] = [
  { title: 'reported', cell: ({ theirs }) => showValue(theirs.quantity, { mean: theirs.value, halfWidth: null }) },
  { title: 'batch', cell: ({ theirs }) => (theirs.batchSize === null ? 'any' : String(theirs.batchSize)) },
  { title: 'noises per image', cell: ({ theirs }) => (theirs.candidates === null ? 'not stated' : String(theirs.candidates)) },
  { title: 'data', cell: ({ theirs }) => theirs.data },
  { title: 'hardware', cell: ({ theirs }) => theirs.hardware ?? UNKNOWN },
  { title: 'source', cell: ({ theirs }) => `[${theirs.trust}] ${theirs.source}` },
  {
    title: 'ours',
    cell: ({ theirs, ours }) => ours.map(({ strategy, value }) => `${strategy} ${showValue(theirs.quantity, value)}`).join('; ') || UNKNOWN,
  },
]

/** Two tables, ours and what stands beside it, with what a reader must know to compare them. */
export function formatAnalysis(analysis: AssignmentAnalysis, format: AnalysisFormat): string {
  const { dataset, numSeeds, cpu, rows, comparisons } = analysis
  const images = dataset.numImages === null ? 'images without end' : `${dataset.numImages} images`
  const intervals = numSeeds > 1 ? `means of ${numSeeds} seeds with 95 % intervals (Student's t)` : 'one seed, so no intervals'
  const matched = comparisons.filter(({ ours }) => ours.length > 0)
  const numOthers = comparisons.length - matched.length
  return [
    `${dataset.name}: ${images}, ${dataset.dims} numbers each, RMS ${dataset.imageRms.toFixed(3)}; ${intervals}; one thread of ${cpu}.`,
    table(COLUMNS, rows, format),
    "What is reported elsewhere. P: the authors' repository or abstract; S: a third party's reading of the paper; D: our own check by other code. Their images are CIFAR-10, latents " +
      `or not stated, ours ${dataset.name}; their times are a GPU's, ours one CPU thread's: neither is expected to agree exactly.`,
    table(COMPARISON_COLUMNS, matched, format),
    ...(numOthers > 0 ? [`${numOthers} more reported values are of other strategies, options or batch sizes than these rows.`] : []),
  ].join('\n\n')
}

function table<T>(columns: readonly Column<T>[], rows: readonly T[], format: AnalysisFormat): string {
  const cells = [columns.map(({ title }) => title), ...rows.map((row) => columns.map(({ cell }) => cell(row)))]
  if (format === 'markdown') {
    const lines = cells.map((line) => `| ${line.join(' | ')} |`)
    return [lines[0], `|${'---|'.repeat(columns.length)}`, ...lines.slice(1)].join('\n')
  }
  const widths = columns.map((_, column) => Math.max(...cells.map((line) => line[column].length)))
  return cells
    .map((line) =>
      line
        .map((cell, column) => cell.padEnd(widths[column]))
        .join('  ')
        .trimEnd(),
    )
    .join('\n')
}

function show(value: Estimate | null, digits: number, factor = 1): string {
  if (!value) return UNKNOWN
  const mean = withoutMinusZero((factor * value.mean).toFixed(digits))
  return value.halfWidth === null ? mean : `${mean} ± ${(factor * value.halfWidth).toFixed(digits)}`
}

function showMs(value: Estimate): string {
  return show(value, value.mean < 1 ? 2 : value.mean < 100 ? 1 : 0)
}

function showValue(quantity: 'distanceChange' | 'assignMs', value: Estimate): string {
  return quantity === 'assignMs' ? `${showMs(value)} ms` : `${show(value, 2, 100)} %`
}

function withoutMinusZero(text: string): string {
  return /^-0(\.0*)?$/.test(text) ? text.slice(1) : text
}
