/** The name that was probably meant: what "did you mean" says wherever a name is not known. */

/** Shorter words are near too many names: cpu is no tpu that was mistyped. From here on a word that is part of one name alone stands for it as well. */
const MIN_LETTERS = 4

/**
 * The nearest of `known` within a third of the word's length in edits (insert, delete, replace, swap), case aside, else the only one that it is a part of,
 * as globalBatchSize for batchSize; undefined where there is neither.
 */
export function suggest(word: string, known: readonly string[]): string | undefined {
  if (word.length < MIN_LETTERS) return undefined
  const limit = Math.floor(word.length / 3)
  let best: { readonly name: string; readonly edits: number } | undefined
  for (const name of new Set(known)) {
    const edits = countEdits(word.toLowerCase(), name.toLowerCase())
    if (edits <= limit && (best === undefined || edits < best.edits)) best = { name, edits }
  }
  if (best) return best.name
  const whole = [...new Set(known)].filter((name) => name.toLowerCase().includes(word.toLowerCase()))
  return whole.length === 1 ? whole[0] : undefined
}

/** As the end of a sentence: `; did you mean 'quantized'?`, or nothing. */
export function didYouMean(word: string, known: readonly string[]): string {
  const name = suggest(word, known)
  return name === undefined ? '' : `; did you mean '${name}'?`
}

/** Optimal string alignment distance: a swap of neighbours is one edit. */
function countEdits(a: string, b: string): number {
  const rows: number[][] = [Array.from({ length: b.length + 1 }, (_, column) => column)]
  for (let i = 1; i <= a.length; i++) {
    const row = [i]
    for (let j = 1; j <= b.length; j++) {
      const isSame = a[i - 1] === b[j - 1]
      row[j] = Math.min(rows[i - 1][j] + 1, row[j - 1] + 1, rows[i - 1][j - 1] + (isSame ? 0 : 1))
      const isSwap = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]
      if (isSwap) row[j] = Math.min(row[j], rows[i - 2][j - 2] + 1)
    }
    rows.push(row)
  }
  return rows[a.length][b.length]
}
