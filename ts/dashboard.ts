/** serveDashboard(): a local page that shows runs while they train and after. */
import { resolve } from 'node:path'
import { Worker } from 'node:worker_threads'
import { ConfigError, ImmiscibleError } from './errors.ts'
import { makeToken } from './view/access.ts'
import type { ThreadData, ThreadMessage } from './view/thread.ts'
import { cacheFolder } from './cache-folder.ts'

export interface DashboardOptions {
  /** Of 127.0.0.1. Without one it is 7077, or any free port where that is taken. */
  readonly port?: number
  /** Stops a run that this process trains, when somebody asks for it on the page. Without it such a run gets what every other gets: SIGINT to its process. */
  readonly onStop?: (runFolder: string) => void
}

export interface Dashboard {
  /** With the token that opens it; the same after a restart with the same runs and port. */
  readonly url: string
  readonly port: number
  close(): Promise<void>
  [Symbol.asyncDispose](): Promise<void>
}

const DEFAULT_PORT = 7077
const THREAD = new URL(`./view/thread.${import.meta.url.endsWith('.ts') ? 'ts' : 'js'}`, import.meta.url)

/**
 * Serves a page about these run folders on 127.0.0.1, in a thread of its own. A folder may appear later, and a run may be another process's.
 * The thread does not keep the process alive.
 * @throws ConfigError without a run, or with a port that is taken.
 */
export async function serveDashboard(runFolders: readonly string[], { port, onStop }: DashboardOptions = {}): Promise<Dashboard> {
  const paths = [...new Set(runFolders.map((folder) => resolve(folder)))]
  if (paths.length === 0) throw new ConfigError([{ path: 'runFolders', message: 'expected at least one run folder, got none' }])
  if (port !== undefined && !(Number.isInteger(port) && port >= 0 && port < 65_536)) {
    throw new ConfigError([{ path: 'port', message: `expected a port, 0 to 65535, got ${port}` }])
  }
  const token = makeToken(cacheFolder(), paths)
  const begin = async (wanted: number): Promise<Dashboard> =>
    startThread({ paths, token, port: wanted, isOwner: onStop !== undefined }, onStop)
  if (port !== undefined) return begin(port)
  try {
    return await begin(DEFAULT_PORT)
  } catch (error) {
    if (error instanceof ConfigError) return begin(0)
    throw error
  }
}

async function startThread(data: ThreadData, onStop: DashboardOptions['onStop']): Promise<Dashboard> {
  const thread = new Worker(THREAD, { workerData: data })
  const exited = new Promise<void>((done) => thread.once('exit', () => done()))
  const port = await new Promise<number>((done, fail) => {
    thread.on('error', (cause) => fail(new ImmiscibleError('ENVIRONMENT', `the dashboard's thread died: ${cause.message}`, { cause })))
    thread.on('message', (message: ThreadMessage) => {
      if ('port' in message) return done(message.port)
      if ('stop' in message) return onStop?.(message.stop)
      const taken = `expected a free port, got ${data.port}: ${message.failure}`
      return fail(
        message.code === 'EADDRINUSE' || message.code === 'EACCES'
          ? new ConfigError([{ path: 'port', message: taken }])
          : new ImmiscibleError('ENVIRONMENT', message.failure),
      )
    })
  })
  thread.unref()
  const close = async (): Promise<void> => {
    thread.postMessage('close')
    thread.ref()
    await exited
  }
  return { url: `http://127.0.0.1:${port}/${data.token}/`, port, close, [Symbol.asyncDispose]: close }
}
