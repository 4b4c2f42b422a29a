/** Chromium for tests of pages, where the machine has one: `npm test` installs Debian's where it may. */
import { existsSync } from 'node:fs'
import { chromium, type Browser, type Page } from 'playwright-core'
import { expect, onTestFinished } from 'vitest'

const PLACES = [process.env['CHROMIUM_PATH'], '/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome']

export const CHROMIUM = PLACES.find((place) => place !== undefined && existsSync(place))

/** For the title of what is skipped. */
export const NO_CHROMIUM = CHROMIUM ? '' : ' (skipped: no Chromium; install the package chromium, or name one in CHROMIUM_PATH)'

let browser: Browser | undefined

/** One for the file; it ends with the test process at the latest. */
async function launch(): Promise<Browser> {
  browser ??= await chromium.launch({
    ...(CHROMIUM && { executablePath: CHROMIUM }),
    args: ['--no-sandbox', '--disable-background-networking'],
  })
  return browser
}

export async function closeBrowser(): Promise<void> {
  await browser?.close()
  browser = undefined
}

export interface Look {
  readonly width?: number
  readonly height?: number
  readonly colorScheme?: 'light' | 'dark'
}

/** Opens a page that may ask nobody but its own server, must throw nothing, and must not run what data say. */
export async function openPage(url: string, { width = 1280, height = 900, colorScheme = 'light' }: Look = {}): Promise<Page> {
  const page = await (await launch()).newPage({ viewport: { width, height }, colorScheme })
  const troubles: string[] = []
  const own = new URL(url)
  page.on('request', (request) => {
    const { protocol, host, pathname } = new URL(request.url())
    const isOwn = protocol === own.protocol && host === own.host && (protocol !== 'file:' || pathname === own.pathname)
    if (!isOwn && protocol !== 'data:') troubles.push(`asked ${request.url()}`)
  })
  page.on('pageerror', (error) => troubles.push(`threw ${error.message}`))
  page.on('dialog', (dialog) => troubles.push(`said ${dialog.message()}`))
  onTestFinished(async () => {
    await page.close()
    expect(troubles).toEqual([])
  })
  await page.goto(url)
  return page
}

/** Waits until an expression is true in the page. Asked from here: the page's own policy lets nobody evaluate text in it. */
export async function untilTrue(page: Page, expression: string, seconds = 30): Promise<void> {
  const deadline = performance.now() + seconds * 1000
  let last: unknown
  while (performance.now() < deadline) {
    last = await page.evaluate(expression).catch((error: Error) => error.message)
    if (last === true) return
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  throw new Error(`waited ${seconds} s for ${expression}; it was ${String(last)}`)
}

/** The points that a page has of one field of a run's steps. */
export async function readCurve(page: Page, field: string, run = 0): Promise<{ x: number[]; mean: number[] }> {
  return page.evaluate<{ x: number[]; mean: number[] }>(`immiscible.curve('${field}', ${run})`)
}
