/** Decoded data sets that were changed are found, each by its file; and what is removed is what was asked for, and nothing that somebody is at. */
import { spawn } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, onTestFinished, test } from 'vitest'
import { cleanDatasets, listDatasets, verifyDatasets, type DatasetCheck } from '../../../ts/data.ts'
import { datasetsFolder } from '../../../ts/dataset/cache/index.ts'
import { openOwn } from '../../../ts/dataset/table.ts'
import { useTemporaryHome } from '../../fixture/home.ts'

const home = useTemporaryHome()

const NUM_IMAGES = 20

/** Answers its folder. */
async function store(name: string): Promise<string> {
  const images = Array.from({ length: NUM_IMAGES }, (_, index) => ({
    pixels: Uint8Array.from({ length: 6 }, (_value, at) => index * 6 + at),
    label: index % 3,
  }))
  await openOwn({ name, imageShape: [1, 2, 3], numClasses: 3, images })
  const copy = listDatasets().copies.find(({ contents }) => contents?.name === name)
  if (!copy) throw new Error(`${name} was not stored`)
  return copy.folder
}

async function verify(names?: readonly string[]): Promise<DatasetCheck[]> {
  const checks: DatasetCheck[] = []
  for await (const check of verifyDatasets(names)) checks.push(check)
  return checks
}

function change(file: string, at: number): void {
  const bytes = readFileSync(file)
  bytes[at] ^= 1
  writeFileSync(file, bytes)
}

const edit = (folder: string, from: RegExp, to: string): void => {
  const file = join(folder, 'dataset.json')
  writeFileSync(file, readFileSync(file, 'utf8').replace(from, to))
}

test.each<[what: string, damage: (folder: string) => void, file: string, message: RegExp]>([
  ['a bit of an image', (folder) => change(join(folder, 'images.bin'), 7 * 6 + 2), 'images.bin', /^image 7: expected the CRC-32/],
  ['a bit of a label', (folder) => change(join(folder, 'labels.bin'), 0), 'labels.bin', /^expected SHA-256 \w+, got/],
  [
    'a label of no class',
    (folder) => change(join(folder, 'labels.bin'), 3),
    'labels.bin',
    /^image 0: expected a label of 3 classes, got 16777216/,
  ],
  ['a bit of the table', (folder) => change(join(folder, 'crc32.bin'), 5), 'crc32.bin', /^expected SHA-256/],
  ['the last byte gone', (folder) => truncateSync(join(folder, 'images.bin'), 119), 'images.bin', /^expected 120 bytes, got 119/],
  ['no labels', (folder) => rmSync(join(folder, 'labels.bin')), 'labels.bin', /^expected 80 bytes, got no file/],
  [
    'a folder for a file',
    (folder) => (rmSync(join(folder, 'images.bin')), mkdirSync(join(folder, 'images.bin'))),
    'images.bin',
    /^cannot be read: EISDIR/,
  ],
  ['height and width', (folder) => edit(folder, /\b2,(\s+)3\b/, '3,$12'), 'dataset.json', /^expected SHA-256 \w+ of shape/],
  [
    'the number of images',
    (folder) => edit(folder, /"numImages": 20/, '"numImages": 19'),
    'dataset.json',
    /^images.bin: expected 114 bytes for 19/,
  ],
  ['no JSON', (folder) => writeFileSync(join(folder, 'dataset.json'), '{'), 'dataset.json', /expected the record of a decoded data set/],
])('%s: found, by the name of the file', async (_, damage, file, message) => {
  const [damaged, whole] = [await store('one'), await store('two')]
  expect(
    (await verify()).map(({ problems }) => problems),
    'control: nothing has changed',
  ).toEqual([[], []])
  damage(damaged)
  const [one, two] = await verify()
  expect(
    one.problems.some((problem) => problem.file === join(damaged, file) && message.test(problem.message)),
    JSON.stringify(one),
  ).toBe(true)
  expect(one.problems.every((problem) => problem.file === join(damaged, file))).toBe(true)
  expect(two).toMatchObject({ folder: whole, numImages: NUM_IMAGES, bytes: NUM_IMAGES * (6 + 4 + 4), problems: [] })
})

