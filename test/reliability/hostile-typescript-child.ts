/** The process that hostile-typescript feeds, with little memory: mutated frames and files, each read by the code that reads them in a run. Prints a JSON line. */
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pack, Unpackr } from 'msgpackr'
import { event, PROTOCOL_VERSION, runManifest } from '../../protocol/index.ts'
import { ImmiscibleError } from '../../ts/errors.ts'
import { keepNoise } from '../../ts/pipeline/kept-noise.ts'
import { createRunFolder, openRunFolder, readRunFolder } from '../../ts/report/run-folder.ts'
import { decodeEvent } from '../../ts/worker/codec.ts'
import { makeKeys, readListening } from '../../ts/worker/keys.ts'
import { testConfig } from '../fixture/config.ts'
import { seeded, type Seeded } from './seeded.ts'

export interface Job {
  readonly seed: number
  readonly folder: string
  readonly numFrames: number
  readonly numFiles: number
  readonly hasBombs: boolean
  /** ours, or one with a fault that must be found. */
  readonly decoder: 'ours' | 'believes lengths' | 'lets errors through' | 'checks nothing'
  /** ours, or the table as it lies in the file. */
  readonly tables: 'ours' | 'unchecked'
}

export interface Report {
  readonly numRefused: number
  /** Mutated frames that are some event again: events have no checksum, so what they say is checked against the session. */
  readonly numAccepted: number
  readonly numFilesRefused: number
  readonly numFilesRead: number
  readonly rssMiB: number
  readonly violations: string[]
}

const GOLDEN = new URL('../../protocol/golden/', import.meta.url)
const MAX_SHOWN = 20
const plain = new Unpackr({ useRecords: false, int64AsType: 'number' })

const DECODERS: Readonly<Record<Job['decoder'], (frame: Uint8Array) => unknown>> = {
  ours: decodeEvent,
  'believes lengths': (frame) => {
    if (frame[0] === 0xdd && frame.byteLength >= 5)
      Array.from({ length: new DataView(frame.buffer, frame.byteOffset).getUint32(1) }, () => ({}))
    return decodeEvent(frame)
  },
  'lets errors through': (frame) => event.parse(plain.unpack(frame)),
  'checks nothing': (frame) => {
    try {
      return plain.unpack(frame) as unknown
    } catch {
      throw new ImmiscibleError('PROTOCOL', 'not msgpack')
    }
  },
}

/** One of each event. */
function readCorpus(): Uint8Array[] {
  return readdirSync(GOLDEN)
    .filter((file) => /-valid.*\.json$/.test(file))
    .map((file) => JSON.parse(readFileSync(new URL(file, GOLDEN), 'utf8')) as object)
    .filter((message) => event.safeParse(message).success)
    .map((message) => Uint8Array.from(pack(message)))
}

/** Types, lengths and ends that decoders get wrong. */
const NASTY = [
  0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc1, 0xc4, 0xc6, 0xc7, 0xc9, 0xca, 0xcb, 0xcf, 0xd3, 0xd4, 0xd6, 0xd8, 0xd9, 0xdb, 0xdc, 0xdd, 0xde,
  0xdf, 0xff, 0, 0x72, 0x75,
]

function repeat(length: number, ...bytes: number[]): Uint8Array<ArrayBuffer> {
  return Uint8Array.from({ length }, (_, at) => bytes[at % bytes.length])
}

