/** `immiscible data` as a user types it: what it prints, where, how wide, and how it ends. */
import { spawn, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import type { DatasetCheck, DatasetDetails, DatasetList, DatasetRemoval } from '../../ts/index.ts'
import { serveFiles, stall } from '../fixture/file-server.ts'
import { runPython } from '../fixture/python.ts'
import { until } from './run.ts'
import { hasTmux, openTerminal, type Terminal } from './terminal.ts'

const CLI = fileURLToPath(new URL('../../ts/cli/main.ts', import.meta.url))

/** Holds the arrays that NumPy wrote, and the cache. */
let folder: string
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'immiscible-data-'))
  await runPython(
    `
from pathlib import Path
folder = Path(args)
rng = np.random.default_rng(0)
images = rng.integers(0, 256, (60, 6, 5, 3), dtype=np.uint8)
np.savez(folder / "colours.npz", images=images, labels=np.arange(60) % 30)
np.save(folder / "latents.npy", rng.normal(0, 1, (9, 4, 2, 2)).astype(np.float32))
np.savez_compressed(folder / "large.npz", images=np.zeros((60_000, 64, 64, 3), np.uint8))
pixels = images.reshape(-1, 3) / 255
(folder / "expected.json").write_text(json.dumps(dict(mean=pixels.mean(0).tolist(), std=pixels.std(0).tolist())))
answer = None
`,
    folder,
  )
  mkdirSync(join(folder, 'folder.png'))
  writeFileSync(join(folder, 'im'), `#!/bin/sh\nexec '${process.execPath}' '${CLI}' "$@"\n`, { mode: 0o755 })
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

function data(...args: string[]): { status: number | null; stdout: string; stderr: string } {
  const env = { ...process.env, IMMISCIBLE_HOME: join(folder, 'home') }
  return spawnSync(process.execPath, [CLI, 'data', ...args], { encoding: 'utf8', cwd: folder, env })
}

function json(...args: string[]): unknown {
  const { status, stdout, stderr } = data(...args, '--json')
  expect(stderr, args.join(' ')).not.toMatch(/^immiscible:/m)
  expect(status).toBe(0)
  return JSON.parse(stdout)
}

/** Takes seconds to decode. */
const LARGE = ['info', '--dataset', 'arrays', '--dataset.path', 'large.npz']
const COLOURS = ['info', '--dataset', 'arrays', '--dataset.path', 'colours.npz']

test('list: every kind, and nothing decoded yet', () => {
  const { kinds, copies } = json('list') as DatasetList
  expect(kinds.map(({ kind }) => kind)).toEqual(expect.arrayContaining(['digits', 'cifar10', 'image-folder', 'arrays', 'custom']))
  const from = Object.fromEntries(kinds.map((kind) => [kind.kind, kind.from]))
  expect(from).toMatchObject({ digits: 'embedded', cifar10: 'fetched', 'image-folder': 'path', arrays: 'path', custom: 'object' })
  expect(kinds.every(({ description }) => description.length > 10)).toBe(true)
  expect(copies).toEqual([])
  const { stdout } = data('list')
  expect(stdout).toMatch(/^digits +1,797 grey 8x8 images of 10 classes, embedded +nothing: it is embedded$/m)
  expect(stdout).toContain(`nothing is decoded yet in ${join(folder, 'home', 'datasets')}`)
})

test('info of an embedded set needs no cache, and writes a sheet', () => {
  const { status, stdout, stderr } = data('info', '--dataset', 'digits', '--sheet', 'digits.png')
  expect(status).toBe(0)
  expect(stdout).toMatch(/^images +1,797$/m)
  expect(stdout).toMatch(/^pixels 0 +0\.3053 +0\.3759 +0\.0000 +1\.0000$/m)
  expect(stdout).toMatch(/^cache +none: it comes with the package$/m)
  expect(stderr).toContain(`sheet ${join(folder, 'digits.png')}`)
  expect(readFileSync(join(folder, 'digits.png')).subarray(1, 4).toString()).toBe('PNG')
  const emoji = json('info', '--dataset', 'emoji') as DatasetDetails
  expect(emoji.classes[6]).toEqual({ name: 'Travel & Places', numImages: 218 })
  expect(existsSync(join(folder, 'home', 'datasets'))).toBe(false)
})

