/** Downloads by processes that are killed, and by several at once. */
import { spawn, type ChildProcessByStdio } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { serveFiles, stall, type FileServer, type ServedFile } from '../../fixture/file-server.ts'

const SIZE = 2_000_000
const BYTES = Uint8Array.from({ length: SIZE }, (_, at) => (at * 31 + (at >> 8) * 7) % 251)
const FILE: ServedFile = { bytes: BYTES, etag: '"one"' }
const DIGEST = createHash('md5').update(BYTES).digest('hex')
const SCRIPT = fileURLToPath(new URL('../../fixture/downloading.ts', import.meta.url))

let folder: string
let server: FileServer
beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'immiscible-download-'))
  server = await serveFiles({ '/data.bin': FILE })
})
afterEach(async () => {
  await server[Symbol.asyncDispose]()
  rmSync(folder, { recursive: true, force: true })
})

const path = (): string => join(folder, 'data.bin')

function start(): ChildProcessByStdio<null, Readable, null> {
  return spawn(process.execPath, [SCRIPT, `${server.url}/data.bin`, path(), DIGEST], { stdio: ['ignore', 'pipe', 'inherit'] })
}

function ended(child: ChildProcessByStdio<null, Readable, null>): Promise<number | null> {
  return new Promise((resolve) => child.once('exit', resolve))
}

test('a process that is killed in the middle: the next one goes on, and no byte is fetched twice', async () => {
  server.misbehave = (context) => context.attempt < 1 && stall(context, FILE, 700_000)
  const child = start()
  await new Promise((resolve) => child.stdout.once('data', resolve))
  while (statSync(`${path()}.partial`).size < 700_000) await new Promise((resolve) => setTimeout(resolve, 5))
  child.kill('SIGKILL')
  await ended(child)
  expect(readdirSync(folder).toSorted()).toEqual(['data.bin.lock', 'data.bin.partial', 'data.bin.partial.json'])
  expect(await ended(start())).toBe(0)
  expect(Buffer.compare(readFileSync(path()), BYTES)).toBe(0)
  expect(readdirSync(folder)).toEqual(['data.bin'])
  expect(server.requests.map(({ headers }) => headers.range)).toEqual([undefined, 'bytes=700000-'])
  expect(server.bytesSent).toBe(SIZE)
})

test('two processes at once: one downloads, the other waits and finds it', async () => {
  // Slow enough for both to be there.
  server.misbehave = ({ response }) => {
    response.writeHead(200, { 'content-length': SIZE })
    const send = (at: number): void => {
      response.write(BYTES.subarray(at, at + 100_000))
      if (at + 100_000 < SIZE) setTimeout(() => send(at + 100_000), 50)
      else response.end()
    }
    send(0)
    return true
  }
  const children = [start(), start()]
  expect(await Promise.all(children.map(ended))).toEqual([0, 0])
  expect(Buffer.compare(readFileSync(path()), BYTES)).toBe(0)
  expect([server.requests.length, server.bytesSent, readdirSync(folder)]).toEqual([1, SIZE, ['data.bin']])
})
