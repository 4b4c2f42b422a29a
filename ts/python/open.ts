/** openPython(): a Python of its own whose functions are called by name, one after the other, until it is closed. */
import { resolve } from 'node:path'
import { Worker } from 'node:worker_threads'
import { ImmiscibleError, PythonError } from '../errors.ts'
import { ensureEnvironment, workerEnv } from '../worker/environment.ts'
import type { ThreadAnswer, ThreadRequest } from './thread.ts'
import { fromJson, toJson } from './values.ts'

/** From asking a call to give up until its Python is ended. */
const INTERRUPT_MS = 5000
/** For Python to end by itself when it is closed. */
const CLOSE_MS = 2000
const START_MS = 60_000
const THREAD = new URL(`./thread.${import.meta.url.endsWith('.ts') ? 'ts' : 'js'}`, import.meta.url)

export interface PythonOptions {
  /** The interpreter. Default: the one that trains, see ensureEnvironment(); its packages are installed where they are not. */
  readonly python?: string
  /** Added to this process's own environment variables. */
  readonly env?: Readonly<Record<string, string>>
  /** For Python to start; 60 s. */
  readonly startTimeoutMs?: number
  /** Progress of the one-time installation of Python packages, a line at a time. */
  readonly onSetup?: (line: string) => void
}

export interface CallOptions {
  /** From now, the wait for calls before it included. Default: as long as it takes. */
  readonly timeoutMs?: number
  readonly signal?: AbortSignal
  /** Keyword arguments besides positional ones. */
  readonly keywords?: Readonly<Record<string, unknown>>
}

export interface Python extends AsyncDisposable {
  /** Of Python's process. */
  readonly pid: number
  /**
   * Calls a function. Calls run one after the other, in the order in which they were made.
   * @param target `module:function`, or `path.py:function` from the working folder; a file is run once, at its first call.
   * @param args positional arguments as an array, or keyword arguments as an object: whatever JSON has, NaN and infinities, bigints, typed
   *   arrays (NumPy arrays there) and `{ data, shape }`.
   * @returns what the function returned: whatever JSON has, and besides NaN and infinities, bigints; arrays and tensors as `{ data, shape }`, bytes as Uint8Array.
   * @throws PythonError with the type, message and traceback of what was raised; of type `PythonExit` when Python ended, `Timeout` after
   *   `timeoutMs`. ImmiscibleError ABORTED by `signal`. The function is then interrupted as by Ctrl-C, and ended with its Python where it goes on.
   */
  call(target: string, args?: readonly unknown[] | Readonly<Record<string, unknown>>, options?: CallOptions): Promise<unknown>
  /** Ends Python; calls that still wait are rejected. Resolves when its process is gone. */
  close(): Promise<void>
}

interface Call {
  readonly target: string
  readonly request: string
  /** undefined once the caller does not wait any longer. */
  answer: PromiseWithResolvers<unknown> | undefined
}

/**
 * Starts a Python. What its functions print goes to this process's stderr. A Python that is open and has nothing to do does not keep Node
 * alive, and never outlives it.
 * @throws ImmiscibleError ENVIRONMENT where there is no Python for it; PythonError where it does not start.
 */
