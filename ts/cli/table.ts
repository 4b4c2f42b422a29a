/** Tables for a terminal: aligned columns; where it is narrow cells are cut so that no line wraps, and where it is very narrow rows are stacked. */

const GAP = '  '
/** A cut cell keeps at least so much. */
const MIN_WIDTH = 6
/** Columns of a terminal below which a row takes a line for each cell. */
const STACKED_BELOW = 60

/**
 * @param rows the first has the titles.
 * @param options `columns` of the terminal, by default that of stdout; where that is none, nothing is cut. `mayCut`: false for prose, whose rows are
 * stacked where they do not fit.
 */
export function formatTable(
  rows: readonly (readonly string[])[],
  { columns = process.stdout.isTTY ? process.stdout.columns : undefined, mayCut = true }: { columns?: number; mayCut?: boolean } = {},
): string {
  const widths = rows[0].map((_, column) => Math.max(...rows.map((row) => row[column].length)))
  if (columns !== undefined && (columns < STACKED_BELOW || (!mayCut && lengthOf(widths) >= columns))) return stack(rows)
  if (columns !== undefined) narrow(widths, columns - 1)
  const cut = (cell: string, width: number): string => (cell.length > width ? `${cell.slice(0, width - 1)}…` : cell.padEnd(width))
  return rows
    .map((row) =>
      row
        .map((cell, column) => cut(cell, widths[column]))
        .join(GAP)
        .trimEnd(),
    )
    .join('\n')
}

function stack([titles, ...rows]: readonly (readonly string[])[]): string {
  return rows.map(([first, ...cells]) => [first, ...cells.map((cell, index) => `  ${titles[index + 1]} ${cell}`)].join('\n')).join('\n')
}

/** Takes from the widest column until the line fits, or nothing can be taken any more. */
function narrow(widths: number[], columns: number): void {
  while (lengthOf(widths) > columns) {
    const widest = widths.indexOf(Math.max(...widths))
    if (widths[widest] <= MIN_WIDTH) return
    widths[widest]--
  }
}

function lengthOf(widths: readonly number[]): number {
  return widths.reduce((sum, width) => sum + width + GAP.length, -GAP.length)
}
