/** Runs on a data set of the caller's: exact over SIGKILL and resume, from memory and from its file; stopped while it is decoded. */
import { readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { resumeImmiscible, trainImmiscible, type OwnDataset, type OwnImage } from '../../ts/index.ts'
import { eventsOf, readEvents, temporaryFolder, TINY } from './run.ts'

const SECONDS = 1000
const COMMON = { ...TINY, checkpoint: { everySteps: 8 }, maxTrainSteps: 24, tracking: { reportTo: [] } }
const AUGMENTATION = { horizontalFlip: true, randomCropPadding: 2, paddingMode: 'reflect' } as const

let home: string
beforeEach(() => {
  home = temporaryFolder()
  vi.stubEnv('IMMISCIBLE_HOME', home)
})
afterEach(() => vi.unstubAllEnvs())

function own(images: AsyncIterable<OwnImage> | Iterable<OwnImage> = drawn(96)): OwnDataset {
  return { name: 'own', imageShape: [1, 8, 8], numClasses: 4, images, ...AUGMENTATION }
}

function* drawn(count: number): Generator<OwnImage> {
  for (let index = 0; index < count; index++) {
    yield { pixels: Uint8Array.from({ length: 64 }, (_, at) => (index * 37 + at * 3) % 256), label: index % 4 }
  }
}

test('straight, killed, and resumed without the object: the same batches and the same state', { timeout: 180 * SECONDS }, async () => {
  const folder = temporaryFolder()
  const straight = await trainImmiscible({ ...COMMON, dataset: own(), outputDir: join(folder, 'straight') })

  const fromFile = trainImmiscible({ ...COMMON, dataset: own(), pipeline: { datasetBytes: 0 }, outputDir: join(folder, 'killed') })
  let pid: number | null = null
  let isKilled = false
  for await (const event of fromFile) {
    if (event.kind === 'worker' && event.state === 'ready') pid = event.pid
    if (event.kind === 'step' && event.step === 11 && !isKilled) isKilled = process.kill(pid as number, 'SIGKILL')
  }
  expect(isKilled).toBe(true)
  expect((await fromFile).stateSha256).toBe(straight.stateSha256)

  await trainImmiscible({ ...COMMON, dataset: own(), maxTrainSteps: 10, outputDir: join(folder, 'resumed') })
  const resumed = await resumeImmiscible(join(folder, 'resumed'), { maxTrainSteps: 24 })
  expect(resumed.stateSha256).toBe(straight.stateSha256)

  const batchesOf = (name: string): string[] => [
    ...new Set(eventsOf(readEvents(join(folder, name)), 'step').map(({ step, batchSha256 }) => `${step} ${batchSha256}`)),
  ]
  expect(batchesOf('killed')).toEqual(batchesOf('straight'))
  expect(batchesOf('resumed')).toEqual(batchesOf('straight'))
  expect(new Set(batchesOf('straight')).size).toBe(24)

  // Without its cache the run needs the object again, and takes no other.
  rmSync(join(home, 'datasets'), { recursive: true })
  await expect(resumeImmiscible(join(folder, 'resumed'), { maxTrainSteps: 25 })).rejects.toThrow("the data set 'own' is not in the cache")
  const options = { maxTrainSteps: 25 }
  await expect(resumeImmiscible(join(folder, 'resumed'), { ...options, dataset: own(drawn(95)) })).rejects.toThrow(
    'has changed since the run began',
  )
  await expect(resumeImmiscible(join(folder, 'resumed'), { ...options, dataset: own() })).resolves.toMatchObject({ step: 25 })
})

test('a run that is stopped while its data set is decoded ends at once and leaves nothing', async () => {
  async function* endless(): AsyncGenerator<OwnImage> {
    for (;;) {
      yield* drawn(1)
      await sleep(5)
    }
  }
  const outputDir = join(temporaryFolder(), 'run')
  let shown = 0
  const run = trainImmiscible(
    { ...COMMON, dataset: own(endless()), outputDir },
    {
      onDataset({ name, numImages, total }) {
        expect([name, total]).toEqual(['own', undefined])
        shown = numImages
        if (numImages === 3) run.stop()
      },
    },
  )
  await expect(run).rejects.toMatchObject({ code: 'ABORTED', message: 'aborted before it began' })
  expect(shown).toBeLessThan(6)
  expect(readdirSync(join(home, 'datasets'))).toEqual([])
  expect(() => readdirSync(outputDir)).toThrow('ENOENT')
})

test(
  'a run goes on from its decoded copy where the files have moved, and says so; without the copy it does not',
  { timeout: 120 * SECONDS },
  async () => {
    const folder = temporaryFolder()
    const path = join(folder, 'data.npy')
    // npy 1.0: 24 gray images of 8x8.
    const header = "{'descr': '|u1', 'fortran_order': False, 'shape': (24, 8, 8), }".padEnd(117) + '\n'
    const length = Buffer.from([header.length % 256, header.length >> 8])
    const pixels = Uint8Array.from({ length: 24 * 64 }, (_, at) => (at * 7) % 256)
    writeFileSync(path, Buffer.concat([Buffer.from('\x93NUMPY\x01\x00', 'latin1'), length, Buffer.from(header), pixels]))
    const outputDir = join(folder, 'run')
    await trainImmiscible({ ...COMMON, dataset: { kind: 'arrays', path }, maxTrainSteps: 2, outputDir })
    renameSync(path, join(folder, 'moved.npy'))
    const said: string[] = []
    const resumed = await resumeImmiscible(outputDir, { maxTrainSteps: 3, onSetup: (line) => said.push(line) })
    expect(resumed).toMatchObject({ step: 3, outcome: 'finished' })
    expect(said.filter((line) => line.includes('going on with the decoded copy in'))).toHaveLength(1)
    rmSync(join(home, 'datasets'), { recursive: true })
    await expect(resumeImmiscible(outputDir, { maxTrainSteps: 4 })).rejects.toThrow(`${path}: expected a file or folder, got nothing there`)
  },
)
