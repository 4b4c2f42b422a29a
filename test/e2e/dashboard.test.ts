/** The dashboard in a real browser, on real runs and on written ones: what it shows, what it stops, and to whom it says nothing. */
import { spawn, type ChildProcess } from 'node:child_process'
import { appendFileSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { request as httpRequest } from 'node:http'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, describe, expect, onTestFinished, test } from 'vitest'
import { serveDashboard, type Dashboard, type DashboardOptions } from '../../ts/index.ts'
import { CHROMIUM, closeBrowser, NO_CHROMIUM, openPage, readCurve, untilTrue } from './browser.ts'
import { eventsOf, readEvents, temporaryFolder, TINY, until } from './run.ts'
import { HOSTILE, lossAt, steps, writeEvents, writeRun } from './written-run.ts'

const SECONDS = 1000
const CLI = fileURLToPath(new URL('../../ts/cli/main.ts', import.meta.url))
/** Round as the page's numbers are. */
const six = (value: number): number => Number(value.toPrecision(6))
const FINISHED = "document.querySelector('.status')?.textContent === 'finished'"

async function serve(folders: readonly string[], options: DashboardOptions = { port: 0 }): Promise<Dashboard> {
  const dashboard = await serveDashboard(folders, options)
  onTestFinished(() => dashboard.close())
  return dashboard
}

function immiscible(...args: string[]): { child: ChildProcess; said: () => string; ended: Promise<number | null> } {
  const child = spawn(process.execPath, [CLI, ...args], { stdio: ['ignore', 'pipe', 'pipe'] })
  let said = ''
  for (const stream of [child.stdout, child.stderr]) stream?.on('data', (chunk: Buffer) => (said += chunk.toString()))
  onTestFinished(() => void child.kill('SIGKILL'))
  return { child, said: () => said, ended: new Promise((resolve) => child.once('close', resolve)) }
}

function writeConfig(folder: string): string {
  const file = join(folder, 'config.json')
  const sampling = { ...TINY.sampling, everySteps: 10 }
  writeFileSync(file, JSON.stringify({ ...TINY, sampling, maxTrainSteps: 100_000, worker: { ...TINY.worker, leaseSeconds: 5 } }))
  return file
}

interface Answer {
  readonly status: number
  readonly body: string
  readonly policy: string
}

/** As sent: no client tidies the path. A stream of events has no end: it is read until it has said `enough`. */
async function ask(port: number, path: string, headers: Record<string, string> = {}, method = 'GET', enough = 'data:'): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const request = httpRequest({ host: '127.0.0.1', port, path, method, headers }, (response) => {
      let body = ''
      const answer = (): void =>
        resolve({ status: response.statusCode ?? 0, body, policy: String(response.headers['content-security-policy']) })
      response.on('data', (chunk: Buffer) => {
        body += chunk.toString()
        if (response.headers['content-type'] === 'text/event-stream' && body.includes(enough)) {
          answer()
          request.destroy()
        }
      })
      response.on('end', answer)
    })
    request.on('error', reject)
    request.end()
  })
}

