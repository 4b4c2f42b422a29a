/** A report as Markdown: ours beside the paper's, with the source and trust of each number that is not ours. */
import type { Context, Figure, Report, Table } from './recipe.ts'

const TRUST = {
  C: '[C] a caption of the paper, read verbatim',
  P: "[P] read in the authors' own repository or abstract",
  S: "[S] from a third party's reading of the paper: no table of it could be read at first hand",
} as const

/** The page of a recipe. @param command with which anybody gets it. */
export function formatReport({ recipe, scale, seeds, runs }: Context, report: Report, command: string): string {
  const unknown = recipe.unknown(scale)
  const seedText = runs.length > 0 ? `, ${seeds.length === 1 ? 'seed' : 'seeds'} ${seeds.join(', ')}` : ''
  return `${[
    `# ${recipe.title}`,
    `${recipe.source}. Scale \`${scale}\`${seedText}.`,
    `\`\`\`sh\n${command}\n\`\`\``,
    ...report.tables.map(formatTable),
    ...report.pictures.map(({ file, caption }) => `![${caption}](${file})\n\n${caption}.`),
    ...list('To be read with it', [...report.notes, ...describeMeasure(runs), ...describeSources(report.tables)]),
    ...list('Not known, and what stands in its place', unknown),
  ].join('\n\n')}\n`
}

/** A table; a column of the paper's numbers follows each of ours that has some. */
export function formatTable({ title, columns, rows }: Table): string {
  const [label, ...names] = columns
  const hasPaper = names.map((_, at) => rows.some(({ figures }) => figures[at]?.paper !== undefined))
  const pick = (ours: (at: number) => string, paper: (at: number) => string): string[] =>
    names.flatMap((_, at) => [ours(at), ...(hasPaper[at] ? [paper(at)] : [])])
  const lines = [
    [
      label,
      ...pick(
        (at) => names[at],
        (at) => paperTitle(rows, at),
      ),
    ],
    [
      '---',
      ...pick(
        () => '---',
        () => '---',
      ),
    ],
    ...rows.map((row) => [
      row.label,
      ...pick(
        (at) => showOurs(row.figures[at]),
        (at) => showPaper(row.figures[at]),
      ),
    ]),
  ]
  return [`**${title}**`, '', ...lines.map((cells) => `| ${cells.join(' | ')} |`)].join('\n')
}

function paperTitle(rows: Table['rows'], at: number): string {
  const named = rows.map(({ figures }) => figures[at]?.paper?.column).find((column) => column !== undefined)
  return `paper: ${named}`
}

function showOurs(figure: Figure | undefined): string {
  const { ours = null, digits = 2 } = figure ?? {}
  if (ours === null) return '-'
  if (typeof ours === 'string') return ours
  if (typeof ours === 'number') return ours.toFixed(digits)
  return ours.halfWidth === null ? ours.mean.toFixed(digits) : `${ours.mean.toFixed(digits)} ± ${ours.halfWidth.toFixed(digits)}`
}

function showPaper(figure: Figure | undefined): string {
  return figure?.paper ? `${figure.paper.value} [${figure.paper.trust}]` : 'not found'
}

function describeSources(tables: readonly Table[]): string[] {
  const results = tables.flatMap(({ rows }) => rows.flatMap(({ figures }) => figures.flatMap(({ paper }) => paper ?? [])))
  const sources = [...new Set(results.flatMap(({ source }) => source.split('; ')))]
  const trusts = [...new Set(results.map(({ trust }) => trust))].toSorted()
  if (sources.length === 0) return []
  return [`The paper's numbers: ${sources.join('; ')}. ${trusts.map((trust) => TRUST[trust]).join('; ')}.`]
}

/** What samples were measured by: the same in all runs of a recipe, but for the hash of what was trained for each data set. */
function describeMeasure(runs: Context['runs']): string[] {
  const evaluations = runs.flatMap(({ curves }) => curves.evaluations.at(-1) ?? [])
  const texts = evaluations.map(
    ({ numImages, reference, features, featuresSha256 }) =>
      `Quality is measured on ${numImages.toLocaleString('en')} samples of the EMA weights against ${reference}; features of ${features}` +
      (featuresSha256 === null ? '.' : `, SHA-256 ${featuresSha256.slice(0, 12)}….`),
  )
  const isMean = runs.length > 0 && new Set(runs.map(({ seed }) => seed)).size > 1
  return [
    ...new Set(texts),
    ...(isMean
      ? [
          "± is half the 95 % interval of the mean over seeds, by Student's t: of trainings. The real images, the classifier and the noise that samples begin with are the same for all seeds.",
        ]
      : []),
  ]
}

function list(title: string, items: readonly string[]): string[] {
  return items.length > 0 ? [`**${title}**`, items.map((item) => `- ${item}`).join('\n')] : []
}
