/** The files of the page: uPlot and what lies in page/, as they are, without a build. The only place that knows where uPlot is. */
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'

export interface Asset {
  readonly type: string
  readonly read: () => string
}

const TYPES = { html: 'text/html; charset=utf-8', css: 'text/css; charset=utf-8', mjs: 'text/javascript; charset=utf-8' } as const
const require = createRequire(import.meta.url)

/** By the name in an address. */
export const ASSETS: ReadonlyMap<string, Asset> = new Map([
  ['', page('dashboard.html')],
  ...['dashboard.mjs', 'panels.mjs', 'charts.mjs', 'chart.mjs', 'model.mjs', 'summary.mjs', 'style.css'].map(
    (name) => [name, page(name)] as const,
  ),
  ['uplot.js', { type: TYPES.mjs, read: () => read(require.resolve('uplot/dist/uPlot.iife.min.js')) }],
  ['uplot.css', { type: TYPES.css, read: () => read(require.resolve('uplot/dist/uPlot.min.css')) }],
])

/** An asset as text, by its name. */
export function readAsset(name: string): string {
  const asset = ASSETS.get(name)
  if (!asset) throw new Error(`expected one of ${[...ASSETS.keys()].join(', ')}, got ${name}`)
  return asset.read()
}

/** A file of page/ as text. */
export function readPage(name: string): string {
  return read(new URL(`./page/${name}`, import.meta.url))
}

function page(name: string): Asset {
  return { type: TYPES[name.split('.').at(-1) as keyof typeof TYPES], read: () => readPage(name) }
}

function read(file: string | URL): string {
  return readFileSync(file, 'utf8')
}