test('info decodes, measures and lists labels; afterwards the copy alone is enough', async () => {
  const { status, stdout, stderr } = data(...COLOURS, '--sheet', 'colours.png', '--images', '9')
  expect(status).toBe(0)
  expect(stderr).toMatch(/^decoding colours {2}60 of 60 {2}100 %$/m)
  expect(stdout).toMatch(/^labels +30 classes$/m)
  expect(stdout).toMatch(/^\.\.\. +11 more$/m)
  const details = json(...COLOURS) as DatasetDetails & { sheet: string | null }
  const expected = JSON.parse(readFileSync(join(folder, 'expected.json'), 'utf8')) as { mean: number[]; std: number[] }
  expect(details).toMatchObject({ name: 'colours', numImages: 60, imageShape: [3, 6, 5], dtype: 'uint8', sheet: null })
  expect(details.classes).toHaveLength(30)
  for (const [channel, { mean, std }] of details.statistics[0].channels.entries()) {
    expect(mean).toBeCloseTo(expected.mean[channel], 12)
    expect(std).toBeCloseTo(expected.std[channel], 12)
  }
  const copy = json('info', 'colours') as DatasetDetails
  expect(copy).toEqual({ ...details, sheet: null })
  const [{ size }] = await runPython<{ size: number[] }[]>(
    'from PIL import Image\nanswer = [dict(size=Image.open(args).size)]',
    join(folder, 'colours.png'),
  )
  expect(size, '3 columns and rows of 80x96').toEqual([3 * 82 + 2, 3 * 98 + 2])
})

test('latents have numbers of their own, and no sheet', () => {
  const latents = ['--dataset', 'arrays', '--dataset.path', 'latents.npy', '--dataset.scaling-factor', '1', '--sheet', 'none.png']
  const { status, stdout, stderr } = data('info', ...latents)
  expect(status).toBe(0)
  expect(stdout).toMatch(/^shape +4x2x2 \(channels, height, width\), float32$/m)
  expect(stdout).toMatch(/^mean 3 +-?\d\.\d{4} +\d\.\d{4} +-\d\.\d{4} +\d\.\d{4}$/m)
  expect(stderr).toContain('no sheet: these are latents')
  expect(existsSync(join(folder, 'none.png'))).toBe(false)
})

test('verify says what was checked; a changed byte is found by its file, with exit code 1, and clean helps', () => {
  const whole = data('verify')
  expect(whole).toMatchObject({ status: 0 })
  expect(whole.stdout).toMatch(/^colours-\w+ +60 +5\.9 kB +whole$/m)
  expect(whole.stdout).toMatch(/^checked \d\.\d kB: each file by its SHA-256, or the checksum that is published; each image by its CRC-32/m)
  const { copies } = json('list') as DatasetList
  const [{ folder: copy, name }] = copies
  const file = join(copy, 'images.bin')
  const bytes = readFileSync(file)
  bytes[17 * 90 + 3] ^= 4
  writeFileSync(file, bytes)
  const damaged = data('verify')
  expect(damaged.status).toBe(1)
  expect(damaged.stdout).toContain(`${file}: image 17: expected the CRC-32`)
  expect(damaged.stderr).toMatch(new RegExp(`^immiscible: not as written: ${name}, which .*data clean ${name}`, 'm'))
  expect(data('verify', 'latents')).toMatchObject({ status: 0 })
  const { status, stdout } = data('verify', name, '--json')
  expect([status, (JSON.parse(stdout) as DatasetCheck[])[0].problems[0].file]).toEqual([1, file])
  expect(data(...COLOURS)).toMatchObject({ status: 1, stderr: expect.stringMatching(/image 17: expected CRC-32/) as string })
  // With its dataset.json.
  expect(data('clean', name).stdout).toMatch(new RegExp(`^removed ${copy} \\((7\\.\\d kB)\\)\nfreed \\1\n$`))
  expect(data(...COLOURS), 'decoded again').toMatchObject({ status: 0 })
})