/** Short messages that claim to be long, and long ones of nothing: up to the megabyte that a frame may have. */
function listBombs(): Uint8Array<ArrayBuffer>[] {
  const mebibyte = 1 << 20
  return [
    ...[0xdd, 0xdf, 0xdb, 0xc6, 0xc9].flatMap((type) =>
      [0xffffffff, 0x7fffffff, 0x01ffffff, 0x000fffff].map((length) =>
        Uint8Array.of(type, length >>> 24, (length >>> 16) & 255, (length >>> 8) & 255, length & 255),
      ),
    ),
    repeat(80, 0xdd, 0x01, 0xff, 0xff, 0xff),
    repeat(mebibyte, 0xdc, 0xff, 0xff),
    repeat(mebibyte, 0xdd, 0x00, 0x0f, 0xff, 0xf0),
    repeat(mebibyte, 0xde, 0xff, 0xff, 0xa0),
    ...[0x91, 0x81, 0x90, 0x80, 0x9f, 0x8f, 0xc0, 0xa0, 0xd4, 0xc7, 0x00].map((byte) => repeat(mebibyte, byte)),
    Uint8Array.from(Buffer.concat([Uint8Array.of(0xdd, 0x00, 0x0f, 0xff, 0xfb), repeat(mebibyte - 5, 0x80)])),
    Uint8Array.from(Buffer.concat([Uint8Array.of(0xdd, 0x00, 0x0f, 0xff, 0xfb), repeat(mebibyte - 5, 0x90)])),
    Uint8Array.from(pack(Object.fromEntries(Array.from({ length: 60_000 }, (_, at) => [`key ${at}`, at])))),
    Uint8Array.from(pack({ kind: 'warning', code: 'X'.repeat(mebibyte - 100), message: '' })),
    // {"__proto__": {"polluted": 1}}, and as a name of another type
    Uint8Array.of(0x81, 0xa9, ...Buffer.from('__proto__'), 0x81, 0xa8, ...Buffer.from('polluted'), 1),
    Uint8Array.of(
      0x81,
      0xab,
      ...Buffer.from('constructor'),
      0x81,
      0xa9,
      ...Buffer.from('prototype'),
      0x81,
      0xa8,
      ...Buffer.from('polluted'),
      1,
    ),
    Uint8Array.of(0x81, 0x91, 0xa9, ...Buffer.from('__proto__'), 1),
  ]
}

function mutate(random: Seeded, corpus: readonly Uint8Array[]): Uint8Array {
  const base = Uint8Array.from(random.pick(corpus))
  const at = random.int(base.byteLength)
  switch (random.int(8)) {
    case 0:
      for (let flips = 1 + random.int(8); flips > 0; flips--) base[random.int(base.byteLength)] ^= 1 << random.int(8)
      return base
    case 1:
      return base.subarray(0, at)
    case 2:
      return Uint8Array.from([...base, ...random.bytes(1 + random.int(40))])
    case 3:
      for (let times = 1 + random.int(4); times > 0; times--) base[random.int(base.byteLength)] = random.pick(NASTY)
      return base
    case 4: {
      const other = random.pick(corpus)
      return Uint8Array.from([...base.subarray(0, at), ...other.subarray(random.int(other.byteLength))])
    }
    case 5:
      base.set(random.bytes(4).subarray(0, base.byteLength - at), at)
      return base
    case 6:
      return Uint8Array.from([...base.subarray(0, at), random.pick(NASTY), 0xff, 0xff, 0xff, 0xff, ...base.subarray(at)])
    default:
      return random.bytes(random.int(200))
  }
}

async function feed({ seed, folder, numFrames, numFiles, hasBombs, decoder, tables }: Job): Promise<Report> {
  const random = seeded(seed)
  const corpus = readCorpus()
  const bombs = hasBombs ? listBombs() : []
  const violations: string[] = []
  const fail = (what: string): void => {
    if (violations.length < MAX_SHOWN) violations.push(what)
  }
  const [decode, before] = [DECODERS[decoder], process.resourceUsage().maxRSS]
  let [numRefused, numAccepted] = [0, 0]
  for (let trial = 0; trial < numFrames; trial++) {
    // Bombs cost a megabyte each: all of them, and then some.
    const frame = trial < bombs.length ? bombs[trial] : hasBombs && trial % 5000 === 0 ? random.pick(bombs) : mutate(random, corpus)
    try {
      const value = decode(frame)
      if (event.safeParse(value).success) numAccepted++
      else fail(`frame ${trial} (${toHex(frame)}): accepted, and is no event`)
    } catch (error) {
      if (error instanceof ImmiscibleError && error.code === 'PROTOCOL' && error.message.length < 1000) numRefused++
      else fail(`frame ${trial} (${toHex(frame)}): ${String(error).slice(0, 200)}`)
    }
  }
  if ('polluted' in {}) fail('Object.prototype has a new property')
  for (const frame of corpus) {
    try {
      decodeEvent(frame)
    } catch (error) {
      fail(`a good frame afterwards: ${String(error)}`)
    }
  }
  const files = await tryFiles(random, folder, numFiles, tables, fail)
  const rssMiB = Math.round((process.resourceUsage().maxRSS - before) / 1024)
  return { numRefused, numAccepted, ...files, rssMiB, violations }
}

