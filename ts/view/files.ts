/** The files of a run that the page shows: its config, the end of its log, its sample grids. */
import { closeSync, fstatSync, openSync, readFileSync, readSync, realpathSync } from 'node:fs'
import { join, sep } from 'node:path'

const LOG_BYTES = 64 << 10

/** What a run's folder has under a name; no part of a path comes from the request but the number of a step. */
export function readOfRun(path: string, what: string): { readonly body: string | Buffer; readonly type: string } | undefined {
  const step = /^samples\/(\d{1,12})\.png$/.exec(what)?.[1]
  try {
    if (step !== undefined) return { body: readFileSync(findSample(path, Number(step))), type: 'image/png' }
    if (what === 'log') return { body: readEnd(join(path, 'worker.log'), LOG_BYTES), type: 'text/plain; charset=utf-8' }
    if (what !== 'about') return undefined
    return { body: JSON.stringify(readAbout(path)), type: 'application/json; charset=utf-8' }
  } catch (error) {
    if (['ENOENT', 'ENOTDIR', 'EACCES', 'EISDIR'].includes((error as NodeJS.ErrnoException).code ?? '')) return undefined
    throw error
  }
}

/** Config and environment, as far as they are there. */
export function readAbout(path: string): { readonly config: unknown; readonly environment: unknown } {
  return { config: readJson(join(path, 'config.json')), environment: readJson(join(path, 'environment.json')) }
}

function readJson(file: string): unknown {
  try {
    return JSON.parse(readFileSync(file, 'utf8'))
  } catch {
    return null // not yet, or being replaced
  }
}

/** The grid drawn at a step, where it is; a link that leads out of the run is none. */
export function findSample(path: string, step: number): string {
  const file = realpathSync(join(path, 'samples', `step-${String(step).padStart(12, '0')}.png`))
  if (!file.startsWith(realpathSync(path) + sep)) throw Object.assign(new Error(`${file} is not in ${path}`), { code: 'ENOENT' })
  return file
}

function readEnd(file: string, numBytes: number): Buffer {
  const descriptor = openSync(file, 'r')
  try {
    const { size } = fstatSync(descriptor)
    const bytes = Buffer.alloc(Math.min(size, numBytes))
    return bytes.subarray(0, readSync(descriptor, bytes, 0, bytes.length, size - bytes.length))
  } finally {
    closeSync(descriptor)
  }
}
