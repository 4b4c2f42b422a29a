/** Downloading one file from a server that drops, stalls and lies: whole and right, or not there and said why. */
import { createHash } from 'node:crypto'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { downloadFile, type TransferOptions } from '../../../ts/download/download.ts'
import { get, redirectedTo } from '../../../ts/download/request.ts'
import { drop, serveFiles, stall, type FileServer, type ServedFile } from '../../fixture/file-server.ts'

const SIZE = 300_000
const BYTES = Uint8Array.from({ length: SIZE }, (_, at) => (at * 31 + (at >> 8) * 7) % 251)
const FILE: ServedFile = { bytes: BYTES, etag: '"one"' }
const NAME = '/data.bin'
const QUICK: TransferOptions = { retries: 3, backoffMs: 5, stallMs: 300 }

let folder: string
let server: FileServer
beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'immiscible-download-'))
  server = await serveFiles({ [NAME]: FILE })
})
afterEach(async () => {
  await server[Symbol.asyncDispose]()
  rmSync(folder, { recursive: true, force: true })
})

const path = (): string => join(folder, 'sub', 'data.bin')
const md5 = (bytes: Uint8Array): string => createHash('md5').update(bytes).digest('hex')
const ranges = (): (string | undefined)[] => server.requests.map(({ headers }) => headers.range)

async function fetchIt(
  options: TransferOptions = {},
  { bytes, digest = md5(BYTES) }: { bytes?: number; digest?: string } = {},
): Promise<void> {
  const checksum = { algorithm: 'md5' as const, digest }
  await downloadFile(
    { url: new URL(server.url + NAME), path: path(), checksum, ...(bytes !== undefined && { bytes }) },
    { ...QUICK, ...options },
  )
}

function expectWhole(bytes = BYTES): void {
  expect(Buffer.compare(readFileSync(path()), bytes)).toBe(0)
  expect(readdirSync(join(folder, 'sub'))).toEqual(['data.bin'])
}

/** What was left; names of files, without the lock's. */
const left = (): string[] => (existsSync(join(folder, 'sub')) ? readdirSync(join(folder, 'sub')) : [])

/** As a killed process leaves it. */
async function leavePartial(numBytes: number, file = FILE): Promise<void> {
  server.misbehave = (context) => drop(context, file, numBytes, `${path()}.partial`)
  await expect(fetchIt({ retries: 0 })).rejects.toThrow('dropped')
  expect(left()).toEqual(['data.bin.partial', 'data.bin.partial.json'])
  server.misbehave = () => false
  server.requests.length = 0
}

test('a file is brought to its place; what is there is not asked for again', async () => {
  const shown: [number, number | undefined][] = []
  await fetchIt({ onProgress: (...amounts) => shown.push(amounts) })
  expectWhole()
  expect([shown[0], shown.at(-1)]).toEqual([
    [0, SIZE],
    [SIZE, SIZE],
  ])
  expect(shown.map(([bytes]) => bytes)).toEqual(shown.map(([bytes]) => bytes).toSorted((a, b) => a - b))
  await fetchIt()
  expect(server.requests.length).toBe(1)
  // Control: with other bytes in its place it is asked for again, and replaced.
  writeFileSync(path(), 'something else')
  const notices: string[] = []
  await fetchIt({ onNotice: (message) => notices.push(message) })
  expectWhole()
  expect([server.requests.length, notices]).toEqual([2, [expect.stringContaining(`expected md5 ${md5(BYTES)}, got`)]])
})

test('an empty file is a file', async () => {
  server.files.set(NAME, { bytes: new Uint8Array() })
  await fetchIt({}, { digest: md5(new Uint8Array()) })
  expectWhole(new Uint8Array())
})

test('SHA-256 and git checksums are checked as well', async () => {
  const url = new URL(server.url + NAME)
  const sha256 = createHash('sha256').update(BYTES).digest('hex')
  const git = createHash('sha1').update(`blob ${SIZE}\0`).update(BYTES).digest('hex')
  await downloadFile({ url, path: path(), checksum: { algorithm: 'sha256', digest: sha256 } })
  await downloadFile({ url, path: join(folder, 'git'), checksum: { algorithm: 'git', digest: git } })
  const wrong = { algorithm: 'git' as const, digest: createHash('sha1').update(BYTES).digest('hex') }
  await expect(downloadFile({ url, path: join(folder, 'wrong'), checksum: wrong })).rejects.toThrow(
    `expected git ${wrong.digest}, got ${git}`,
  )
})

