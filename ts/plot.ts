/** drawPlot(): numbers as a figure, by matplotlib, which is installed when the first is drawn. */
import { resolve } from 'node:path'
import { ConfigError } from './errors.ts'
import { runTool } from './worker/tool.ts'

export interface PlotSeries {
  readonly label: string
  readonly x: readonly number[]
  /** null: a gap in the line. */
  readonly y: readonly (number | null)[]
  /** Bounds of an interval around y, drawn as a band; both or neither. */
  readonly low?: readonly (number | null)[]
  readonly high?: readonly (number | null)[]
}

export interface Plot {
  readonly title: string
  readonly xLabel: string
  readonly yLabel: string
  /** Logarithmic; default false. */
  readonly isLogX?: boolean
  readonly isLogY?: boolean
  readonly series: readonly PlotSeries[]
  /** Dashed lines over the whole width, such as what somebody else reports. */
  readonly horizontals?: readonly { readonly label: string; readonly y: number }[]
}

export interface PlotFiles {
  readonly svg: string
  readonly png: string
}

/**
 * Draws one figure as OUTPUT.svg and OUTPUT.png, 1,400 pixels wide; the same numbers give the same bytes.
 * Rejects with a ConfigError where the numbers cannot be drawn, an ENVIRONMENT error where the user's own Python has no matplotlib.
 * @param output the files' path without an ending.
 */
export async function drawPlot(
  spec: Plot,
  output: string,
  { onSetup = ignore }: { onSetup?: (line: string) => void } = {},
): Promise<PlotFiles> {
  const problems = listProblems(spec)
  if (problems.length > 0) throw new ConfigError(problems)
  const plot = { svg: resolve(`${output}.svg`), png: resolve(`${output}.png`) }
  await runTool('plot', { spec, ...plot }, { extras: ['plot'], onSetup })
  return plot
}

interface Problem {
  readonly path: string
  readonly message: string
}

function listProblems({ series, horizontals = [], isLogX = false, isLogY = false }: Plot): Problem[] {
  const hasPoint = series.some(({ y }) => y.some((value) => value !== null))
  if (!hasPoint) return [{ path: 'series', message: 'expected at least one point, got none' }]
  const ofSeries = series.flatMap(({ x, y, low, high }, at) => {
    const columns = Object.entries({ x, y, low, high }).filter((column) => column[1] !== undefined)
    const problems = columns.flatMap(([name, values = []]) => {
      const path = `series[${at}].${name}`
      if (values.length !== x.length) return [{ path, message: `expected ${x.length} numbers, as many as x has, got ${values.length}` }]
      return values.flatMap((value, index) => judge(`${path}[${index}]`, value, name !== 'x', name === 'x' ? isLogX : isLogY))
    })
    const isHalf = (low === undefined) !== (high === undefined)
    return isHalf ? [...problems, { path: `series[${at}]`, message: 'expected both low and high or neither, got one' }] : problems
  })
  return [...ofSeries, ...horizontals.flatMap(({ y }, at) => judge(`horizontals[${at}].y`, y, false, isLogY))]
}

function judge(path: string, value: number | null, mayBeGap: boolean, isLog: boolean): Problem[] {
  if (mayBeGap && value === null) return []
  if (!Number.isFinite(value)) return [{ path, message: `expected a finite number${mayBeGap ? ' or null' : ''}, got ${value}` }]
  const isOff = isLog && Number(value) <= 0
  return isOff ? [{ path, message: `expected more than 0 on a logarithmic axis, got ${value}` }] : []
}

const ignore = (): void => undefined
