/** Data sets by name: which files, from where, on what terms, and no socket where we are offline. */
import { createHash } from 'node:crypto'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { Command } from 'commander'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { addDataFetch } from '../../../ts/cli/data-fetch.ts'
import { readEnvironment } from '../../../ts/config/environment.ts'
import { CATALOG, type CatalogEntry } from '../../../ts/download/catalog.ts'
import { fetchEntry } from '../../../ts/download/fetch.ts'
import { fetchDataset } from '../../../ts/index.ts'
import { serveFiles, type FileServer } from '../../fixture/file-server.ts'

const CONTENT = { 'a.gz': Buffer.from('some bytes'), 'b.gz': Buffer.from('other bytes') }
const ENTRY: CatalogEntry = {
  base: null,
  files: Object.entries(CONTENT).map(([name, bytes]) => ({
    name,
    checksum: { algorithm: 'md5', digest: createHash('md5').update(bytes).digest('hex') },
  })),
  licence: 'none',
  page: 'https://example.org/',
}

let home: string
let server: FileServer
beforeEach(async () => {
  home = mkdtempSync(join(tmpdir(), 'immiscible-fetch-'))
  vi.stubEnv('IMMISCIBLE_HOME', home)
  vi.stubEnv('IMMISCIBLE_OFFLINE', '')
  vi.stubEnv('HF_HUB_OFFLINE', '')
  server = await serveFiles(Object.fromEntries(Object.entries(CONTENT).map(([name, bytes]) => [`/sets/${name}`, { bytes }])))
})
afterEach(async () => {
  vi.unstubAllEnvs()
  await server[Symbol.asyncDispose]()
  rmSync(home, { recursive: true, force: true })
})

const pathsOf = (name: string, entry: CatalogEntry): string[] => entry.files.map((file) => join(home, 'downloads', name, file.name))

function putByHand(name: string, entry: CatalogEntry, changed?: string): void {
  for (const path of pathsOf(name, entry)) {
    mkdirSync(dirname(path), { recursive: true })
    writeFileSync(path, path.endsWith(changed ?? '-') ? 'no such bytes' : (CONTENT[path.slice(-4) as keyof typeof CONTENT] ?? ''))
  }
}

test('each file goes to the folder of its data set, with or without a slash at the end of the address', async () => {
  for (const [name, url] of [
    ['one', `${server.url}/sets`],
    ['two', `${server.url}/sets/`],
  ]) {
    const files: string[] = []
    const fetched = await fetchEntry(name, ENTRY, { url, onProgress: ({ file }) => files.push(file) })
    expect(fetched).toEqual({ files: pathsOf(name, ENTRY), licence: 'none' })
    expect(fetched.files.map((file) => readFileSync(file, 'utf8'))).toEqual(['some bytes', 'other bytes'])
    expect([...new Set(files)]).toEqual(['a.gz', 'b.gz'])
  }
})

test('a mirror must have the same bytes', async () => {
  server.files.set('/cifar-10-binary.tar.gz', { bytes: Buffer.from('no such archive') })
  const message =
    /cifar-10-binary\.tar\.gz: expected md5 c32a1d4ab5d03f1284b67883e8d87530, got [0-9a-f]{32} \(15 bytes\) from http:.*; nothing was kept$/
  await expect(fetchDataset('cifar10', { url: server.url })).rejects.toThrow(message)
})

test('the catalog is complete', () => {
  expect(Object.keys(CATALOG)).toEqual(['cifar10', 'cifar100', 'celeba', 'mnist', 'fashion-mnist'])
  for (const { base, files, licence, page } of Object.values(CATALOG)) {
    expect(base === null || (URL.canParse(base) && base.endsWith('/'))).toBe(true)
    expect(files.every(({ checksum }) => /^[0-9a-f]{32}$/.test(checksum.digest))).toBe(true)
    expect([licence, page]).toEqual([expect.stringMatching(/./), expect.stringMatching(/^https?:/)])
  }
  const digests = Object.values(CATALOG).flatMap(({ files }) => files.map(({ checksum }) => checksum.digest))
  expect(new Set(digests).size).toBe(digests.length)
})

describe('terms', () => {
  test('are shown, and both they and an address are needed', async () => {
    for (const options of [{}, { url: server.url }, { acceptTerms: true }]) {
      const failure = fetchDataset('celeba', options)
      await expect(failure).rejects.toThrow(/non-commercial research purposes only/)
      await expect(failure).rejects.toThrow(`put them into ${join(home, 'downloads', 'celeba')}`)
    }
    expect(server.connections).toBe(0)
    // Control: with both it is asked for.
    await expect(fetchDataset('celeba', { url: server.url, acceptTerms: true })).rejects.toThrow('img_align_celeba.zip: got 404 Not Found')
    expect(server.connections).toBe(1)
  })

  test('are not asked about where the files are there already, and right', async () => {
    const entry = { ...ENTRY, terms: 'Be good.' }
    await expect(fetchEntry('own', entry, {})).rejects.toThrow('Be good.')
    putByHand('own', entry)
    expect(await fetchEntry('own', entry, {})).toEqual({ files: pathsOf('own', entry), licence: 'none' })
    putByHand('own', entry, 'b.gz')
    await expect(fetchEntry('own', entry, {})).rejects.toThrow(/b\.gz: expected md5 .*, got /)
  })
})

