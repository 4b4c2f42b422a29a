/** docs/concept.svg is what `npm run picture` writes, byte for byte; and what it shows is an assignment: the same images, the same noises, nearer pairs. */
import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, test } from 'vitest'

const ROOT = join(import.meta.dirname, '..', '..', '..')

interface Shown {
  /** 'x,y', in the panel's pixels; row i is a pair. */
  readonly images: readonly string[]
  readonly noises: readonly string[]
  /** Mean length of the lines, pixels. */
  readonly length: number
  /** Under the panel, in standard deviations of the noise. */
  readonly distance: number
}

let folder: string
let committed: string
let written: string
let printed: string

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'immiscible-picture-'))
  const file = join(folder, 'concept.svg')
  const { stdout } = await promisify(execFile)(process.execPath, [join(ROOT, 'ts', 'recipe', 'picture.ts'), file])
  printed = stdout
  written = await readFile(file, 'utf8')
  committed = await readFile(join(ROOT, 'docs', 'concept.svg'), 'utf8')
})
afterAll(() => rm(folder, { recursive: true, force: true }))

test('the committed picture is what the command writes', () => expect(written === committed, 'run `npm run picture`').toBe(true))

test('a panel shows each image and each noise once; the assigned panel the same ones, paired anew', () => {
  const drawn = readPanel(written, 'drawn')
  const assigned = readPanel(written, 'assigned')
  expect(drawn.images.length).toBe(96)
  expect(assigned.images).toEqual(drawn.images)
  expect(new Set(drawn.noises).size).toBe(96)
  expect(assigned.noises.toSorted()).toEqual(drawn.noises.toSorted())
  expect(assigned.noises).not.toEqual(drawn.noises)
})

test('assigned pairs are nearer, by as much as the captions say', () => {
  const drawn = readPanel(written, 'drawn')
  const assigned = readPanel(written, 'assigned')
  expect(assigned.length).toBeLessThan(0.5 * drawn.length)
  // The scale of both panels is one, so that lengths and captions have the same ratio, but for their last digit.
  expect(drawn.length / drawn.distance / (assigned.length / assigned.distance)).toBeCloseTo(1, 1)
})

test('what the command prints stands in the text beside the picture', async () => {
  const text = await readFile(join(ROOT, 'docs', 'concept.md'), 'utf8')
  const lines = printed.split('\n').filter((line) => /distance/.test(line))
  expect(lines.length).toBe(6)
  expect(lines.filter((line) => !text.includes(`    ${line}\n`))).toEqual([])
})

function readPanel(svg: string, id: string): Shown {
  const start = svg.indexOf(`<g id="${id}"`)
  expect(start).toBeGreaterThan(0)
  const panel = svg.slice(start, svg.indexOf('its colour', start))
  const lines = [...panel.matchAll(/<line x1="([^"]+)" y1="([^"]+)" x2="([^"]+)" y2="([^"]+)"/g)].map((match) => match.slice(1, 5))
  const lengths = lines.map((ends) => ends.map(Number)).map(([x1, y1, x2, y2]) => Math.hypot(x2 - x1, y2 - y1))
  return {
    images: lines.map(([x, y]) => `${x},${y}`),
    noises: lines.map(([, , x, y]) => `${x},${y}`),
    length: lengths.reduce((sum, length) => sum + length, 0) / lengths.length,
    distance: Number(/mean distance <[^>]*>([\d.]+)/.exec(panel)?.[1]),
  }
}