describe('what can pass is tried again, and goes on where it was', () => {
  test('a dropped connection: no byte is fetched twice', async () => {
    server.misbehave = (context) => context.attempt < 2 && drop(context, FILE, 100_000, `${path()}.partial`)
    const notices: string[] = []
    await fetchIt({ onNotice: (message) => notices.push(message) })
    expectWhole()
    expect(ranges()).toEqual([undefined, 'bytes=100000-', 'bytes=200000-'])
    expect(server.requests.map(({ headers }) => headers['if-range'])).toEqual([undefined, '"one"', '"one"'])
    expect(server.bytesSent).toBe(SIZE)
    expect(notices).toEqual(Array.from({ length: 2 }, () => `${path()}: the connection was dropped: once more in 1 s`))
  })

  test('more drops than retries, each further than the last', async () => {
    server.misbehave = (context) => context.attempt < 9 && drop(context, FILE, 20_000, `${path()}.partial`)
    await fetchIt()
    expectWhole()
    expect(server.requests.length).toBe(10)
  })

  test('control: drops at the same place are given up, and the bytes are kept', async () => {
    server.misbehave = (context) => drop(context, FILE, context.start === 0 ? 50_000 : 0, `${path()}.partial`)
    await expect(fetchIt()).rejects.toThrow(`${path()}: the connection was dropped: given up after 4 attempts`)
    expect(server.requests.length).toBe(4)
    expect(left()).toEqual(['data.bin.partial', 'data.bin.partial.json'])
  })

  test('silence in the middle', async () => {
    server.misbehave = (context) => context.attempt < 1 && stall(context, FILE, 100_000)
    const notices: string[] = []
    await fetchIt({ onNotice: (message) => notices.push(message) })
    expectWhole()
    expect(notices).toEqual([`${path()}: no byte came for 0.3 s: once more in 1 s`])
  })

  test('silence before the first byte, for ever', async () => {
    server.misbehave = () => true
    await expect(fetchIt({ retries: 1 })).rejects.toThrow('no byte came for 0.3 s: given up after 2 attempts')
  })

  test('control: a slow server that always says something is waited for', async () => {
    server.misbehave = ({ response }) => {
      response.writeHead(200, { 'content-length': SIZE })
      const send = (at: number): void => {
        response.write(BYTES.subarray(at, at + 60_000))
        if (at + 60_000 < SIZE) setTimeout(() => send(at + 60_000), 150)
        else response.end()
      }
      send(0)
      return true
    }
    await fetchIt({ retries: 0 })
    expectWhole()
  })

  test.each([500, 502, 503, 408])('status %i', async (status) => {
    server.misbehave = ({ attempt, response }) => attempt < 2 && response.writeHead(status).end() !== undefined
    await fetchIt()
    expectWhole()
    expect(server.requests.length).toBe(3)
  })

  test('429, after as long as the server asks, unless that is very long', async () => {
    let waitFor = '1'
    server.misbehave = ({ attempt, response }) => attempt < 1 && response.writeHead(429, { 'retry-after': waitFor }).end() !== undefined
    const started = performance.now()
    await fetchIt()
    expect(performance.now() - started).toBeGreaterThan(990)
    rmSync(path())
    waitFor = new Date(Date.now() + 3_600_000).toUTCString()
    server.misbehave = ({ response }) => response.writeHead(429, { 'retry-after': waitFor }).end() !== undefined
    await expect(fetchIt()).rejects.toThrow(/got 429 Too Many Requests: the server asks to wait 3[56]\d\d s/)
  })

  test('nobody listens', async () => {
    const probe = createServer()
    const port = await new Promise<number>((resolve) =>
      probe.listen(0, '127.0.0.1', () => resolve((probe.address() as { port: number }).port)),
    )
    await new Promise((resolve) => probe.close(resolve))
    const download = { url: new URL(`http://127.0.0.1:${port}/x`), path: path(), checksum: { algorithm: 'md5' as const, digest: '' } }
    await expect(downloadFile(download, { ...QUICK, retries: 1 })).rejects.toThrow(/ECONNREFUSED.*given up after 2 attempts/)
    expect(left()).toEqual([])
  })
})