describe('offline, no socket is opened', () => {
  const ways: readonly [string, { offline?: boolean }, Record<string, string>][] = [
    ['by the option', { offline: true }, {}],
    ['by IMMISCIBLE_OFFLINE', {}, { IMMISCIBLE_OFFLINE: '1' }],
    ['by HF_HUB_OFFLINE', { offline: false }, { HF_HUB_OFFLINE: 'YES' }],
  ]
  test.each(ways)('%s', async (_name, options, env) => {
    vi.stubEnv('HF_ENDPOINT', server.url)
    for (const [name, value] of Object.entries(env)) vi.stubEnv(name, value)
    const missing = join(home, 'downloads', 'own', 'a.gz')
    const url = `${server.url}/sets`
    const message = `${missing}: expected the file, got nothing there; offline, so ${url}/a.gz was not asked`
    await expect(fetchEntry('own', ENTRY, { ...options, url })).rejects.toThrow(message)
    await expect(fetchDataset('someone/something', options)).rejects.toThrow('offline, so the Hub was not asked')
    putByHand('own', ENTRY, 'a.gz')
    await expect(fetchEntry('own', ENTRY, { ...options, url })).rejects.toThrow(
      'a.gz: expected the file, got a file with another checksum; offline',
    )
    putByHand('own', ENTRY)
    expect((await fetchEntry('own', ENTRY, { ...options, url })).files).toEqual(pathsOf('own', ENTRY))
    expect(server.connections).toBe(0)
  })

  test.each(['', '0', 'false', 'no'])('control: IMMISCIBLE_OFFLINE=%s asks', async (value) => {
    vi.stubEnv('IMMISCIBLE_OFFLINE', value)
    vi.stubEnv('HF_ENDPOINT', server.url)
    await fetchEntry('own', ENTRY, { url: `${server.url}/sets` })
    expect(server.connections).toBeGreaterThan(0)
    await expect(fetchDataset('someone/something', {})).rejects.toThrow('got 404')
  })

  test('the config knows the variable, and no other like it', () => {
    expect(readEnvironment({ IMMISCIBLE_OFFLINE: '1' }).input).toEqual({})
    expect(() => readEnvironment({ IMMISCIBLE_OFLINE: '1' })).toThrow("did you mean 'IMMISCIBLE_OFFLINE'?")
  })
})

test('a name that is not known, and options that a data set does not have', async () => {
  await expect(fetchDataset('cifar-10')).rejects.toThrow("got 'cifar-10'; did you mean 'cifar10'?")
  await expect(fetchDataset('toString')).rejects.toThrow('expected cifar10, cifar100, celeba, mnist, fashion-mnist or OWNER/NAME')
  await expect(fetchDataset('mnist', { split: 'train' })).rejects.toThrow(
    "mnist: expected no split, which only data sets of the Hub have, got 'train'",
  )
  await expect(fetchDataset('mnist', { url: 'file:///tmp' })).rejects.toThrow('mnist: expected an http or https address')
})

test('what the system refuses is one error of ours, and so is an abort', async () => {
  writeFileSync(join(home, 'downloads'), 'a file, no folder')
  await expect(fetchDataset('mnist', { url: server.url })).rejects.toMatchObject({
    code: 'DATASET',
    message: expect.stringContaining('mnist: ENOTDIR') as string,
  })
  await expect(fetchDataset('mnist', { signal: AbortSignal.abort() })).rejects.toMatchObject({ code: 'ABORTED', message: 'mnist: aborted' })
})

test('the command hands its flags on', async () => {
  const printed: string[] = []
  const data = new Command('data')
  addDataFetch(
    data,
    (text) => printed.push(text),
    () => {},
  )
  const run = (...args: string[]): Promise<Command> => data.parseAsync(['fetch', ...args], { from: 'user' })
  await expect(run('cifar10', '--offline', '--url', server.url)).rejects.toThrow('cifar-10-binary.tar.gz: expected the file, got nothing')
  expect(server.connections).toBe(0)
  await expect(run('celeba', '--url', server.url)).rejects.toThrow('--accept-terms')
  await expect(run('celeba', '--url', server.url, '--accept-terms')).rejects.toThrow('got 404')
  expect([server.connections, printed]).toEqual([1, []])
})