test('clean removes nothing of which it was not told', () => {
  const list = (): string[] => readdirSync(join(folder, 'home', 'datasets'))
  const before = list()
  expect(before).toHaveLength(2)
  const nothing = data('clean')
  expect([nothing.status, nothing.stdout, list()]).toEqual([0, 'freed 0 bytes\n', before])
  expect(nothing.stderr).toContain('decoded data sets were left')
  expect(json('clean', '--all', '--dry-run') as DatasetRemoval[]).toHaveLength(2)
  expect(list()).toEqual(before)
  for (const args of [['nothing'], ['latents', 'nothing'], ['--all', 'latents']]) {
    expect(data('clean', ...args).status, args.join(' ')).toBe(2)
    expect(list()).toEqual(before)
  }
  expect(json('clean', 'latents') as DatasetRemoval[]).toHaveLength(1)
  expect(list()).toEqual(before.filter((name) => name.startsWith('colours')))
})

test.each<[args: string[], status: number, message: RegExp]>([
  [['info'], 2, /^immiscible: info: expected a data set: name a decoded copy, or give --dataset$/m],
  [['info', 'nothing'], 2, /nothing: expected a decoded data set in/],
  [['info', 'colours', '--dataset', 'digits'], 2, /expected the name of a decoded copy, or flags of a data set, got 'colours' and flags/],
  [['info', '--dataset', 'arrays'], 2, /dataset\.path/],
  [['info', '--dataset', 'arrays', '--dataset.path', 'gone.npz'], 1, /gone\.npz: expected a file or folder, got nothing there/],
  [['info', '--dataset', 'digits', '--images', '0'], 2, /--images: expected at least 1/],
  [
    ['info', '--dataset', 'digits', '--sheet', 'no/where.png'],
    1,
    /no\/where\.png: expected a file for the sheet in a folder, and \S+\/no is none/,
  ],
  [['info', '--dataset', 'digits', '--sheet', 'folder.png'], 1, /folder\.png: expected a file for the sheet, got a folder/],
  [['info', '--dataset', 'digits', '--sheet', 'sheet.jpg'], 1, /sheet\.jpg: expected a name that ends in \.png for the sheet/],
  [['info', '--dataset', 'digits', '--seed', '3'], 2, /unknown option '--seed'/],
  [['verify', 'nothing'], 2, /nothing: expected a decoded data set in/],
  [['fnord'], 2, /unknown command 'fnord'/],
])('data %j exits with its code and one message', (args, status, message) => {
  const said = data(...args)
  expect(said.stderr).toMatch(message)
  expect(said.status).toBe(status)
})

/** Sends the signal as soon as there is something in such a file below the cache; answers how it ended, and what is there then. */
async function interrupt(signal: NodeJS.Signals, file: RegExp, args: readonly string[]) {
  const home = mkdtempSync(join(folder, 'home-'))
  const child = spawn(process.execPath, [CLI, 'data', ...args], { cwd: folder, env: { ...process.env, IMMISCIBLE_HOME: home } })
  onTestFinished(() => void child.kill('SIGKILL'))
  let said = ''
  child.stderr.on('data', (text: Buffer) => (said += text.toString()))
  const files = (): string[] => readdirSync(home, { recursive: true, encoding: 'utf8' })
  await until(`${String(file)}: ${said}`, 20, () =>
    files().some((path) => file.test(path) && (statSync(join(home, path), { throwIfNoEntry: false })?.size ?? 0) > 0),
  )
  child.kill(signal)
  const code = await new Promise((resolve) => child.once('close', resolve))
  return { code, lines: said.trimEnd().split('\n'), left: files() }
}

