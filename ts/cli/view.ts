/** `immiscible view`: parses, serves, prints the address. */
import { spawn } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { InvalidArgumentError, type Command } from 'commander'
import { serveDashboard } from '../index.ts'

interface Flags {
  port?: number
  open: boolean
  json?: boolean
}

/** Adds the command. */
export function addView(program: Command, print: (text: string) => void, log: (text: string) => void): void {
  program
    .command('view')
    .description('show runs in the browser, live: curves, samples, timeline, config, log')
    .argument('<run...>', 'run folders; one may appear later')
    .option('--port <port>', 'of 127.0.0.1; 7077, or any free one', port)
    .option('--no-open', 'only print the address')
    .option('--json', 'print {"url"}')
    .action(async (runFolders: string[], { port: wanted, open, json }: Flags) => {
      await using dashboard = await serveDashboard(runFolders, wanted === undefined ? {} : { port: wanted })
      print(json ? JSON.stringify({ url: dashboard.url }) : dashboard.url)
      if (open && !json && process.stdout.isTTY && !process.env['CI']) openInBrowser(dashboard.url)
      for (const folder of runFolders) if (!existsSync(join(folder, 'run.json'))) log(`waiting for a run in ${folder}`)
      log('Ctrl-C ends the page, not the runs')
      await untilSignal()
    })
}

/**
 * Where there is a screen; the address was printed, so it is no failure where there is none. The browser gets a private file that leads to
 * the address: everybody on the machine can read the arguments of a process, and the address opens the page.
 */
function openInBrowser(url: string): void {
  const opener = { darwin: 'open', win32: 'explorer' }[process.platform as string] ?? 'xdg-open'
  if (opener === 'xdg-open' && !process.env['DISPLAY'] && !process.env['WAYLAND_DISPLAY']) return
  const folder = mkdtempSync(join(tmpdir(), 'immiscible-view-'))
  const file = join(folder, 'open.html')
  writeFileSync(file, `<!doctype html><meta http-equiv="refresh" content="0; url=${url}">`, { mode: 0o600 })
  process.once('exit', () => rmSync(folder, { recursive: true, force: true }))
  spawn(opener, [file], { stdio: 'ignore', detached: true })
    .on('error', () => undefined)
    .unref()
}

async function untilSignal(): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>()
  // What keeps the process: the server's thread does not.
  const alive = setInterval(() => undefined, 1 << 30)
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => resolve())
  await promise
  clearInterval(alive)
}

function port(text: string): number {
  if (!/^\d{1,5}$/.test(text) || Number(text) > 65_535) throw new InvalidArgumentError('expected a port, 0 to 65535')
  return Number(text)
}
