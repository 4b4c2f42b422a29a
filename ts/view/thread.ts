/** The dashboard's thread: the server, apart from whoever trains, so that reading and sending take none of the time in which batches are handed out. */
import { parentPort, workerData } from 'node:worker_threads'
import { startServer, type Server, type ServerOptions } from './server.ts'

export interface ThreadData extends Omit<ServerOptions, 'stopOwn'> {
  /** This process trains a run and stops it when told. */
  readonly isOwner: boolean
}

export type ThreadMessage =
  | { readonly port: number }
  | { readonly stop: string }
  | { readonly failure: string; readonly code: string | undefined }

const { isOwner, ...options } = workerData as ThreadData
const post = (message: ThreadMessage): void => parentPort?.postMessage(message)

async function main(): Promise<void> {
  let server: Server
  try {
    server = await startServer({ ...options, ...(isOwner && { stopOwn: (path) => post({ stop: path }) }) })
  } catch (error) {
    return post({ failure: (error as Error).message, code: (error as NodeJS.ErrnoException).code })
  }
  post({ port: server.port })
  // Any message: the end.
  parentPort?.once('message', () => {
    void server.close().then(() => parentPort?.close())
  })
}

await main()