/** Run folders, kept noise and keys: damaged, then read by what reads them. */
async function tryFiles(
  random: Seeded,
  folder: string,
  numFiles: number,
  tables: Job['tables'],
  fail: (what: string) => void,
): Promise<{ numFilesRefused: number; numFilesRead: number }> {
  let [numFilesRefused, numFilesRead] = [0, 0]
  const config = testConfig({ outputDir: join(folder, 'run') })
  const manifest = runManifest.parse({
    format: 'immiscible-run/1',
    runId: 'ab'.repeat(16),
    configHash: 'c',
    datasetSha256: 'd',
    protocolVersion: PROTOCOL_VERSION,
    createdAt: '',
  })
  {
    using run = createRunFolder(config, manifest)
    run.takeGeneration()
  }
  const keys = makeKeys(join(folder, 'keys'), 'a')
  const listen = { address: 'tcp://127.0.0.1:1', keyFile: keys.secretFile, clientKeys: [keys.publicFile] }
  const kept = await prepareTable(join(folder, 'kept'))
  const readers: readonly { file: string; read: () => unknown }[] = [
    { file: join(folder, 'run', 'run.json'), read: () => readRunFolder(join(folder, 'run')) },
    { file: join(folder, 'run', 'config.json'), read: () => readRunFolder(join(folder, 'run')) },
    {
      file: join(folder, 'run', 'generation.json'),
      read: () => {
        using run = openRunFolder(config, manifest)
        return run.takeGeneration()
      },
    },
    { file: keys.secretFile, read: () => readListening(listen) },
    { file: keys.publicFile, read: () => readListening(listen) },
    { file: kept.file, read: tables === 'ours' ? kept.read : () => kept.compare(readFileSync(kept.file)) },
  ]
  for (let trial = 0; trial < numFiles; trial++) {
    const { file, read } = readers[trial % readers.length]
    const good = readFileSync(file)
    const bad = trial % 50 === 7 ? Buffer.from('['.repeat(200_000)) : mutate(random, [good])
    writeFileSync(file, bad)
    try {
      await read()
      numFilesRead++
    } catch (error) {
      if (error instanceof ImmiscibleError && ['RUN_FOLDER', 'CONFIG'].includes(error.code)) numFilesRefused++
      else fail(`file ${trial} (${file}, ${bad.byteLength} bytes): ${String(error).slice(0, 300)}`)
    }
    writeFileSync(file, good)
    rmSync(join(folder, 'run', 'lock.json'), { force: true })
  }
  return { numFilesRefused, numFilesRead }
}

/** A table of kept noise, and what must come out of it whatever is in its file. */
async function prepareTable(folder: string): Promise<{ file: string; read: () => Promise<void>; compare: (bytes: Uint8Array) => void }> {
  const layout = { identity: 'a run', numImages: 8, poolsPerEpoch: 1, noisesPerImage: 1, epochsKept: 1, width: 1 }
  const solve = (): ((pool: number) => Promise<string>) =>
    keepNoise(layout, folder, async (_pool, { before, after }) => {
      const keys = [...before]
      after.set(keys.toReversed())
      return keys.join()
    })
  const first = solve()
  await first(0)
  const expected = await first(1)
  const compare = (got: string): void => {
    if (got !== expected) throw new Error(`kept noise: expected ${expected}, got ${got}`)
  }
  return {
    file: join(folder, 'epoch-1.keys'),
    read: async () => compare(await solve()(1)),
    compare: (bytes) => compare([...new BigUint64Array(bytes.slice(32, 32 + 8 * 16).buffer)].join()),
  }
}

function toHex(frame: Uint8Array): string {
  return `${Buffer.from(frame.subarray(0, 60)).toString('hex')}, ${frame.byteLength} bytes`
}

process.stdout.write(`${JSON.stringify(await feed(JSON.parse(process.argv[2] ?? '') as Job))}\n`)