describe.skipIf(process.platform === 'win32').each(['SIGINT', 'SIGTERM', 'SIGHUP'] as const)('%s', (signal) => {
  test('ends info, and nothing is left', { timeout: 30_000 }, async () => {
    const { code, lines, left } = await interrupt(signal, /\.tmp-[\da-f-]+.images\.bin$/, [...LARGE])
    expect([code, lines.at(-1), left]).toEqual([130, 'immiscible: interrupted', ['datasets']])
  })

  test('ends fetch, and what came is kept for the next time', { timeout: 30_000 }, async () => {
    await using server = await serveFiles({})
    server.misbehave = (context) => stall(context, { bytes: new Uint8Array(1000) }, 100)
    const { code, lines, left } = await interrupt(signal, /\.partial$/, ['fetch', 'cifar10', '--url', server.url])
    expect([code, lines.at(-1)]).toEqual([130, 'immiscible: interrupted'])
    expect(left.filter((path) => /\.lock|\.tmp-/.test(path))).toEqual([])
    expect(left.some((path) => path.endsWith('.partial'))).toBe(true)
  })
})

test('clean tells a build that goes on from what a killed one left', { timeout: 30_000 }, async () => {
  const child = spawn(process.execPath, [CLI, 'data', ...LARGE], {
    cwd: folder,
    env: { ...process.env, IMMISCIBLE_HOME: join(folder, 'home') },
  })
  onTestFinished(() => void child.kill('SIGKILL'))
  const held = await until('a build', 20, () => {
    const { stdout } = data('clean', '--dry-run')
    return /[1-9.]+ \wB so far/.test(stdout) && stdout
  })
  expect(held).toMatch(
    new RegExp(`^left .*\\.tmp-[\\w-]+ \\([\\d.]+ .?B so far\\): process ${child.pid} is building it\nwould free 0 bytes`),
  )
  expect(held).not.toContain('killed')
  child.kill('SIGKILL')
  await new Promise((resolve) => child.once('close', resolve))
  const { stdout } = data('clean')
  expect(stdout).toMatch(
    /^removed \S+\.tmp-[\w-]+ \([\d.]+ .B, left by a killed process\)\nremoved \S+\.lock \(\d+ bytes, left by a killed process\)\nfreed/,
  )
})

let numRun = 0

/** What can be seen of a command once it has ended. */
async function run(terminal: Terminal, line: string): Promise<string[]> {
  const ended = new RegExp(`^ended ${++numRun}: 0$`)
  terminal.type(`clear; ${line}; printf '\\nended ${numRun}: %s\\n' "$?"`)
  terminal.press('Enter')
  await terminal.see(ended)
  // What was wrapped, as one line.
  return terminal.look(true)
}

describe.skipIf(!hasTmux)('in a terminal', () => {
  test.each([40, 80, 200])('of %i columns nothing is cut, and tables do not wrap', { timeout: 60_000 }, async (columns) => {
    const terminal = openTerminal(folder, columns, 200, { IMMISCIBLE_HOME: join(folder, 'home') })
    const list = await run(terminal, './im data list')
    const copy = list.findIndex((line) => /^colours-[\da-f]{16}/.test(line))
    expect(list[copy]).toMatch(columns === 40 ? /^colours-\w{16}$/ : /^colours-\w{16} +60 +3x6x5 +30 +5\.9 kB +20\d\d-\d\d-\d\d$/)
    if (columns === 40) expect(list.slice(copy + 1, copy + 4)).toEqual(['  images 60', '  shape 3x6x5', '  classes 30'])
    expect(list.filter((line) => line.startsWith('digits'))).toHaveLength(1)
    const info = await run(terminal, './im data info --dataset emoji')
    const table = info.findIndex((line) => line.startsWith('pixels 2'))
    expect(info[table]).toMatch(columns === 40 ? /^pixels 2$/ : /^pixels 2 {2}0\.7242 {2}0\.3349 {2}0\.0039 {2}1\.0000$/)
    expect(info.join('\n')).toMatch(columns === 40 ? /^6\n {2}class Travel & Places\n {2}images 218$/m : /^6 +Travel & Places +218$/m)
    expect(info.join('\n')).not.toContain('…')
  })
})