export async function openPython(options: PythonOptions = {}): Promise<Python> {
  const { onSetup, startTimeoutMs = START_MS } = options
  const interpreter = options.python ?? (await ensureEnvironment({ ...(onSetup && { onProgress: onSetup }) })).python
  const env = { ...process.env, ...options.env }
  const { DEBUG: _, ...others } = env // with it pythonia writes all that it says to stdout
  const thread = new Worker(THREAD, {
    // pythonia reads them when it is imported. Calls may take as long as they like: deadlines are the caller's.
    env: { ...others, ...workerEnv(env), PYTHON_BIN: interpreter, REQ_TIMEOUT: '0' } as NodeJS.Dict<string>,
    execArgv: [],
  })

  let pid: number | undefined
  let ended: PythonError | undefined
  let running: Call | undefined
  let deadline: NodeJS.Timeout | undefined
  const waiting: Call[] = []
  const ready = Promise.withResolvers<void>()
  const gone = Promise.withResolvers<void>()

  const send = (signal: NodeJS.Signals): void => {
    try {
      if (pid !== undefined && !ended) process.kill(pid, signal)
    } catch {
      // It is gone, and the news of it is on its way.
    }
  }
  const kill = (): void => send('SIGKILL')
  // Ends with this process on its ordinary ways out; Python itself watches for the others.
  process.on('exit', kill)

  function end(reason: string): void {
    if (ended) return
    ended = new PythonError('PythonExit', 'python', reason)
    clearTimeout(deadline)
    process.off('exit', kill)
    ready.reject(ended)
    for (const { answer, target } of [...(running ? [running] : []), ...waiting.splice(0)])
      answer?.reject(new PythonError('PythonExit', target, reason))
    running = undefined
    gone.resolve()
    void thread.terminate()
  }

  function next(): void {
    running = undefined
    clearTimeout(deadline)
    const call = waiting.shift()
    if (!call) return thread.unref()
    running = call
    thread.ref()
    thread.postMessage({ kind: 'call', request: call.request } satisfies ThreadRequest)
  }

  /** The caller does not wait any longer: neither should Python work for it. */
  function giveUp(call: Call, error: Error): void {
    call.answer?.reject(error)
    call.answer = undefined
    const at = waiting.indexOf(call)
    if (at >= 0) waiting.splice(at, 1)
    if (call !== running) return
    if (process.platform === 'win32') return kill()
    send('SIGUSR1')
    deadline = setTimeout(kill, INTERRUPT_MS)
  }

  thread.on('message', (message: ThreadAnswer) => {
    if (message.kind === 'started') pid = message.pid
    else if (message.kind === 'ready') ready.resolve()
    else if (message.kind === 'exited') end(describeExit(message))
    else if (running) {
      if (message.kind === 'answer') settle(running, message.answer)
      else running.answer?.reject(new PythonError('PythonExit', running.target, lastLine(message.text), message.text))
      next()
    } else if (message.kind === 'failed') ready.reject(new PythonError('PythonExit', interpreter, lastLine(message.text), message.text))
  })
  // What pythonia throws where nobody can catch it: its Python cannot be spoken to any more.
  thread.on('error', (error) => {
    kill()
    end(`the bridge to it failed: ${(error as Error).message}`)
  })
  thread.on('exit', () => {
    kill()
    end('its thread ended')
  })

  async function close(): Promise<void> {
    thread.ref()
    if (running) kill()
    else thread.postMessage({ kind: 'end' } satisfies ThreadRequest)
    const timer = setTimeout(kill, CLOSE_MS)
    await gone.promise
    clearTimeout(timer)
    await thread.terminate()
  }

  const timer = setTimeout(
    () => ready.reject(new PythonError('Timeout', interpreter, `did not start in ${startTimeoutMs} ms`)),
    startTimeoutMs,
  )
  try {
    await ready.promise
  } catch (error) {
    kill()
    end('it did not start')
    throw error
  } finally {
    clearTimeout(timer)
  }
  thread.unref()

  return {
    pid: pid as unknown as number,
    async call(target, args = [], { timeoutMs, signal, keywords = {} } = {}) {
      if (ended) throw new PythonError('PythonExit', target, ended.detail)
      if (signal?.aborted) throw new ImmiscibleError('ABORTED', `${target}: aborted before it began`, { cause: signal.reason })
      const answer = Promise.withResolvers<unknown>()
      const call: Call = { target, request: toRequest(target, args, keywords), answer }
      const onAbort = (): void => giveUp(call, new ImmiscibleError('ABORTED', `${target}: aborted`, { cause: signal?.reason }))
      const onTimeout = (): void => giveUp(call, new PythonError('Timeout', target, `took longer than ${timeoutMs} ms`))
      signal?.addEventListener('abort', onAbort, { once: true })
      const timeout = timeoutMs === undefined ? undefined : setTimeout(onTimeout, timeoutMs)
      waiting.push(call)
      if (!running) next()
      try {
        return await answer.promise
      } finally {
        clearTimeout(timeout)
        signal?.removeEventListener('abort', onAbort)
      }
    },
    close,
    [Symbol.asyncDispose]: close,
  }
}

function settle({ answer, target }: Call, text: string): void {
  const { value, error } = fromJson(text) as { value?: unknown; error?: { type: string; message: string; traceback: string } }
  if (error) answer?.reject(new PythonError(error.type, target, error.message, error.traceback))
  else answer?.resolve(value)
}

/** The outermost braces are toJson()'s own. */
function toRequest(target: string, args: readonly unknown[] | object, keywords: object): string {
  const [positional, named] = isList(args) ? [args, {}] : [[], args]
  const request = { target: resolveTarget(target), args: positional, kwargs: { ...named, ...keywords } }
  return toJson(request).slice('{"value":'.length, -1)
}

const isList = (args: readonly unknown[] | object): args is readonly unknown[] => Array.isArray(args)

/** A file from this process's working folder: Python's may be another by now. */
function resolveTarget(target: string): string {
  const at = target.lastIndexOf(':')
  const module = target.slice(0, Math.max(0, at))
  return /[/\\]|\.py$/.test(module) ? `${resolve(module)}${target.slice(at)}` : target
}

function describeExit({ exitCode, signal }: { exitCode: number | null; signal: string | null }): string {
  return signal === null ? `Python ended with exit code ${exitCode}` : `Python was ended by ${signal}`
}

const lastLine = (text: string): string => text.trim().split('\n').at(-1)?.trim() ?? ''