test('one is named by its folder, its path or its data set; what is none is said, and nothing is removed', async () => {
  const [one, two] = [await store('one'), await store('two')]
  for (const names of [['one'], [one], [join(one, '.')], [one.slice(datasetsFolder().length + 1)]]) {
    expect((await verify(names)).map(({ folder }) => folder)).toEqual([one])
  }
  await expect(verify(['three'])).rejects.toThrow(/three: expected a decoded data set in .*, got nothing of that name/)
  for (const names of [['one', 'three'], [home()], [datasetsFolder()], ['..'], ['.'], ['']]) {
    expect(() => cleanDatasets(names)).toThrow('got nothing of that name')
  }
  expect([one, two].every((folder) => existsSync(folder))).toBe(true)
})

/** All paths below the cache. */
const everything = (): string[] => readdirSync(home(), { recursive: true, encoding: 'utf8' }).toSorted()

test('clean removes what it was told, and frees what it says', async () => {
  const [one, two] = [await store('one'), await store('two')]
  writeFileSync(join(datasetsFolder(), 'notes.txt'), 'mine')
  for (const folder of ['folder', 'folder.tmp-mine', '.tmp-']) mkdirSync(join(datasetsFolder(), folder))
  mkdirSync(join(home(), 'python'))
  const before = everything()
  expect(cleanDatasets([])).toEqual([])
  expect(cleanDatasets(['one'], { isDryRun: true })).toEqual([
    { name: one.slice(datasetsFolder().length + 1), folder: one, kind: 'copy', bytes: sizeOf(one), heldBy: null },
  ])
  expect(everything()).toEqual(before)
  cleanDatasets(['one'])
  const isOf = (folder: string) => (path: string) => !join(home(), path).startsWith(folder)
  expect(everything()).toEqual(before.filter(isOf(one)))
  cleanDatasets('all')
  expect(everything()).toEqual(before.filter(isOf(one)).filter(isOf(two)))
})

const sizeOf = (folder: string): number => readdirSync(folder).reduce((sum, name) => sum + readFileSync(join(folder, name)).length, 0)

test('a damaged one can be removed; of one that is elsewhere the link alone', async () => {
  const [one, two] = [await store('one'), await store('two')]
  writeFileSync(join(one, 'dataset.json'), '{')
  const name = one.slice(datasetsFolder().length + 1)
  const [{ file, message }] = (await verify([name]))[0].problems
  expect([file, message]).toEqual([join(one, 'dataset.json'), expect.stringMatching(/^expected the record of a decoded data set; remove/)])
  expect(() => cleanDatasets(['one'])).toThrow(`; damaged ones go by the names of their folders: ${name}`)
  const elsewhere = join(home(), 'elsewhere')
  renameSync(two, elsewhere)
  symlinkSync(elsewhere, two)
  expect((await verify(['two'])).map(({ problems }) => problems)).toEqual([[]])
  expect(cleanDatasets('all').map(({ folder, bytes }) => [folder, bytes > 0])).toEqual([
    [one, true],
    [two, false],
  ])
  expect(readdirSync(datasetsFolder())).toEqual([])
  expect(readdirSync(elsewhere)).toHaveLength(4)
})

test.each(['source', 'own'])('what is being built is left; what its builder leaves when it is killed is removed: %s', async (kind) => {
  const one = await store('one')
  const script = fileURLToPath(new URL('../../fixture/endless-decoding.ts', import.meta.url))
  const child = spawn(process.execPath, [script, kind], { env: process.env, stdio: ['ignore', 'pipe', 'inherit'] })
  const ended = new Promise((resolve) => child.once('exit', resolve))
  onTestFinished(() => void child.kill('SIGKILL'))
  await new Promise((resolve) => child.stdout.once('data', resolve))
  for (const isDryRun of [true, false]) {
    const [left, ...others] = cleanDatasets([], { isDryRun })
    expect(left).toMatchObject({ kind: 'leftover', heldBy: child.pid })
    expect([existsSync(left.folder), others]).toEqual([true, []])
  }
  child.kill('SIGKILL')
  await ended
  const notOurs = join(datasetsFolder(), 'mine.lock')
  mkdirSync(notOurs)
  const removals = cleanDatasets([], { isDryRun: true })
  expect(removals.every(({ heldBy, bytes }) => heldBy === null && bytes > 0)).toBe(true)
  expect(removals.map(({ name }) => name.replace(/(?<=-)[\da-f][\da-f-]{15,}/g, 'X'))).toEqual(
    kind === 'source' ? ['numbers-X.tmp-X', 'numbers-X.lock'] : ['custom-numbers-.tmp-X'],
  )
  expect(cleanDatasets([])).toEqual(removals)
  expect(readdirSync(datasetsFolder()).map((name) => join(datasetsFolder(), name))).toEqual([one, notOurs].toSorted())
  expect(existsSync(one)).toBe(true)
})
