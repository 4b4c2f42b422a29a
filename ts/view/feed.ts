/** What open pages are sent: a picture of each run when they come, then what is new, row by row. Nothing is read while nobody looks. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { SECURITY_HEADERS } from './access.ts'
import type { Model, Other, Row } from './page/model.mjs'
import type { Position, RunWatch } from './watch.ts'

const POLL_MS = 250
const STATE_MS = 1000
/** What a page has not fetched yet; one that is slower gets a picture later. */
const MAX_WAITING_BYTES = 4 << 20

/** One message to a page: which runs there are, or something new of one. */
export type Message =
  | { readonly runs: readonly { readonly key: string; readonly name: string; readonly path: string }[] }
  | {
      readonly key: string
      readonly model?: Model
      readonly rows?: readonly (Row | Other)[]
      readonly state?: RunWatch['state']
      readonly read?: number
    }

export interface Feed {
  /** Answers with server-sent events; one that comes back goes on after its Last-Event-ID. */
  add(request: IncomingMessage, response: ServerResponse): void
  tellStates(): void
  close(): void
}

interface Client {
  readonly response: ServerResponse
  /** Up to where its page knows each run. */
  readonly has: Map<RunWatch, Position>
}

export function createFeed(runs: readonly RunWatch[], names: readonly string[]): Feed {
  const clients = new Set<Client>()
  const told = new Map<RunWatch, string>()
  let timer: NodeJS.Timeout | undefined
  let statesAt = -Infinity

  /** Reads on in every run, and sends what is new; answers whether there is more to read at once. */
  function advance(): boolean {
    let isAnyBehind = false
    for (const run of runs) {
      const before = run.position
      const { rows, isNew, isBehind, share } = run.advance()
      if (isBehind) isAnyBehind = true
      for (const client of clients) {
        if (isBehind) send(client, { key: run.key, read: share })
        // A page that does not fetch what it is sent gets the rest, or a picture, when it has.
        if (isBehind || client.response.writableLength > MAX_WAITING_BYTES) continue
        const has = client.has.get(run)
        if (has && !isNew && isSame(has, run.position)) continue
        const missed = isNew || !has ? undefined : isSame(has, before) ? rows : run.since(has)
        client.has.set(run, run.position)
        send(client, missed ? { key: run.key, rows: missed } : { key: run.key, model: run.model })
      }
    }
    return isAnyBehind
  }

  function tellStates(listeners: Iterable<Client> = clients): void {
    for (const run of runs) {
      const { state } = run
      const text = JSON.stringify(state)
      if (listeners === clients && told.get(run) === text) continue
      if (listeners === clients) told.set(run, text)
      for (const client of listeners) send(client, { key: run.key, state })
    }
  }

  function tick(): void {
    clearTimeout(timer)
    if (clients.size === 0) return
    const isBehind = advance()
    if (!isBehind && performance.now() - statesAt > STATE_MS) {
      statesAt = performance.now()
      tellStates()
    }
    // Between two megabytes others get their answers.
    timer = setTimeout(tick, isBehind ? 0 : POLL_MS)
  }

  return {
    add(request, response) {
      response.writeHead(200, { ...SECURITY_HEADERS, 'content-type': 'text/event-stream' })
      response.write('retry: 1000\n\n')
      const client: Client = { response, has: parseId(String(request.headers['last-event-id'] ?? ''), runs) }
      response.on('close', () => clients.delete(client))
      clients.add(client)
      send(client, { runs: runs.map(({ key, path }, index) => ({ key, name: names[index], path })) })
      tick()
      tellStates([client])
    },
    tellStates: () => tellStates(),
    close() {
      clearTimeout(timer)
      if (clients.size > 0) {
        while (advance());
        tellStates()
      }
      for (const { response } of clients) response.end()
    },
  }
}

/** Its id is what the page then has of every run: a page that comes back says it as Last-Event-ID. */
function send({ response, has }: Client, message: Message): void {
  const id = [...has].map(([{ key }, { identity, offset }]) => `${key}-${identity}-${offset}`).join('.')
  response.write(`id: ${id}\ndata: ${JSON.stringify(message)}\n\n`)
}

function parseId(id: string, runs: readonly RunWatch[]): Map<RunWatch, Position> {
  const positions = new Map<RunWatch, Position>()
  for (const [, key, identity, offset] of id.matchAll(/(?:^|\.)([0-9a-f]{12})-(\d+)-(\d{1,15})(?=\.|$)/g)) {
    const run = runs.find((one) => one.key === key)
    if (run) positions.set(run, { identity, offset: Number(offset) })
  }
  return positions
}

function isSame(a: Position, b: Position): boolean {
  return a.identity === b.identity && a.offset === b.offset
}
