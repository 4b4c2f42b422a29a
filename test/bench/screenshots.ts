/** The pictures of docs/dashboard.md: trains two short runs (or takes the run folders that it is given) and photographs their dashboard. `npm run screenshots`. */
import { mkdtempSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { chromium } from 'playwright-core'
import { serveDashboard, trainImmiscible, type TrainInput } from '../../ts/index.ts'

const DOCS = join(import.meta.dirname, '..', '..', 'docs')

async function train(outputDir: string, assignment: TrainInput['assignment']): Promise<string> {
  const { runFolder } = await trainImmiscible({
    dataset: { kind: 'digits' },
    objective: { kind: 'ddim', betaSchedule: 'squaredcos_cap_v2' },
    assignment,
    optimizer: { learningRate: 0.004 },
    ema: { decay: 0.99 },
    validation: { numImages: 128, everySteps: 50 },
    sampling: { everySteps: 100, numImages: 64 },
    globalBatchSize: 64,
    maxTrainSteps: 500,
    outputDir,
  })
  return runFolder
}

const folder = mkdtempSync(join(tmpdir(), 'immiscible-screenshots-'))
try {
  const given = process.argv.slice(2)
  const runs =
    given.length > 0
      ? given
      : [await train(join(folder, 'quantized'), 'quantized'), await train(join(folder, 'independent'), 'independent')]
  await using dashboard = await serveDashboard(runs, { port: 0 })
  const browser = await chromium.launch({
    executablePath: process.env['CHROMIUM_PATH'] ?? '/usr/bin/chromium',
    args: ['--no-sandbox', '--disable-background-networking'],
  })
  for (const { name, colorScheme, at } of [
    { name: 'dashboard.png', colorScheme: 'light', at: 'header' },
    { name: 'dashboard-dark.png', colorScheme: 'dark', at: '#timeline-title' },
  ] as const) {
    const page = await browser.newPage({ viewport: { width: 1280, height: 860 }, colorScheme })
    await page.goto(dashboard.url)
    await page.waitForSelector('canvas')
    await page.waitForTimeout(1500)
    await page.evaluate(`document.querySelector('${at}').scrollIntoView(); scrollBy(0, -70)`)
    await page.waitForTimeout(500)
    await page.screenshot({ path: join(DOCS, name) })
    console.log(`docs/${name} ${(statSync(join(DOCS, name)).size / 1000).toFixed(0)} kB`)
  }
  await browser.close()
} finally {
  rmSync(folder, { recursive: true, force: true })
}
