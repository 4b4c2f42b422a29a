/** The embedded digits: right pixels, right labels, refused when a byte is wrong, and derived by the script that is beside them. */
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { loadDigits } from '../../../ts/dataset/digits.ts'
import { openDataset } from '../../../ts/dataset/table.ts'
import { testConfig } from '../../fixture/config.ts'
import { run } from '../../../ts/process.ts'
import { findEnvironment } from '../../../ts/worker/environment.ts'

const embedded = join(import.meta.dirname, '..', '..', '..', 'ts', 'dataset', 'embedded')
let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'digits-'))
})
afterEach(() => rmSync(folder, { recursive: true }))

test('1,797 grey 8x8 images in ten classes of about 180', () => {
  const digits = loadDigits()
  expect(digits).toMatchObject({ name: 'digits', numImages: 1797, imageShape: [1, 8, 8], numClasses: 10 })
  const counts = Array.from({ length: 10 }, (_, label) => digits.labels?.filter((other) => other === label).length)
  expect(counts).toEqual([178, 182, 177, 183, 181, 182, 181, 179, 174, 180])
})

test('the first image is a zero, with its hole', () => {
  const digits = loadDigits()
  const pixels = new Uint8Array(64)
  digits.read(0, pixels, 0)
  const draw = (row: number): string => Array.from(pixels.subarray(row * 8, row * 8 + 8), (value) => (value > 100 ? '#' : '.')).join('')
  expect(digits.labels?.[0]).toBe(0)
  expect([0, 1, 2, 3, 4, 5, 6, 7].map(draw)).toEqual([
    '...##...',
    '..####..',
    '..#..##.',
    '..#..##.',
    '..#..##.',
    '..#..##.',
    '..#.##..',
    '...##...',
  ])
})

test('an image is written at its offset, and nowhere else', () => {
  const digits = loadDigits()
  const alone = new Uint8Array(64)
  digits.read(1796, alone, 0)
  const out = new Uint8Array(200).fill(7)
  digits.read(1796, out, 100)
  expect(out.subarray(100, 164)).toEqual(alone)
  expect([...out.subarray(0, 100), ...out.subarray(164)].every((value) => value === 7)).toBe(true)
})

test('the digest is of the data: the same at each load, another when the data is another', async () => {
  expect(loadDigits().sha256).toBe((await openDataset(testConfig({ dataset: { kind: 'digits', horizontalFlip: true } }).dataset)).sha256)
  expect(loadDigits().sha256).toMatch(/^[0-9a-f]{64}$/)
})

test('a file with one wrong bit is refused by name, with both hashes', () => {
  cpSync(embedded, folder, { recursive: true })
  const file = join(folder, 'digits.u8.bin')
  const bytes = readFileSync(file)
  bytes[5000] = (bytes[5000] ?? 0) ^ 1
  writeFileSync(file, bytes)
  const load = (): unknown => loadDigits(pathToFileURL(`${folder}/`))
  expect(load).toThrow(expect.objectContaining({ code: 'DATASET' }))
  expect(load).toThrow(/digits\.u8\.bin: expected SHA-256 b41ca9fd[0-9a-f]{56}, got [0-9a-f]{64}/)
})

test('a missing file is an error that names it', () => {
  expect(() => loadDigits(pathToFileURL(`${folder}/`))).toThrow(/digits\.json: cannot be read/)
})

test('the script in the tree derives these very bytes', async () => {
  const environment = await findEnvironment({ extras: ['test'] })
  if (!environment) throw new Error('no Python with the test packages: run npm test, which makes one')
  await run(environment.python, [join(embedded, 'derive-digits.py'), folder], { check: true })
  const derived = readdirSync(folder).toSorted()
  expect(derived).toEqual(['digits.json', 'digits.labels.bin', 'digits.u8.bin'])
  for (const name of derived) expect(readFileSync(join(folder, name)).equals(readFileSync(join(embedded, name))), name).toBe(true)
})
