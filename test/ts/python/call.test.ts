/** openPython(): what goes in, what comes out, what is raised, and what happens when Python takes too long or ends. With a real Python. */
import { spawnSync } from 'node:child_process'
import { join, resolve } from 'node:path'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { openPython, PythonError, type Python } from '../../../ts/python/index.ts'
import { pythonPath } from '../../fixture/python.ts'
import { isAlive } from '../../e2e/run.ts'

const CALLED = 'test/fixture/python/called.py'
const called = (name: string): string => `${CALLED}:${name}`
const open = (): Promise<Python> => openPython({ python: pythonPath() })

let python: Python
beforeAll(async () => {
  python = await open()
})
afterAll(() => python.close())

/** Rejected with a PythonError, or the test fails. */
async function raised(call: Promise<unknown>): Promise<PythonError> {
  const error = await call.then(
    (value) => new Error(`expected an error, got ${String(value)}`),
    (reason: unknown) => reason,
  )
  if (error instanceof PythonError) return error
  throw error
}

describe('values', () => {
  test('positional and keyword arguments', async () => {
    expect(await python.call(called('echo'), [1, 'two'])).toEqual({ args: [1, 'two'], kwargs: {} })
    expect(await python.call(called('echo'), { one: 1 })).toEqual({ args: [], kwargs: { one: 1 } })
    expect(await python.call(called('echo'), [1], { keywords: { two: 2 } })).toEqual({ args: [1], kwargs: { two: 2 } })
    expect(await python.call('math:hypot', [3, 4])).toBe(5)
    expect(await python.call(called('twice'), [21])).toBe(42)
  })

  test('whatever JSON has, there and back, keys that look like our own included', async () => {
    const json = fc.anything({
      withBigInt: true,
      values: [fc.double(), fc.string({ unit: 'binary' }), fc.boolean(), fc.constant(null), fc.bigInt()],
      key: fc.constantFrom('a', '$number', '$object', '$array', '__proto__x', '', 'é'),
    })
    await fc.assert(
      fc.asyncProperty(json, async (value) => {
        const { args } = (await python.call(called('echo'), [value])) as { args: unknown[] }
        expect(args[0]).toEqual(plain(value))
      }),
      { numRuns: 300, seed: 1 },
    )
  })

  /** What JSON makes of it otherwise: bigints that fit are numbers. */
  function plain(value: unknown): unknown {
    if (typeof value === 'bigint')
      return value >= BigInt(Number.MIN_SAFE_INTEGER) && value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : value
    if (Array.isArray(value)) return value.map(plain)
    if (typeof value !== 'object' || value === null) return value
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, plain(item)]))
  }

  test('what JSON lacks: NaN, infinities, -0, whole numbers beyond 2^53, bytes, arrays', async () => {
    expect(await python.call(called('answers'))).toEqual({
      numbers: [NaN, Infinity, -Infinity, -0, 2n ** 70n, 1e308, 0],
      bytes: Uint8Array.of(0, 255),
      array: { data: Float32Array.of(0, 1, 2, 3, 4, 5), shape: [2, 3] },
      half: { data: Float32Array.of(1, 1), shape: [2] },
      bool: { data: Uint8Array.of(1, 0), shape: [2] },
      scalar: 0.5,
      text: 'é \ud800 \u2028 {"$number": "NaN"}',
      nothing: null,
    })
  })

  test.each([
    [new Int8Array([-1, 1]), [[2], 'int8', [-1, 1], true]],
    [new Uint16Array([65535]), [[1], 'uint16', [65535], true]],
    [new BigInt64Array([-5n]), [[1], 'int64', [-5], true]],
    [new Float64Array([NaN, 0.1]), [[2], 'float64', [NaN, 0.1], true]],
    [Buffer.from('hi'), [[2], 'uint8', [104, 105], true]],
    [new Float32Array(8).subarray(1, 3), [[2], 'float32', [0, 0], true]],
    [
      { data: Int32Array.of(1, 2, 3, 4), shape: [2, 2] },
      [
        [2, 2],
        'int32',
        [
          [1, 2],
          [3, 4],
        ],
        true,
      ],
    ],
  ])('%o is an array in Python', async (array, described) => {
    expect(await python.call(called('describe'), { array })).toEqual(described)
  })

  test('tens of megabytes pass, both ways', async () => {
    expect(((await python.call(called('text'), [20_000_000])) as string).length).toBe(20_000_000)
    const { args } = (await python.call(called('echo'), [new Float32Array(2_000_000).fill(3)])) as { args: [{ data: Float32Array }] }
    expect(args[0].data.every((value) => value === 3)).toBe(true)
  })

  test.each<[string, unknown, RegExp]>([
    ['a function', [() => 1], /expected what JSON has, got a function/],
    ['an array that is not of its shape', [{ data: new Uint8Array(3), shape: [2, 2] }], /expected 3 numbers, got shape \[2, 2\]/],
  ])('%s is refused before it is sent', async (_, args, message) => {
    await expect(python.call(called('echo'), args as unknown[])).rejects.toThrow(message)
  })
})

