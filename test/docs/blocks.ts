/** The code blocks of a Markdown document: what each is, where it stands, and whether it is to be run. */

/** What may stand in a fence, and what becomes of it. `text` is shown and never run. */
const LANGUAGES = ['ts', 'python', 'sh', 'json', 'text'] as const

export interface Block {
  readonly language: (typeof LANGUAGES)[number]
  readonly source: string
  /** Line of the opening fence, from 1. */
  readonly line: number
  /** Saved under this name for the blocks that follow: `<!-- file: NAME -->` before the fence, or `// NAME` as first line of TypeScript. */
  readonly file: string | undefined
  /** Why the block is not run: `<!-- not run in tests: REASON -->` before the fence. */
  readonly notRun: string | undefined
}

/** Throws where a fence has no known language, a marker no reason, a fence no end, or code hides in indentation. */
export function readBlocks(markdown: string): Block[] {
  const lines = markdown.split('\n')
  const blocks: Block[] = []
  const fail = (line: number, message: string): never => {
    throw new Error(`line ${line}: ${message}`)
  }
  for (let at = 0; at < lines.length; at++) {
    const [, indent, info] = /^(\s*)```(.*)$/.exec(lines[at]) ?? []
    if (info === undefined) {
      if (/^ {4}\S/.test(lines[at]) && /^\s*$/.test(lines[at - 1] ?? '')) fail(at + 1, 'indented code is not run: expected a fence')
      continue
    }
    const language =
      LANGUAGES.find((name) => name === info.trim()) ?? fail(at + 1, `expected one of ${LANGUAGES.join(', ')}, got \`${info}\``)
    const end = lines.findIndex((text, index) => index > at && text.trim() === '```')
    if (end < 0) fail(at + 1, 'this fence has no end')
    const source = lines.slice(at + 1, end).map((text) => (text.startsWith(indent) ? text.slice(indent.length) : text))
    const [, key, value = ''] = /^<!--\s*(not run in tests|file)\s*:?(.*?)-->$/.exec(lines[at - 1]?.trim() ?? '') ?? []
    if (key !== undefined && value.trim() === '') fail(at, `expected ${key === 'file' ? 'a name' : 'a reason'} after "${key}:"`)
    const [, title] = (language === 'ts' && /^\/\/ ([\w./-]+\.ts)$/.exec(source[0])) || []
    blocks.push({
      language,
      source: `${source.join('\n')}\n`,
      line: at + 1,
      file: key === 'file' ? value.trim() : title,
      notRun: key === 'not run in tests' ? value.trim() : undefined,
    })
    at = end
  }
  return blocks
}
