/** The Python competitors of the bench, in one process with its threads fixed. */
import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

export interface PythonRequest {
  readonly competitor: string
  readonly size: number
  readonly dims: number
  /** 0: the one run, cold. */
  readonly repeats: number
  /** Files: int32 size x size, float32 size x dims. */
  readonly benefit?: string
  readonly images?: string
  readonly noise?: string
}

export interface PythonAnswer {
  readonly ms: number
  readonly gain: number | null
  /** Largest resident memory of the process over that before its first request. */
  readonly peakMiB: number
}

export interface Competitors extends Disposable {
  time(request: PythonRequest): Promise<PythonAnswer>
}

export function startCompetitors(python: string, threads: number): Competitors {
  const count = String(threads)
  const { OPENBLAS_CORETYPE: _core, OPENBLAS_L2_SIZE: _l2, ...env } = process.env
  const child = spawn(python, [fileURLToPath(new URL('competitors.py', import.meta.url))], {
    env: { ...env, OMP_NUM_THREADS: count, OPENBLAS_NUM_THREADS: count, MKL_NUM_THREADS: count },
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  return {
    async time(request) {
      child.stdin.write(`${JSON.stringify(request)}\n`)
      const { value, done } = await lines.next()
      if (done) throw new Error(`the Python competitors ended at ${request.competitor}`)
      return JSON.parse(value) as PythonAnswer
    },
    [Symbol.dispose]: () => void child.kill(),
  }
}
