/** How long a data set of 50,000 images takes to open: the first time, when it is decoded, and the second. Part of `npm run bench:decode`. */
import { execFileSync } from 'node:child_process'
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import type { TrainConfigInput } from '../../protocol/index.ts'
import { drawSheet } from '../../ts/dataset/image/sheet.ts'
import { datasetOf } from '../../ts/dataset/stored.ts'
import { openDataset } from '../../ts/dataset/table.ts'
import { testConfig } from '../fixture/config.ts'

const NUM_IMAGES = 50_000
const SIDE = 32
const PER_FOLDER = 5000

type Section = Exclude<TrainConfigInput['dataset'], string>

/** One process, as a run is: seconds from its first line to the data set. */
async function timeOpen(section: Section): Promise<number> {
  const start = performance.now()
  const { numImages } = await openDataset(testConfig({ dataset: section }).dataset)
  if (numImages !== NUM_IMAGES) throw new Error(`expected ${NUM_IMAGES} images, got ${numImages}`)
  return (performance.now() - start) / 1000
}

function writeArray(path: string): void {
  const header = `{'descr': '|u1', 'fortran_order': False, 'shape': (${NUM_IMAGES}, ${SIDE}, ${SIDE}, 3), }`.padEnd(117) + '\n'
  const prefix = Buffer.concat([Buffer.from('\x93NUMPY\x01\x00', 'latin1'), Buffer.from([header.length, 0]), Buffer.from(header)])
  const pixels = new Uint8Array(NUM_IMAGES * SIDE * SIDE * 3)
  for (let at = 0; at < pixels.length; at++) pixels[at] = (at * 2_654_435_761) >>> 24
  writeFileSync(path, Buffer.concat([prefix, pixels]))
}

/** The same small image again and again: the system has a file for each, which is what counts. */
async function writeFolder(path: string): Promise<void> {
  const one = datasetOf(
    'one',
    [1, 3, SIDE, SIDE],
    Uint8Array.from({ length: 3 * SIDE * SIDE }, (_, at) => (at * 37) % 256),
  )
  for (let index = 0; index < NUM_IMAGES; index++) {
    const folder = join(path, `class${Math.floor(index / PER_FOLDER)}`)
    if (index % PER_FOLDER === 0) mkdirSync(folder, { recursive: true })
    const file = join(folder, `${index}.png`)
    if (index === 0) writeFileSync(file, await drawSheet(one, 1))
    else copyFileSync(join(path, 'class0', '0.png'), file)
  }
}

const { values } = parseArgs({ options: { open: { type: 'string' } } })
if (values.open !== undefined) process.stdout.write(String(await timeOpen(JSON.parse(values.open) as Section)))
else {
  const parent = mkdtempSync(join(tmpdir(), 'immiscible-bench-'))
  try {
    const env = { ...process.env, IMMISCIBLE_HOME: join(parent, 'home') }
    const [array, folder] = [join(parent, 'images.npy'), join(parent, 'images')]
    writeArray(array)
    await writeFolder(folder)
    const sections: readonly [string, Section][] = [
      ['an array of 154 MB', { kind: 'arrays', path: array }],
      ['a folder of 50,000 PNG files', { kind: 'image-folder', path: folder, resolution: SIDE }],
    ]
    console.log('| 50,000 images of 32x32x3 | first start, s | second, s |\n|---|---|---|')
    for (const [what, section] of sections) {
      const seconds = [0, 1, 2, 3].map(() =>
        Number(execFileSync(process.execPath, [import.meta.filename, '--open', JSON.stringify(section)], { env, encoding: 'utf8' })),
      )
      const [first, ...again] = seconds
      console.log(`| ${what} | ${first.toFixed(2)} | ${again.toSorted((a, b) => a - b)[1].toFixed(2)} |`)
    }
  } finally {
    rmSync(parent, { recursive: true })
  }
}