describe('errors', () => {
  test("carry Python's type, message and traceback, which begins with the user's function", async () => {
    const error = await raised(python.call(called('fail'), ['two\nlines']))
    expect(error).toMatchObject({ name: 'PythonError', code: 'PYTHON', type: 'ValueError', detail: 'two\nlines' })
    expect(error.message).toBe(`${CALLED}:fail: ValueError: two\nlines`)
    expect(error.traceback).toMatch(/^Traceback.*\n {2}File ".*called\.py", line \d+, in fail\n/)
    expect(error.traceback).not.toMatch(/bridge\.py|pythonia/)
  })

  test.each<[string, string, readonly unknown[], Partial<PythonError>]>([
    ['no message', called('chained'), [], { type: 'RuntimeError', detail: '', message: `${CALLED}:chained: RuntimeError` }],
    ['a message that fails', called('unspeakable'), [], { type: 'Unspeakable', detail: '(its text failed: TypeError)' }],
    ['sys.exit()', called('leave'), [], { type: 'SystemExit', detail: '3' }],
    ['no such argument', called('count'), [1], { type: 'TypeError' }],
    ['no such function', called('nothing'), [], { type: 'AttributeError' }],
    ['no such module', 'no_such_module:f', [], { type: 'ModuleNotFoundError', detail: "No module named 'no_such_module'" }],
    [
      'no such file',
      './nowhere.py:f',
      [],
      { type: 'ConfigError', detail: `python.module: ${resolve('nowhere.py')}: cannot be read: No such file or directory` },
    ],
    ['no function named', 'math', [], { type: 'UsageError', detail: "expected 'module:function' or 'path.py:function', got 'math'" }],
    [
      'an answer that is no JSON',
      called('a_set'),
      [],
      { type: 'TypeError', detail: "answer['inner'][0]: expected what JSON has, bytes, a path, a dataclass or an array, got a set" },
    ],
  ])('%s', async (_, target, args, expected) => {
    expect(await raised(python.call(target, args))).toMatchObject(expected)
    expect(await python.call('math:sqrt', [4]), 'and it goes on').toBe(2)
  })

  test('the cause of an exception is in the traceback', async () => {
    expect((await raised(python.call(called('chained')))).traceback).toMatch(/KeyError: 'missing'[\s\S]*direct cause/)
  })
})