describe('what cannot pass is not tried again', () => {
  test.each([404, 403, 410, 400])('status %i', async (status) => {
    server.misbehave = ({ response }) => response.writeHead(status).end() !== undefined
    await expect(fetchIt()).rejects.toThrow(`${server.url + NAME}: got ${status}`)
    expect([server.requests.length, left()]).toEqual([1, []])
  })

  test('something that is no HTTP', async () => {
    const other = createServer((socket) => socket.end('220 FTP\r\n'))
    const port = await new Promise<number>((resolve) =>
      other.listen(0, '127.0.0.1', () => resolve((other.address() as { port: number }).port)),
    )
    await expect(get(new URL(`http://127.0.0.1:${port}/x`), [200], {})).rejects.toThrow(/x: Parse Error/)
    other.close()
  })
})

describe('a lie is found, and nothing of it is kept', () => {
  test('other content of the same length', async () => {
    const lie = BYTES.with(1234, 0)
    server.files.set(NAME, { ...FILE, bytes: lie })
    const message = `${path()}: expected md5 ${md5(BYTES)}, got ${md5(lie)} (${SIZE} bytes) from ${server.url + NAME}; nothing was kept`
    await expect(fetchIt()).rejects.toMatchObject({ code: 'DATASET', message })
    expect([left(), server.requests.length]).toEqual([[], 1])
  })

  test('another length than is known', async () => {
    await expect(fetchIt({}, { bytes: SIZE + 1 })).rejects.toThrow(`expected ${SIZE + 1} bytes, got ${SIZE} from ${server.url + NAME}`)
    await expect(fetchIt({}, { bytes: SIZE - 1 })).rejects.toThrow(`expected ${SIZE - 1} bytes, got ${SIZE} from ${server.url + NAME}`)
    expect([left(), server.bytesSent < 4 * SIZE]).toEqual([[], true])
    await fetchIt({}, { bytes: SIZE })
    expectWhole()
  })

  test('more than is known, without a word about the length', async () => {
    server.misbehave = ({ response }) => {
      response.writeHead(200, { 'transfer-encoding': 'chunked' })
      return response.end(BYTES) !== undefined
    }
    await expect(fetchIt({}, { bytes: SIZE - 1 })).rejects.toThrow(`expected ${SIZE - 1} bytes, got more`)
    expect(left()).toEqual([])
    await fetchIt()
    expectWhole()
  })

  test('less than is known, without a word about the length', async () => {
    server.misbehave = ({ response }) => {
      response.writeHead(200, { 'transfer-encoding': 'chunked' })
      return response.end(BYTES.subarray(0, 1000)) !== undefined
    }
    await expect(fetchIt({}, { bytes: SIZE })).rejects.toThrow(`expected ${SIZE} bytes, got 1000: given up after 4 attempts`)
    expect(existsSync(path())).toBe(false)
  })

  test('less than it says', async () => {
    server.misbehave = (context) => drop(context, FILE, 1000 - context.start, `${path()}.partial`)
    await expect(fetchIt()).rejects.toThrow('the connection was dropped')
    expect(existsSync(path())).toBe(false)
  })

  test('a length that no disk has', async () => {
    server.misbehave = ({ response }) => {
      response.writeHead(200, { 'content-length': 2 ** 52 })
      return response.write(BYTES) !== undefined
    }
    await expect(fetchIt()).rejects.toThrow(`${path()}: expected room for ${2 ** 52} bytes more on its disk, got`)
    expect(left()).toEqual([])
  })
})

test.runIf(existsSync('/dev/full'))('a full disk is said, and is not tried again', async () => {
  await leavePartial(1000)
  rmSync(`${path()}.partial`)
  symlinkSync('/dev/full', `${path()}.partial`)
  await expect(fetchIt()).rejects.toThrow(`${path()}: the disk is full after 0 bytes, which are kept: make room and start again`)
  expect([server.requests.length, left()]).toEqual([1, []])
})

