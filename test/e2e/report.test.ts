/** Reports: one HTML file that a browser opens from the disk and that asks nobody for anything, and Markdown beside it. */
import { spawnSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { afterAll, describe, expect, test } from 'vitest'
import { writeReport } from '../../ts/index.ts'
import { CHROMIUM, closeBrowser, NO_CHROMIUM, openPage, untilTrue } from './browser.ts'
import { temporaryFolder } from './run.ts'
import { HOSTILE, writeRun } from './written-run.ts'

const CLI = fileURLToPath(new URL('../../ts/cli/main.ts', import.meta.url))

function writeTwo(): { folder: string; paths: string[] } {
  const folder = temporaryFolder()
  const paths = ['one', 'two'].map((name) => join(folder, name))
  writeRun(paths[0], 300, { poolSize: 32 })
  writeRun(paths[1], 200, { poolSize: 64 })
  return { folder, paths }
}

afterAll(closeBrowser)

describe.skipIf(!CHROMIUM)(`in Chromium${NO_CHROMIUM}`, () => {
  test('the page opens from the disk, shows curves, grids and tables, and makes no request', async () => {
    const { folder, paths } = writeTwo()
    const file = join(folder, 'report.html')
    writeReport(paths, { output: file })
    const page = await openPage(pathToFileURL(file).href)
    await untilTrue(page, "document.querySelectorAll('canvas').length >= 10")
    // First, middle and newest of three; first and newest of two.
    expect(await page.locator('.samples img').count()).toBe(5)
    await untilTrue(page, "[...document.querySelectorAll('.samples img')].every((image) => image.naturalWidth === 1)")
    const text = (await page.locator('main').textContent()) ?? ''
    for (const part of ['finished', '300 of 300', 'assignment.poolSize', 'worker.torch', HOSTILE]) expect(text).toContain(part)
    expect(await page.locator('tr.differs').allTextContents()).toContain('assignment.poolSize3264')
    expect(await page.locator('main script, .events img').count()).toBe(0)
  })

  test('control: a script that is put into the page does not run', async () => {
    const { folder, paths } = writeTwo()
    const file = join(folder, 'report.html')
    const { html } = writeReport([paths[0]])
    writeFileSync(file, html.replace('</body>', '<script>globalThis.planted = true</script></body>'))
    const page = await openPage(pathToFileURL(file).href)
    await untilTrue(page, "document.querySelectorAll('canvas').length > 0")
    expect(await page.evaluate('globalThis.planted')).toBe(undefined)
  })
})

test('immiscible report writes both files; --markdown writes none', () => {
  const { folder, paths } = writeTwo()
  const output = join(folder, 'new', 'page.html')
  const written = spawnSync(process.execPath, [CLI, 'report', ...paths, '--output', output, '--json'], { encoding: 'utf8' })
  expect(JSON.parse(written.stdout)).toEqual({ files: [output, join(folder, 'new', 'page.md')] })
  const markdown = readFileSync(join(folder, 'new', 'page.md'), 'utf8')
  expect(markdown).toContain('| outcome | finished | finished |')
  expect(markdown).toContain('| assignment.poolSize | 32 | 64 |')
  expect(markdown).not.toContain('dataset.kind')
  expect(markdown).not.toMatch(/(?<!\\)<img/)
  const printed = spawnSync(process.execPath, [CLI, 'report', paths[0], '--markdown'], { encoding: 'utf8', cwd: folder })
  expect(printed.stdout).toContain('| dataset.kind | "digits" |')
  const refused = spawnSync(process.execPath, [CLI, 'report', folder], { encoding: 'utf8', cwd: folder })
  expect([refused.status, refused.stderr]).toEqual([2, `immiscible: expected a run folder (one with run.json), got ${folder}\n`])
})
