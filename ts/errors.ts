/** Every error that this package throws on purpose: one base class, a `code` on each, what was expected and what came in the message. */

export type ErrorCode =
  | 'CONFIG' // a config field or combination is wrong
  | 'RUN_FOLDER' // the run folder is not what the call needs
  | 'DATASET' // a data set is missing, corrupt or of another shape
  | 'ASSIGNMENT' // a strategy broke its contract, or its input is out of range
  | 'ENVIRONMENT' // no Python, or one without the worker
  | 'PIPELINE' // a preparing thread died or took too long
  | 'PROTOCOL' // bytes on the wire are not what the protocol says
  | 'WORKER_FAILED' // the worker said what went wrong
  | 'WORKER_GONE' // the worker died or fell silent, more often than allowed
  | 'PYTHON' // a function called by openPython() raised, or its Python ended
  | 'ABORTED' // the caller's AbortSignal

export class ImmiscibleError extends Error {
  override readonly name: string = 'ImmiscibleError'
  readonly code: ErrorCode

  constructor(code: ErrorCode, message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
  }
}

/** A config that cannot run: `problems` holds one entry per field, the message all of them. The CLI exits 2 on it. */
export class ConfigError extends ImmiscibleError {
  override readonly name = 'ConfigError'
  readonly problems: readonly { readonly path: string; readonly message: string }[]

  constructor(problems: readonly { readonly path: string; readonly message: string }[], options?: ErrorOptions) {
    super('CONFIG', ['invalid config', ...problems.map(({ path, message }) => `  ${path}: ${message}`)].join('\n'), options)
    this.problems = problems
  }
}

/** What a worker said before it ended: Python's own message and traceback. */
export class WorkerError extends ImmiscibleError {
  override readonly name: string = 'WorkerError'
  readonly traceback: string

  constructor(code: 'WORKER_FAILED' | 'WORKER_GONE', message: string, traceback = '', options?: ErrorOptions) {
    super(code, message, options)
    this.traceback = traceback
  }
}

/** What a function in Python raised, or how its Python ended: openPython(). */
export class PythonError extends ImmiscibleError {
  override readonly name: string = 'PythonError'
  /** Of the exception, such as `ValueError`; `PythonExit`: Python itself ended, `Timeout`: it took longer than allowed. */
  readonly type: string
  /** Python's own message, which may be empty. */
  readonly detail: string
  /** As Python prints it, from the first line of the called function; empty where there is none. */
  readonly traceback: string

  constructor(type: string, where: string, detail: string, traceback = '', options?: ErrorOptions) {
    super('PYTHON', `${where}: ${[type, detail].filter(Boolean).join(': ')}`, options)
    this.type = type
    this.detail = detail
    this.traceback = traceback
  }
}
