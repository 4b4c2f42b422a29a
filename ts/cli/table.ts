/** Tables for a terminal: aligned columns, and where a terminal is narrow, cells cut so that no line wraps. */

const GAP = '  '
/** A cut cell keeps at least so much. */
const MIN_WIDTH = 6

/**
 * @param columns of the terminal; undefined: nothing is cut, since it goes to a file or another program.
 * @param isNumber columns that are set to the right.
 */
export function formatTable(
  rows: readonly (readonly string[])[],
  columns: number | undefined = process.stdout.isTTY ? process.stdout.columns : undefined,
  isNumber: (column: number) => boolean = () => false,
): string {
  const widths = rows[0].map((_, column) => Math.max(...rows.map((row) => row[column].length)))
  if (columns !== undefined) narrow(widths, columns - 1)
  return rows
    .map((row) =>
      row
        .map((cell, column) => {
          const text = cell.length > widths[column] ? `${cell.slice(0, widths[column] - 1)}…` : cell
          return isNumber(column) ? text.padStart(widths[column]) : text.padEnd(widths[column])
        })
        .join(GAP)
        .trimEnd(),
    )
    .map((line) => (columns === undefined ? line : line.slice(0, Math.max(1, columns - 1))))
    .join('\n')
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