describe('calls', () => {
  test('run one after the other, in the order in which they were made, in one Python that keeps its state', async () => {
    await using own = await open()
    expect(await Promise.all(Array.from({ length: 20 }, () => own.call(called('count'))))).toEqual(
      Array.from({ length: 20 }, (_, at) => at + 1),
    )
  })

  test('two handles are two Pythons', async () => {
    await using one = await open()
    await using two = await open()
    expect(one.pid).not.toBe(two.pid)
    expect(await Promise.all([one.call(called('count')), two.call(called('count'))])).toEqual([1, 1])
  })

  test('one that takes too long is interrupted, and the next ones run', async () => {
    const [slow, next] = [python.call(called('sleep'), [1000], { timeoutMs: 200 }), python.call('math:sqrt', [9])]
    expect(await raised(slow)).toMatchObject({ type: 'Timeout', message: `${CALLED}:sleep: Timeout: took longer than 200 ms` })
    expect(await next).toBe(3)
  })

  test('one that waits for others is given up without disturbing them', async () => {
    const [first, second] = [python.call(called('sleep'), [0.5]), python.call(called('sleep'), [1000], { timeoutMs: 100 })]
    expect((await raised(second)).type).toBe('Timeout')
    expect(await first).toBe(0.5)
  })

  test('a signal aborts one, before it began too', async () => {
    const abort = new AbortController()
    const slow = python.call(called('sleep'), [1000], { signal: abort.signal })
    setTimeout(() => abort.abort('enough'), 100)
    await expect(slow).rejects.toMatchObject({ code: 'ABORTED', cause: 'enough' })
    await expect(python.call('math:sqrt', [1], { signal: abort.signal })).rejects.toMatchObject({ code: 'ABORTED' })
    expect(await python.call('math:sqrt', [1])).toBe(1)
  })

  test('one that does not stop when it is interrupted loses its Python, and those behind it are told', async () => {
    const own = await open()
    await own.call(called('count')) // so that the interruption meets the function, and not the import of its file
    const [stuck, behind] = [own.call(called('never_stop'), [], { timeoutMs: 100 }), own.call('math:sqrt', [1])]
    expect((await raised(stuck)).type).toBe('Timeout')
    expect(await raised(behind)).toMatchObject({ type: 'PythonExit', detail: 'Python was ended by SIGKILL' })
    await own.close()
  })
})

describe('a Python that ends', () => {
  test.each<[string, readonly unknown[], string]>([
    ['kill_yourself', ['SIGKILL'], 'Python was ended by SIGKILL'],
    ['kill_yourself', ['SIGSEGV'], 'Python was ended by SIGSEGV'],
    ['end_at_once', [9], 'Python ended with exit code 9'],
    ['end_at_once', [0], 'Python ended with exit code 0'],
  ])('%s %o: the call is rejected, and later ones at once', async (name, args, detail) => {
    const own = await open()
    expect(await raised(own.call(called(name), args))).toMatchObject({
      type: 'PythonExit',
      detail,
      message: `${called(name)}: PythonExit: ${detail}`,
    })
    expect(await raised(own.call('math:sqrt', [1]))).toMatchObject({ type: 'PythonExit', detail })
    await own.close()
    expect(isAlive(own.pid)).toBe(false)
  })

  test('killed from outside while it has nothing to do', async () => {
    const own = await open()
    process.kill(own.pid, 'SIGKILL')
    expect((await raised(own.call(called('sleep'), [1000]))).detail).toBe('Python was ended by SIGKILL')
  })

  test('close() ends it, also in the middle of a call; twice is once; a new one opens', async () => {
    const own = await open()
    const call = raised(own.call(called('sleep'), [1000]))
    await new Promise((done) => setTimeout(done, 200))
    expect(isAlive(own.pid)).toBe(true)
    await Promise.all([own.close(), own.close()])
    expect(isAlive(own.pid)).toBe(false)
    expect((await call).type).toBe('PythonExit')
    expect((await raised(own.call('math:sqrt', [1]))).type).toBe('PythonExit')
    await using again = await open()
    expect(await again.call('math:sqrt', [16])).toBe(4)
  })

  test.each<[string, RegExp]>([
    ['/no/such/python', /PythonExit: .*ENOENT/],
    [process.execPath, /Python(Exit)?/],
    ['/bin/true', /PythonExit: Python ended with exit code 0/],
  ])('%s does not start', async (interpreter, message) => {
    await expect(openPython({ python: interpreter })).rejects.toThrow(message)
  })
})

test("Python is not told what is pythonia's or Node's, and finds modules in the working folder", async () => {
  expect(await python.call(called('hidden_modules'))).toEqual([[], null, process.cwd()])
})

test('what is printed goes to stderr, and stdin is empty', () => {
  const script = `
    const { openPython } = await import(${JSON.stringify(join(import.meta.dirname, '../../../ts/python/index.ts'))})
    const python = await openPython()
    process.stdout.write(JSON.stringify(await python.call(${JSON.stringify(called('speak'))})))
    await python.close()`
  const { stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', script], { encoding: 'utf8', input: 'for Node' })
  expect(stdout).toBe('""')
  for (const text of ['printed while it was imported', 'printed by print()', 'written to descriptor 1', 'printed by a child'])
    expect(stderr).toContain(text)
})