describe('a later start', () => {
  test('goes on where the last was', async () => {
    await leavePartial(120_000)
    await fetchIt()
    expectWhole()
    expect([ranges(), server.bytesSent]).toEqual([['bytes=120000-'], SIZE])
  })

  test.each<[string, Partial<ServedFile>, string | undefined]>([
    ['by the date of a server without ETag', { etag: '', lastModified: 'Tue, 01 Apr 2025 00:00:00 GMT' }, 'Tue, 01 Apr 2025 00:00:00 GMT'],
    ['by the checksum of one without either', { etag: '' }, undefined],
    ['by the checksum of one whose ETag is weak', { etag: 'W/"one"' }, undefined],
  ])('goes on %s', async (_name, changes, condition) => {
    const file = { ...FILE, ...changes }
    server.files.set(NAME, file)
    await leavePartial(120_000, file)
    await fetchIt()
    expectWhole()
    expect(ranges()).toEqual(['bytes=120000-'])
    expect(server.requests[0].headers['if-range']).toBe(condition)
  })

  test('begins again where the server ignores ranges', async () => {
    server.files.set(NAME, { ...FILE, ignoresRange: true })
    await leavePartial(120_000)
    await fetchIt()
    expectWhole()
    expect(server.bytesSent).toBe(SIZE + 120_000)
  })

  test('begins again where the file has changed', async () => {
    await leavePartial(120_000, { bytes: BYTES.toReversed(), etag: '"older"' })
    await fetchIt()
    expectWhole()
    expect(server.requests.map(({ headers }) => headers['if-range'])).toEqual(['"older"'])
  })

  test('begins again where the file has changed and the server does not look at If-Range', async () => {
    server.files.set(NAME, { ...FILE, ignoresIfRange: true })
    await leavePartial(120_000, { bytes: BYTES.toReversed(), etag: '"older"' })
    await fetchIt()
    expectWhole()
    expect(ranges()).toEqual(['bytes=120000-', undefined])
  })

  test('begins again where the server sends another range than asked for', async () => {
    await leavePartial(120_000)
    server.misbehave = ({ attempt, response }) => {
      if (attempt !== 1) return false
      response.writeHead(206, { 'content-range': `bytes 0-${SIZE - 1}/${SIZE}`, 'content-length': SIZE })
      return response.end(BYTES) !== undefined
    }
    await fetchIt()
    expectWhole()
    expect(ranges()).toEqual(['bytes=120000-', undefined])
  })

  test('begins again from another address', async () => {
    await leavePartial(120_000)
    server.files.set('/mirror.bin', FILE)
    await downloadFile(
      { url: new URL(`${server.url}/mirror.bin`), path: path(), checksum: { algorithm: 'md5', digest: md5(BYTES) } },
      QUICK,
    )
    expectWhole()
    expect(ranges()).toEqual([undefined])
  })

  test('begins again where it is not known what was begun', async () => {
    await leavePartial(120_000)
    writeFileSync(`${path()}.partial.json`, '{"url":')
    await fetchIt()
    expectWhole()
    expect(ranges()).toEqual([undefined])
  })

  test('asks for nothing where nothing is missing', async () => {
    await leavePartial(120_000)
    writeFileSync(`${path()}.partial`, BYTES)
    await fetchIt()
    expectWhole()
    expect(server.requests).toEqual([])
  })

  test('is told that nothing is missing (416)', async () => {
    await leavePartial(120_000)
    writeFileSync(`${path()}.partial`, BYTES)
    writeFileSync(`${path()}.partial.json`, JSON.stringify({ url: server.url + NAME, etag: FILE.etag, lastModified: null, total: null }))
    await fetchIt()
    expectWhole()
    expect(ranges()).toEqual([`bytes=${SIZE}-`])
  })

  test('begins again where the file is shorter now (416)', async () => {
    const short = BYTES.subarray(0, 100_000)
    await leavePartial(120_000)
    server.files.set(NAME, { bytes: short, etag: '"two"', ignoresIfRange: true })
    await fetchIt({}, { digest: md5(short) })
    expectWhole(short)
    expect(ranges()).toEqual(['bytes=120000-', undefined])
  })

  test('keeps nothing of a wrong beginning, and is whole the next time', async () => {
    await leavePartial(120_000, { bytes: BYTES.with(5, 0), etag: '"one"' })
    await expect(fetchIt()).rejects.toThrow('nothing was kept')
    await fetchIt()
    expectWhole()
  })
})

