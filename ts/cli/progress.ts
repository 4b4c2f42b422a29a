/** A bar for what takes a while and has an end: one line that changes in place, or plain lines now and then where there is no terminal. */
import type { Output } from './status.ts'

const PLAIN_LINE_MS = 10_000
const REDRAW_MS = 100
const BAR_CELLS = 24

export interface Progress {
  /** @param total undefined: nobody knows yet. */
  show(label: string, done: number, total: number | undefined): void
  /** Leaves the last state as a line of its own; nothing where nothing was shown. */
  end(): void
}

/** @param format how an amount is written: `12,000`, `3.1 MB`. */
export function createProgress(
  output: Output,
  format: (amount: number) => string = (amount) => amount.toLocaleString('en-US'),
  now: () => number = () => performance.now(),
): Progress {
  const isLive = output.isTTY === true && !process.env['CI'] && process.env['TERM'] !== 'dumb'
  let lastDrawn = -Infinity
  let latest: string | undefined
  let drawn: string | undefined

  function describe(label: string, done: number, total: number | undefined): string {
    if (total === undefined || total === 0) return `${label}  ${format(done)}`
    const share = Math.min(1, done / total)
    const cells = Math.round(share * BAR_CELLS)
    const bar = `[${'#'.repeat(cells)}${'-'.repeat(BAR_CELLS - cells)}]`
    const words = [label, ...(isLive ? [bar] : []), `${format(done)} of ${format(total)}`, `${Math.floor(share * 100)} %`]
    const width = Math.max(1, (output.columns ?? 80) - 1)
    // The bar goes first where there is no room.
    return isLive && words.join('  ').length > width ? words.toSpliced(1, 1).join('  ').slice(0, width) : words.join('  ')
  }

  function draw(): void {
    if (latest === undefined || latest === drawn) return
    drawn = latest
    output.write(isLive ? `\r\u001b[K${latest}` : `${latest}\n`)
  }

  return {
    show(label, done, total) {
      latest = describe(label, done, total)
      const at = now()
      if (at - lastDrawn < (isLive ? REDRAW_MS : PLAIN_LINE_MS)) return
      lastDrawn = at
      draw()
    },
    end() {
      draw()
      if (isLive && drawn !== undefined) output.write('\n')
      latest = drawn = undefined
      lastDrawn = -Infinity
    },
  }
}
