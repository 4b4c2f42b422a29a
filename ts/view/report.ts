/** writeReport(): runs as one HTML file that needs nothing else, and as Markdown. */
import { createHash } from 'node:crypto'
import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname, extname, resolve } from 'node:path'
import { ConfigError, ImmiscibleError } from '../errors.ts'
import { readAsset, readPage } from './assets.ts'
import { toMarkdown } from './markdown.ts'
import { readRun, type ReportedRun } from './reported-run.ts'
import { nameRuns } from './watch.ts'

export interface ReportOptions {
  /** The HTML file; the Markdown goes beside it, under the same name with .md. Without one nothing is written. */
  readonly output?: string
}

export interface Report {
  readonly html: string
  readonly markdown: string
  /** Absolute paths of what was written. */
  readonly files: readonly string[]
}

/** The modules of the page, each after those that it imports. */
const MODULES = ['model.mjs', 'summary.mjs', 'chart.mjs', 'charts.mjs', 'panels.mjs', 'report.mjs']

/**
 * Reads the runs, whatever state they are in, and writes about them.
 * @throws ImmiscibleError RUN_FOLDER where a folder holds no run, or `output` cannot be written.
 */
export function writeReport(runFolders: readonly string[], { output }: ReportOptions = {}): Report {
  const paths = [...new Set(runFolders.map((folder) => resolve(folder)))]
  if (paths.length === 0) throw new ConfigError([{ path: 'runFolders', message: 'expected at least one run folder, got none' }])
  const names = nameRuns(paths)
  const runs = paths.map((path, index) => readRun(path, names[index]))
  const [html, markdown] = [toHtml(runs), toMarkdown(runs)]
  if (output === undefined) return { html, markdown, files: [] }
  const page = resolve(output)
  const files = [page, `${page.slice(0, page.length - extname(page).length)}.md`]
  if (files[0] === files[1])
    throw new ConfigError([{ path: 'output', message: `expected a name for HTML, as in report.html, got ${output}` }])
  try {
    mkdirSync(dirname(page), { recursive: true })
    writeFileSync(files[0], html)
    writeFileSync(files[1], markdown)
  } catch (cause) {
    throw new ImmiscibleError('RUN_FOLDER', `output: cannot write ${page}: ${(cause as Error).message}`, { cause })
  }
  return { html, markdown, files }
}

function toHtml(runs: readonly ReportedRun[]): string {
  // No file of ours has an end tag in it, but data may: in JSON `<` can be written as an escape.
  const data = JSON.stringify({ runs }).replaceAll('<', '\\u003c')
  const style = `${readAsset('uplot.css')}\n${readAsset('style.css')}`
  const plot = readAsset('uplot.js')
  const page = MODULES.map((name) => join(readPage(name))).join('\n')
  const hash = (text: string): string => `'sha256-${createHash('sha256').update(text).digest('base64')}'`
  const policy = `default-src 'none'; img-src data:; style-src ${hash(style)}; script-src ${hash(plot)} ${hash(page)}; base-uri 'none'; form-action 'none'`
  return readPage('report.html')
    .replace('{{policy}}', () => policy)
    .replaceAll('{{title}}', () => escapeHtml(runs.map(({ name }) => name).join(', ')))
    .replace('<!-- style -->', () => `<style>${style}</style>`)
    .replace(
      '<!-- scripts -->',
      () => `${makeScript('type="application/json" id="data"', data)}${makeScript('', plot)}${makeScript('type="module"', page)}`,
    )
}

function makeScript(attributes: string, text: string): string {
  return `<script ${attributes}>${text}</script>\n`
}

/** A module as a part of one script: the modules share their names, so imports and exports have nothing to do. */
function join(module: string): string {
  return module.replaceAll(/^import [\s\S]*? from '\.\/[\w-]+\.mjs'\n/gm, '').replaceAll(/^export /gm, '')
}

function escapeHtml(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('"', '&quot;')
}
