/** The dashboard's HTTP server: assets, a stream of events for each page, and a few files of each run. Loopback only; nothing without the token. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { isOurHost, isSameOrigin, isToken, SECURITY_HEADERS } from './access.ts'
import { ASSETS } from './assets.ts'
import { createFeed } from './feed.ts'
import { readOfRun } from './files.ts'
import { nameRuns, watchRun } from './watch.ts'

const HOST = '127.0.0.1'

export interface ServerOptions {
  readonly paths: readonly string[]
  readonly token: string
  /** 0: any free one. */
  readonly port: number
  /** Stops a run that this very process trains. */
  readonly stopOwn?: (path: string) => void
}

export interface Server {
  readonly port: number
  /** Sends what is left to send, and ends. */
  close(): Promise<void>
}

/** Listens. Rejects with the system's error where the port is taken. */
export async function startServer({ paths, token, port: wanted, stopOwn }: ServerOptions): Promise<Server> {
  const runs = paths.map((path) => watchRun(path, stopOwn))
  const byKey = new Map(runs.map((run) => [run.key, run]))
  const feed = createFeed(runs, nameRuns(paths))
  let port = wanted

  function answer(request: IncomingMessage, response: ServerResponse): void {
    const [, given = '', ...rest] = (request.url ?? '').split('?')[0].split('/')
    if (!isOurHost(request, port) || !isToken(given, token)) return send(response, 403, 'forbidden\n')
    const path = rest.join('/')
    if (request.method === 'POST') return post(request, response, path)
    if (request.method !== 'GET') return send(response, 405, 'expected GET or POST\n')
    const asset = rest.length > 0 ? ASSETS.get(path) : undefined
    if (asset) return send(response, 200, asset.read(), asset.type)
    if (path === 'events') return feed.add(request, response)
    const [, key = '', what = ''] = /^runs\/([0-9a-f]{12})\/(.*)$/.exec(path) ?? []
    const run = byKey.get(key)
    const found = run && readOfRun(run.path, what)
    return found ? send(response, 200, found.body, found.type) : send(response, 404, 'not found\n')
  }

  function post(request: IncomingMessage, response: ServerResponse, path: string): void {
    if (!isSameOrigin(request)) return send(response, 403, 'forbidden\n')
    const run = byKey.get(/^runs\/([0-9a-f]{12})\/stop$/.exec(path)?.[1] ?? '')
    if (!run) return send(response, 404, 'not found\n')
    const refusal = run.stop()
    feed.tellStates()
    return refusal === undefined ? send(response, 202, 'stopping\n') : send(response, 409, `${refusal}\n`)
  }

  const server = createServer((request, response) => {
    try {
      answer(request, response)
    } catch (error) {
      if (!response.headersSent) send(response, 500, `${(error as Error).message}\n`)
    }
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(wanted, HOST, resolve)
  })
  port = (server.address() as AddressInfo).port
  return {
    port,
    async close() {
      feed.close()
      server.closeIdleConnections()
      await new Promise<void>((resolve) => {
        const force = setTimeout(() => server.closeAllConnections(), 500)
        server.close(() => {
          clearTimeout(force)
          resolve()
        })
      })
    },
  }
}

function send(response: ServerResponse, status: number, body: string | Buffer, type = 'text/plain; charset=utf-8'): void {
  response.writeHead(status, { ...SECURITY_HEADERS, 'content-type': type }).end(body)
}
