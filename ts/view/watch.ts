/** One run as the server knows it: what events.jsonl says so far, whether somebody is training it, and how to stop that. */
import { createHash } from 'node:crypto'
import { hostname } from 'node:os'
import { basename, join, resolve } from 'node:path'
import { findRunOwner } from '../report/run-folder.ts'
import { addRow, createModel, toRow, type Model, type Other, type Row } from './page/model.mjs'
import { readLines } from './tail.ts'

export interface RunState {
  /** interrupted: nobody is training it, and it has no last word. */
  readonly status: 'waiting' | 'running' | 'finished' | 'stopped' | 'failed' | 'interrupted'
  readonly canStop: boolean
  readonly isStopping: boolean
}

export interface Position {
  readonly identity: string
  readonly offset: number
}

export interface Advance {
  readonly rows: readonly (Row | Other)[]
  /** What was known is void: the file is another one. */
  readonly isNew: boolean
  /** There is more to read. */
  readonly isBehind: boolean
  /** Of the file that is read, 0 to 1. */
  readonly share: number
}

export interface RunWatch {
  /** Names the run in addresses: a hash of its path, so that no path ever comes from a request. */
  readonly key: string
  readonly path: string
  readonly model: Model
  readonly position: Position
  readonly state: RunState
  /** Reads on, about a megabyte at most. */
  advance(): Advance
  /** The rows from there to here; undefined where that is another file, or too far back to send row by row. */
  since(position: Position): readonly (Row | Other)[] | undefined
  /** Asks the process that trains it to save and end. Answers why not, or undefined. */
  stop(): string | undefined
}

/** Bytes of events that are sent row by row to a page that has missed them; a whole picture is smaller than more. */
const MAX_REPLAY_BYTES = 1 << 20

/** @param stopOwn stops the run where this process trains it; else its process gets SIGINT. */
export function watchRun(folder: string, stopOwn?: (path: string) => void): RunWatch {
  const path = resolve(folder)
  const events = join(path, 'events.jsonl')
  let model = createModel()
  let position: Position | undefined
  let isStopping = false

  return {
    key: createHash('sha256').update(path).digest('hex').slice(0, 12),
    path,
    get model() {
      return model
    },
    get position() {
      return position ?? { identity: '0', offset: 0 }
    },
    get state(): RunState {
      if (model.end) return { status: model.end.outcome as RunState['status'], canStop: false, isStopping: false }
      const owner = findRunOwner(path)
      if (!owner) return { status: model.numEvents > 0 ? 'interrupted' : 'waiting', canStop: false, isStopping: false }
      return { status: 'running', canStop: owner.host === hostname() && !isStopping, isStopping }
    },
    advance() {
      const read = readLines(events, position?.offset ?? 0, position?.identity)
      if (!read) return { rows: [], isNew: false, isBehind: false, share: 1 }
      const isNew = position !== undefined && (read.identity !== position.identity || read.offset < position.offset)
      if (isNew) model = createModel()
      position = { identity: read.identity, offset: read.offset }
      const rows = toRows(read.lines)
      for (const row of rows) {
        if (!Array.isArray(row) && row.kind === 'run') isStopping = false
        addRow(model, row)
      }
      return { rows, isNew, isBehind: read.isBehind, share: read.size > 0 ? read.offset / read.size : 1 }
    },
    since({ identity, offset }) {
      const here = position
      if (!here || identity !== here.identity || offset > here.offset || here.offset - offset > MAX_REPLAY_BYTES) return undefined
      const rows: (Row | Other)[] = []
      for (let at = offset; at < here.offset;) {
        const read = readLines(events, at, identity)
        if (!read || read.identity !== identity || read.offset <= at) return undefined
        // What was written meanwhile is not known here yet, and comes with the next advance.
        if (read.offset > here.offset) return undefined
        rows.push(...toRows(read.lines))
        at = read.offset
      }
      return rows
    },
    stop() {
      const owner = findRunOwner(path)
      if (model.end || !owner) return 'nobody is training this run'
      if (owner.host !== hostname()) return `the run is on ${owner.host}`
      // A second SIGINT ends a run at once, unsaved.
      if (isStopping) return 'it was asked to stop before'
      isStopping = true
      if (stopOwn && owner.pid === process.pid) stopOwn(path)
      else process.kill(owner.pid, 'SIGINT')
      return undefined
    },
  }
}

/** Short names, and different ones: as many folders from the end of each path as it takes. */
export function nameRuns(paths: readonly string[]): string[] {
  return paths.map((path) => {
    const parts = path.split(/[/\\]/).filter(Boolean)
    for (let take = 1; take < parts.length; take++) {
      const name = parts.slice(-take).join('/')
      if (paths.every((other) => other === path || !other.endsWith(`/${name}`))) return name
    }
    return basename(path) || path
  })
}

function toRows(lines: readonly string[]): (Row | Other)[] {
  return lines.map(toRowOrNone).filter((row) => row !== undefined)
}

function toRowOrNone(line: string): Row | Other | undefined {
  try {
    return toRow(JSON.parse(line))
  } catch {
    return undefined // cut short by a crash
  }
}
