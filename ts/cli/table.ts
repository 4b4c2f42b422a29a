/** Tables for a terminal: aligned columns; where it is narrow cells are cut so that no line wraps, and where it is very narrow rows are stacked. */

const GAP = '  '
/** A cut cell keeps at least so much. */
const MIN_WIDTH = 6
/** Columns of a terminal below which a row takes a line for each cell. */
const STACKED_BELOW = 60

/**
 * @param rows the first has the titles.
 * @param columns of the terminal; undefined: nothing is cut, since it goes to a file or another program.
 */
export function formatTable(
  rows: readonly (readonly string[])[],
  columns: number | undefined = process.stdout.isTTY ? process.stdout.columns : undefined,
): string {
  if (columns !== undefined && columns < STACKED_BELOW) return stack(rows)
  const widths = rows[0].map((_, column) => Math.max(...rows.map((row) => row[column].length)))
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
  const total = (): number => widths.reduce((sum, width) => sum + width + GAP.length, -GAP.length)
  while (total() > columns) {
    const widest = widths.indexOf(Math.max(...widths))
    if (widths[widest] <= MIN_WIDTH) return
    widths[widest]--
  }
}
