import { mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { TrainConfig } from '../../../protocol/index.ts'
import { independent } from '../../../ts/assignment/independent.ts'
import { hashModule, loadModule } from '../../../ts/assignment/module.ts'
import { loadStrategy } from '../../../ts/assignment/table.ts'
import { loadDigits } from '../../../ts/dataset/digits.ts'
import { ConfigError } from '../../../ts/errors.ts'
import { plainKernel } from '../../../ts/kernel/plain.ts'
import { openPipeline } from '../../../ts/pipeline/pipeline.ts'
import { createPoolSource } from '../../../ts/pipeline/source.ts'
import { pinFiles } from '../../../ts/pin.ts'
import { isOwnStrategy, prepareStrategy, sectionOf } from '../../../ts/strategy.ts'
import { testConfig } from '../../fixture/config.ts'
import { rm } from 'node:fs/promises'

const OBJECT = new URL('../../fixture/strategy/object.ts', import.meta.url)
const FACTORY = new URL('../../fixture/strategy/factory.ts', import.meta.url)
const digits = loadDigits()
const unlabelled = (({ labels, ...rest }) => ({ ...rest, numClasses: 0 }))(digits)

let folder = ''
beforeAll(() => (folder = mkdtempSync(join(tmpdir(), 'immiscible-module-'))))
afterAll(() => rm(folder, { recursive: true }))

/** A module of this source, under a name that says what it does. */
function write(name: string, source: string): { url: string; options: Record<string, unknown>; sha256: null; path: string } {
  const path = join(folder, name)
  writeFileSync(path, source)
  return { url: pathToFileURL(path).href, options: {}, sha256: null, path }
}

function indexOf(strategy: Awaited<ReturnType<typeof loadModule>>, n: number): number[] {
  const noiseIndex = new Int32Array(n)
  const matrix = { data: new Float32Array(n), rows: n, dims: 1, scale: 1, offset: 0 }
  const pool = { epoch: 0, firstStep: 0, firstSample: 0, sampleIndices: new Int32Array(n), flips: new Uint8Array(n) }
  strategy.assign(pool, matrix, matrix, noiseIndex)
  return [...noiseIndex]
}

const section = (config: TrainConfig) => config.assignment as Extract<TrainConfig['assignment'], { kind: 'module' }>

describe('a module of your own', () => {
  test('exports a strategy, or a function that makes one of its options', async () => {
    expect(indexOf(await loadStrategy(testConfig({ assignment: OBJECT }).assignment), 4)).toEqual([3, 2, 1, 0])
    const rotated = testConfig({ assignment: { kind: 'module', url: FACTORY, options: { by: 3 } } }).assignment
    expect(indexOf(await loadStrategy(rotated), 4)).toEqual([3, 0, 1, 2])
  })

  test('takes the options that any strategy takes', async () => {
    const config = testConfig({ assignment: { kind: 'module', url: OBJECT, startStep: 1 } })
    expect(indexOf(await loadStrategy(config.assignment), 3)).toEqual([0, 1, 2])
    const byLabel = testConfig({ assignment: { kind: 'module', url: OBJECT, within: 'label' } })
    await expect(prepareStrategy(byLabel, unlabelled, undefined)).rejects.toThrow(
      /assignment\.within: expected 'pool', since digits has no labels/,
    )
    await expect(prepareStrategy(byLabel, digits, undefined)).resolves.toBe(undefined)
  })

  test('runs in the preparing threads, as it would here', async () => {
    const config = pinFiles(
      testConfig({ globalBatchSize: 16, assignment: { kind: 'module', url: FACTORY, options: { by: 5 }, poolSize: 32, within: 'label' } }),
    )
    const here = createPoolSource(config, digits, await loadStrategy(config.assignment), plainKernel)
    await using pipeline = openPipeline(config, digits)
    for (const step of [0, 5]) {
      const batch = await pipeline.batch(step)
      expect(batch.tensors).toEqual(here.pool(Math.floor(step / 2))[step % 2].tensors)
      expect(batch.assignment.numMoved).toBeGreaterThan(10)
    }
  })

  test('is the module as it is in the file now: another content is loaded anew', async () => {
    const strategy = (name: string): string =>
      `export default { name: '${name}', candidatesPerImage: 1, assign: (p, x, n, index) => (index.fill(0), {}) }`
    expect((await loadModule(write('changing.ts', strategy('first')))).name).toBe('first')
    expect((await loadModule(write('changing.ts', strategy('second')))).name).toBe('second')
  })
})

describe('a run keeps to the content that it began with', () => {
  const source = `export default { name: 'mine', candidatesPerImage: 1, assign: (p, x, n, index) => (index.fill(0), {}) }\n`

  test('which is noted once, and not again', () => {
    const { url } = write('mine.mjs', source)
    const pinned = pinFiles(testConfig({ assignment: url }))
    expect(section(pinned).sha256).toBe(hashModule(url))
    expect(pinFiles(pinned)).toEqual(pinned)
    const other = testConfig({ assignment: 'linear' })
    expect(pinFiles(other)).toEqual(other)
  })

  test('and refuses another, here and in the threads', async () => {
    const { url, path } = write('mine.mjs', source)
    const pinned = pinFiles(testConfig({ assignment: url }))
    await expect(prepareStrategy(pinned, digits, undefined)).resolves.toBe(undefined)
    write('mine.mjs', `${source}// a harmless comment\n`)
    const message = `${path}: has changed since the run began: expected SHA-256 ${section(pinned).sha256}, got ${hashModule(url)}`
    await expect(prepareStrategy(pinned, digits, undefined)).rejects.toThrow(ConfigError)
    await expect(prepareStrategy(pinned, digits, undefined)).rejects.toThrow(message)
    await using pipeline = openPipeline(pinned, digits)
    await expect(pipeline.batch(0)).rejects.toThrow(message)
  })
})

describe('a module that is none is named, with what it lacks', () => {
  const shape = (more: string): string => `export default { name: 'mine', candidatesPerImage: 1, assign() {}, ${more} }`
  test.each<[string, string, string]>([
    [
      'has no default export',
      'export const strategy = {}',
      'expected a default export (a strategy, or a function of its options), got none',
    ],
    ['throws at load', `throw new Error('not today')`, 'threw while it was loaded: not today'],
    ['does not parse', 'export default {', 'threw while it was loaded: '],
    ['throws when called', `export default () => { throw new RangeError('no k') }`, 'its default export threw: no k'],
    ['exports a class', 'export default class {}', 'its default export threw: '],
    ['answers nothing', 'export default () => undefined', 'default export: expected a strategy, got undefined'],
    ['exports a number', 'export default 7', 'default export: expected a strategy, got 7'],
    ['has no name', shape(`name: ''`), 'name: expected a string that is not empty, got '],
    ['wants half a noise', shape('candidatesPerImage: 0.5'), 'candidatesPerImage: expected an integer of at least 1, got 0.5'],
    ['has an odd sign', shape('noiseSign: 2'), 'noiseSign: expected 1 or -1, got 2'],
    ['has keys that are no function', shape('noiseKeys: []'), 'noiseKeys: expected a function, got Array'],
    ['cannot assign', shape('assign: {}'), 'assign: expected a function, got Object'],
  ])('%s', async (name, source, message) => {
    const module = write(`${name.replaceAll(' ', '-')}.mjs`, source)
    await expect(loadModule(module)).rejects.toMatchObject({ code: 'ASSIGNMENT' })
    await expect(loadModule(module)).rejects.toThrow(`[assignment:module] ${module.path}: ${message}`)
  })

  test('is not there', async () => {
    const path = join(folder, 'nowhere.ts')
    await expect(loadModule({ url: pathToFileURL(path).href, options: {}, sha256: null })).rejects.toThrow(
      `${path}: cannot be read: ENOENT`,
    )
  })
})

describe('an object of your own', () => {
  test('may carry the options that any strategy takes', async () => {
    const own = { ...independent(), name: 'mine', poolSize: 256, within: 'label', startStep: 3 } as const
    expect(isOwnStrategy(own)).toBe(true)
    for (const other of [undefined, 'linear', OBJECT, { kind: 'linear' } as const]) expect(isOwnStrategy(other)).toBe(false)
    const config = testConfig({ assignment: sectionOf(own) })
    expect(config.assignment).toEqual({ kind: 'custom', name: 'mine', poolSize: 256, within: 'label', startStep: 3 })
    await expect(prepareStrategy(config, unlabelled, own)).rejects.toThrow(/has no labels/)
    expect(await prepareStrategy(config, digits, own)).toMatchObject({ name: 'mine', candidatesPerImage: 1 })
  })

  test('may be of a class: options keep its methods and fields', async () => {
    class Mine {
      readonly name = 'mine'
      readonly candidatesPerImage = 1
      readonly #shift = 2n
      noiseKeys(_pool: unknown, keys: BigUint64Array): void {
        keys.forEach((key, row) => (keys[row] = key + this.#shift))
      }
      assign(_pool: unknown, _images: unknown, _noise: unknown, noiseIndex: Int32Array): object {
        noiseIndex.forEach((_, image) => (noiseIndex[image] = noiseIndex.length - 1 - image))
        return {}
      }
    }
    const own = new Mine()
    const plain = testConfig({ globalBatchSize: 8, assignment: sectionOf(own) })
    const later = testConfig({ globalBatchSize: 8, assignment: { kind: 'custom', name: 'mine', startStep: 1 } })
    const batches = async (config: TrainConfig, step: number) => {
      const strategy = await prepareStrategy(config, digits, own)
      return createPoolSource(config, digits, strategy ?? independent(), plainKernel).pool(step)[0].tensors
    }
    expect(await batches(later, 1)).toEqual(await batches(plain, 1))
    expect(await batches(later, 0)).not.toEqual(await batches(plain, 0))
  })
})