describe('redirects', () => {
  const redirect = (to: (at: number) => string): void => {
    server.misbehave = ({ path: asked, response }) => {
      const [, at] = /^\/hop(\d+)$/.exec(asked) ?? (asked === NAME ? [asked, '0'] : [])
      return at !== undefined && response.writeHead(302, { location: to(Number(at) + 1) }).end() !== undefined
    }
    server.files.set('/end', FILE)
  }

  test('five are followed, relative ones too, six are not', async () => {
    redirect((at) => (at < 5 ? `/hop${at}` : `${server.url}/end`))
    await fetchIt()
    expectWhole()
    rmSync(path())
    redirect((at) => (at < 6 ? `/hop${at}` : '/end'))
    await expect(fetchIt()).rejects.toThrow('expected at most 5 redirects, got more')
  })

  test('only to http and https, and never from https to http', async () => {
    redirect(() => 'file:///etc/hostname')
    await expect(fetchIt()).rejects.toThrow('redirect: expected an http or https address, got "file:///etc/hostname"')
    const secure = new URL('https://a.example/x')
    expect(() => redirectedTo(secure, 'http://a.example/x', 'here')).toThrow('here: expected a redirect to https, got http://a.example/x')
    expect(redirectedTo(secure, 'y', 'here').href).toBe('https://a.example/y')
  })

  test('a secret goes to its own origin alone', async () => {
    await using other = await serveFiles({ '/end': FILE })
    const authorization = { origin: server.url, value: 'Bearer secret' }
    redirect((at) => (at < 2 ? `/hop${at}` : `${other.url}/end`))
    await fetchIt({ authorization })
    expect(server.requests.map(({ headers }) => headers.authorization)).toEqual(['Bearer secret', 'Bearer secret'])
    expect(other.requests.map(({ headers }) => headers.authorization)).toEqual([undefined])
  })
})

test('bytes are kept as they are sent, whatever the server calls them', async () => {
  const packed = gzipSync(BYTES)
  server.misbehave = ({ response }) => {
    response.writeHead(200, { 'content-encoding': 'gzip', 'content-length': packed.length })
    return response.end(packed) !== undefined
  }
  await fetchIt({}, { digest: md5(packed) })
  expectWhole(packed)
  expect(server.requests[0].headers['accept-encoding']).toBe('identity')
})

test('a password or a signature in an address is neither said nor stored', async () => {
  server.misbehave = (context) => drop(context, FILE, 1000, `${path()}.partial`)
  const url = new URL(`${server.url.replace('//', '//me:secret@')}${NAME}?signature=secret`)
  const download = { url, path: path(), checksum: { algorithm: 'md5' as const, digest: 'x' } }
  await expect(downloadFile(download, { ...QUICK, retries: 0 })).rejects.toThrow(/^(?!.*secret)/s)
  expect(readFileSync(`${path()}.partial.json`, 'utf8')).not.toContain('secret')
  expect(server.requests[0].headers.authorization).toBe(`Basic ${Buffer.from('me:secret').toString('base64')}`)
})

test('an abort ends it at once, in every phase, and keeps what is there', async () => {
  for (const misbehave of [() => true, (context: Parameters<typeof stall>[0]) => stall(context, FILE, 1000)]) {
    server.misbehave = misbehave
    const controller = new AbortController()
    const started = performance.now()
    setTimeout(() => controller.abort(new Error('enough')), 100)
    await expect(fetchIt({ signal: controller.signal, stallMs: 10_000 })).rejects.toThrow('enough')
    expect(performance.now() - started).toBeLessThan(3000)
  }
  expect(left()).toEqual(['data.bin.partial', 'data.bin.partial.json'])
  // While it waits between two attempts.
  server.misbehave = ({ response }) => response.writeHead(500).end() !== undefined
  await expect(fetchIt({ signal: AbortSignal.timeout(100), backoffMs: 10_000 })).rejects.toThrow(/timeout|aborted/)
  await expect(fetchIt({ signal: AbortSignal.abort(new Error('before')) })).rejects.toThrow('before')
})