test('who says what it has gets what it lacks, also from another server; who says nothing, or something else, gets all', async () => {
  const folder = temporaryFolder()
  writeRun(folder, 100, { maxTrainSteps: 200, isEnded: false })
  const first = await serve([folder])
  const path = `${new URL(first.url).pathname}events`
  const { body } = await ask(first.port, path, {}, 'GET', '"model"')
  const id = /id: (\S+)\ndata: \{"key":"[0-9a-f]{12}","model"/.exec(body)?.[1] ?? ''
  expect(id).toMatch(/^[0-9a-f]{12}-\d+-\d+$/)
  await first.close()
  writeEvents(folder, steps(100, 103))
  const second = await serve([folder])
  const again = await ask(second.port, path, { 'last-event-id': id }, 'GET', '"rows"')
  expect([...again.body.matchAll(/\["step",(\d+),/g)].map(([, step]) => Number(step))).toEqual([100, 101, 102])
  expect(again.body).not.toContain('"model"')
  for (const other of ['', 'nonsense', id.replace(/-\d+-/, '-1-'), `${id}000`, id.replace(/^[0-9a-f]{4}/, 'ffff')]) {
    const answer = await ask(second.port, path, { 'last-event-id': other }, 'GET', '"model"')
    expect(answer.body).not.toContain('"rows"')
  }
})

afterAll(closeBrowser)

describe.skipIf(!CHROMIUM)(`in Chromium${NO_CHROMIUM}`, () => {
  test(
    'a page that was opened before the run shows it live, stops it in its own process, and goes on with it when it is resumed',
    { timeout: 240 * SECONDS },
    async () => {
      const folder = temporaryFolder()
      const runFolder = join(folder, 'run')
      const { url } = await serve([runFolder])
      const page = await openPage(url)
      await untilTrue(page, "document.querySelector('.status')?.textContent === 'waiting'")
      const run = immiscible('train', '--config', writeConfig(folder), '--output-dir', runFolder)
      await untilTrue(page, "immiscible.curve('loss').x.length >= 25", 90)
      expect(await page.locator('.status').textContent()).toBe('running')
      expect(await page.locator('canvas').count()).toBeGreaterThan(8)

      const image = page.locator('#samples img')
      await page.locator('#sample-step').fill('0')
      await untilTrue(page, "document.querySelector('#samples img')?.src.endsWith('samples/10.png')")
      await page.locator('#sample-step').fill('1')
      await untilTrue(page, "document.querySelector('#samples img').src.endsWith('samples/20.png')")
      await untilTrue(page, "document.querySelector('#samples img').naturalWidth > 8")
      expect(await image.getAttribute('alt')).toContain('step 20')

      await page.locator('button.stop').click()
      await page.getByText('Go on training').click()
      expect(run.child.exitCode).toBe(null)
      await page.locator('button.stop').click()
      const again =
        "fetch(document.querySelector('#samples img').src.replace(/samples.*/, 'stop'), { method: 'POST' }).then(({ status }) => status)"
      await page.getByText('Stop the run').click()
      await untilTrue(page, "document.querySelector('.status').textContent !== 'running'")
      // A second signal would end the run at once, with another exit code.
      expect(await page.evaluate(again)).toBe(409)
      expect(await run.ended).toBe(0)
      await untilTrue(page, "document.querySelector('.status').textContent === 'stopped'")
      expect(await page.locator('button.stop').isDisabled()).toBe(true)
      const before = eventsOf(readEvents(runFolder), 'step')
      expect(eventsOf(readEvents(runFolder), 'end')).toMatchObject([{ outcome: 'stopped' }])
      const curve = await readCurve(page, 'loss')
      expect(curve.x).toEqual(before.map(({ step }) => step))
      expect(curve.mean).toEqual(before.map(({ loss }) => six(loss ?? NaN)))

      const goal = before.length + 15
      expect(await immiscible('resume', runFolder, '--max-train-steps', String(goal)).ended).toBe(0)
      await untilTrue(page, FINISHED)
      expect((await readCurve(page, 'loss')).x).toEqual(Array.from({ length: goal }, (_, step) => step))
    },
  )

  test('train --dashboard serves its own run and is stopped by its handle', { timeout: 120 * SECONDS }, async () => {
    const folder = temporaryFolder()
    const runFolder = join(folder, 'run')
    const run = immiscible('train', '--config', writeConfig(folder), '--output-dir', runFolder, '--dashboard')
    const url = await until('the address', 60, () => /dashboard (http:\S+)/.exec(run.said())?.[1])
    const page = await openPage(url)
    await untilTrue(page, "immiscible.curve('loss').x.length >= 3", 60)
    await page.locator('button.stop').click()
    await page.getByText('Stop the run').click()
    expect(await run.ended).toBe(0)
    // What a signal would have said.
    expect(run.said()).not.toContain('saving and ending')
    expect(eventsOf(readEvents(runFolder), 'end')).toMatchObject([{ outcome: 'stopped' }])
    // The last words arrive before the server goes.
    await untilTrue(page, "document.querySelector('.status').textContent === 'stopped'")
    await untilTrue(page, "document.getElementById('connection').className === 'lost'")
  })

  test('a page finds its server again after a restart, and no point twice', async () => {
    const folder = temporaryFolder()
    writeRun(folder, 300, { maxTrainSteps: 400, isEnded: false })
    const first = await serve([folder])
    const page = await openPage(first.url)
    await untilTrue(page, "immiscible.curve('loss').x.length === 300")
    await first.close()
    await untilTrue(page, "document.getElementById('connection').className === 'lost'")
    writeEvents(folder, steps(300, 350))
    // A line that is being written: the rest comes later.
    const [torn] = steps(350, 351).map((event) => JSON.stringify(event))
    appendFileSync(join(folder, 'events.jsonl'), torn.slice(0, 200))
    const second = await serve([folder], { port: first.port })
    expect(second.url).toBe(first.url)
    await untilTrue(page, "immiscible.curve('loss').x.length === 350")
    appendFileSync(join(folder, 'events.jsonl'), `${torn.slice(200)}\n`)
    await untilTrue(page, "immiscible.curve('loss').x.length === 351")
    const { x, mean } = await readCurve(page, 'loss')
    expect(x).toEqual(Array.from({ length: 351 }, (_, step) => step))
    expect(mean).toEqual(x.map((step) => six(lossAt(step))))
  })

  test('a run that goes on from a checkpoint shows each step once, as it was the second time', async () => {
    const folder = temporaryFolder()
    writeRun(folder, 50, { maxTrainSteps: 60, isEnded: false })
    const { url } = await serve([folder])
    const page = await openPage(url)
    await untilTrue(page, "immiscible.curve('loss').x.length === 50")
    // What is no event of ours, or one cut short, changes nothing.
    appendFileSync(
      join(folder, 'events.jsonl'),
      'garbage\n{"kind":"step"}\n{"kind":"step","step":-1}\nnull\n{"kind":"end","outcome":"<b>"}\n',
    )
    writeEvents(
      folder,
      steps(40, 60).map((event) => ({ ...event, loss: 7 })),
    )
    await untilTrue(page, "immiscible.curve('loss').x.length === 60")
    const { x, mean } = await readCurve(page, 'loss')
    expect(x).toEqual(Array.from({ length: 60 }, (_, step) => step))
    expect(mean.slice(40)).toEqual(Array.from({ length: 20 }, () => 7))
    expect(mean.slice(0, 40)).not.toContain(7)
  })

  test('a hundred thousand events arrive as curves of bounded size with the right means', { timeout: 120 * SECONDS }, async () => {
    const folder = temporaryFolder()
    const NUM = 100_000
    writeRun(folder, NUM)
    const { url } = await serve([folder])
    const page = await openPage(url)
    await untilTrue(page, FINISHED, 60)
    const { x, mean } = await readCurve(page, 'loss')
    expect(x.length).toBeGreaterThan(1000)
    expect(x.length).toBeLessThanOrEqual(3200)
    const width = x[1] - x[0]
    for (const [at, middle] of x.entries()) {
      const covered = Array.from({ length: width }, (_, step) => middle - (width - 1) / 2 + step).filter((step) => step < NUM)
      const expected = covered.reduce((sum, step) => sum + lossAt(step), 0) / covered.length
      expect(Math.abs(mean[at] / expected - 1)).toBeLessThan(1e-5)
    }
    expect(await page.locator('.run-line').textContent()).toContain('step 100,000 / 100,000')
  })

  test('a zoom holds while new steps come, in every chart; a double click shows all again', async () => {
    const folder = temporaryFolder()
    writeRun(folder, 300, { maxTrainSteps: 400, isEnded: false })
    const page = await openPage((await serve([folder])).url)
    await untilTrue(page, "document.querySelector('[data-chart=loss] canvas') !== null")
    const box = await page.locator('[data-chart=loss] .u-over').boundingBox()
    if (!box) throw new Error('the chart has no place')
    const at = (share: number): [number, number] => [box.x + share * box.width, box.y + box.height / 2]
    /** What another chart says of the step at the left edge of this one. */
    const leftmost = async (): Promise<number> => {
      await page.mouse.move(...at(0.5))
      await page.mouse.move(box.x + 1, box.y + 40)
      const text = await page.locator('[data-chart=gradNorm] .values').textContent()
      return Number(/step (\d+)/.exec(text ?? '')?.[1])
    }
    expect(await leftmost()).toBeLessThan(5)
    await page.mouse.move(...at(0.5))
    await page.mouse.down()
    await page.mouse.move(...at(0.8), { steps: 5 })
    await page.mouse.up()
    expect(Math.abs((await leftmost()) - 150)).toBeLessThan(5)
    writeEvents(folder, steps(300, 350))
    await untilTrue(page, "immiscible.curve('loss').x.length === 350")
    await page.waitForTimeout(600) // two drawings
    expect(Math.abs((await leftmost()) - 150)).toBeLessThan(5)
    await page.mouse.dblclick(...at(0.5))
    expect(await leftmost()).toBeLessThan(5)
  })

  test('several runs lie upon each other; what differs between their configs is marked; what a run says stays text', async () => {
    const folder = temporaryFolder()
    const paths = ['one', 'two'].map((name) => join(folder, name))
    writeRun(paths[0], 300, { poolSize: 32 })
    writeRun(paths[1], 200, { poolSize: 64 })
    const { url } = await serve(paths)
    const page = await openPage(url, { width: 500, height: 900, colorScheme: 'dark' })
    await untilTrue(page, "immiscible.curve('loss', 0).x.length === 300 && immiscible.curve('loss', 1).x.length === 200")
    await untilTrue(page, "document.querySelectorAll('[data-chart=loss] .values span').length === 2")
    expect(await page.locator('#runs .name').allTextContents()).toEqual(['one', 'two'])
    expect(await page.locator('#samples img').count()).toBe(2)
    await page.locator('#runs input').nth(1).uncheck()
    await untilTrue(page, "document.querySelectorAll('[data-chart=loss] .values span').length === 1")
    await page.locator('#runs input').nth(1).check()

    await page.locator('#config-details summary').click()
    await page.locator('#config-filter').fill('poolSize')
    await untilTrue(page, "document.querySelectorAll('#config tbody tr').length === 1")
    expect(await page.locator('#config td').allTextContents()).toEqual(['assignment.poolSize', '32', '64'])
    await page.locator('#config-filter').fill('')
    await page.locator('#config-differences').check()
    await untilTrue(page, "document.querySelectorAll('#config tbody tr:not(.differs)').length === 0")

    await page.locator('#log-details summary').click()
    await untilTrue(page, "document.getElementById('log').textContent === 'the worker says hello\\n'")
    expect(await page.locator('#warnings').textContent()).toContain(HOSTILE)
    expect(await page.locator('#warnings img, #warnings script').count()).toBe(0)
    expect(await page.evaluate('document.documentElement.scrollWidth <= innerWidth')).toBe(true)
  })
})

describe('to whom it says nothing', () => {
  async function place(): Promise<{ folder: string; port: number; base: string; key: string }> {
    const folder = temporaryFolder()
    writeRun(folder, 100)
    const { url, port } = await serve([folder])
    const base = new URL(url).pathname
    const key = /"key":"([0-9a-f]{12})"/.exec((await ask(port, `${base}events`)).body)?.[1] ?? ''
    return { folder, port, base, key }
  }

  test('every address needs the token; with it (control) each answers', async () => {
    const { port, base, key } = await place()
    const run = `runs/${key}`
    for (const path of ['', 'dashboard.mjs', 'uplot.js', 'style.css', 'events', `${run}/about`, `${run}/log`, `${run}/samples/100.png`]) {
      const granted = await ask(port, base + path)
      expect([path, granted.status]).toEqual([path, 200])
      expect(granted.policy).toMatch(/^default-src 'none'; script-src 'self'; style-src 'self';.*frame-ancestors 'none'$/)
      const wrong = `${base.slice(0, -3)}${base.at(-3) === 'A' ? 'B' : 'A'}${base.slice(-2)}`
      for (const refused of [
        `/${path}`,
        `/x/${path}`,
        wrong + path,
        base.slice(0, -2) + path,
        `/?token=${base.slice(1, -1)}`,
        `//${path}`,
      ]) {
        expect([refused, await ask(port, refused)]).toMatchObject([refused, { status: 403, body: 'forbidden\n' }])
      }
    }
  })

  test('a name that was made to lead here is refused, and so is a stop that another page asks for', async () => {
    const { port, base, key } = await place()
    expect((await ask(port, base, { host: `localhost:${port}` })).status).toBe(200)
    for (const host of ['evil.example', `evil.example:${port}`, '127.0.0.1', `127.0.0.1.evil.example:${port}`]) {
      expect(await ask(port, base, { host })).toMatchObject({ status: 403, body: 'forbidden\n' })
    }
    const stop = `${base}runs/${key}/stop`
    const own = `http://127.0.0.1:${port}`
    // Control: the same address with our origin gets as far as the run, which nobody trains.
    expect(await ask(port, stop, { origin: own }, 'POST')).toMatchObject({ status: 409, body: 'nobody is training this run\n' })
    for (const headers of [{}, { origin: 'http://evil.example' }, { origin: 'null' }, { origin: `http://localhost:${port}` }]) {
      expect((await ask(port, stop, headers, 'POST')).status).toBe(403)
    }
    expect((await ask(port, `/x/runs/${key}/stop`, { origin: own }, 'POST')).status).toBe(403)
    expect((await ask(port, stop, { origin: own })).status).toBe(404)
    expect((await ask(port, stop, { origin: own }, 'DELETE')).status).toBe(405)
  })

  test('no address leads out of the run folder', async () => {
    const { folder, port, base, key } = await place()
    const secret = join(temporaryFolder(), 'secret')
    writeFileSync(secret, 'secret')
    symlinkSync(secret, join(folder, 'samples', 'step-000000000007.png'))
    const run = `${base}runs/${key}`
    const paths = [
      'samples/7.png',
      'samples/../../config.json',
      'samples/..%2f..%2fconfig.json',
      'samples/100',
      'config.json',
      '../../etc/passwd',
    ]
    for (const path of [
      ...paths.map((name) => `${run}/${name}`),
      `${base}../package.json`,
      `${base}page/model.mjs`,
      `${base}runs/000000000000/log`,
    ]) {
      expect([path, (await ask(port, path)).status]).toEqual([path, 404])
    }
    expect(readFileSync(secret, 'utf8')).toBe('secret')
  })

  test('a port that is taken is an error where it was asked for; nothing to show is one too', async () => {
    const { folder, port } = await place()
    await expect(serveDashboard([folder], { port })).rejects.toThrow(`port: expected a free port, got ${port}`)
    await expect(serveDashboard([])).rejects.toThrow('expected at least one run folder')
    await expect(serveDashboard([folder], { port: 70_000 })).rejects.toThrow('expected a port, 0 to 65535, got 70000')
  })
})
