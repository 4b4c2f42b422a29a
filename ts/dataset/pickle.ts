/** Reads what the pickles of CIFAR hold: dicts, lists, text, integers and NumPy arrays. Nothing is imported, called or run; all else is refused. */
import { ImmiscibleError } from '../errors.ts'
import { build, describe, globalOf, isMade, reduce, refuse, textOf, type PickleValue } from './pickle-array.ts'

export { arrayOf, textOf, type PickledArray, type PickleValue } from './pickle-array.ts'

/** More than any file of CIFAR makes: 50,000 images with two labels and a name each. */
const MAX_VALUES = 2 ** 21
const MAX_STACK = 2 ** 17

/** The dict in a pickle of protocol 2 to 5. `file` is named in the DATASET error for anything else, and for any global that is no part of an array. */
export function readPickle(bytes: Uint8Array, file: string): ReadonlyMap<string, PickleValue> {
  try {
    return run(bytes)
  } catch (cause) {
    throw new ImmiscibleError('DATASET', `${file}: expected a pickle as CIFAR's: ${(cause as Error).message}`, { cause })
  }
}

function run(bytes: Uint8Array): Map<string, PickleValue> {
  const { take, takeInt, takeLine, position } = makeReader(bytes)
  let stack: PickleValue[] = []
  const marked: PickleValue[][] = []
  const memo = new Map<number, PickleValue>()
  let encodedBytes = 0
  let numValues = 0

  const push = (value: PickleValue): void => {
    if (++numValues > MAX_VALUES || stack.length >= MAX_STACK || marked.length >= MAX_STACK)
      refuse(`at most ${MAX_VALUES} values, ${MAX_STACK} at once`, 'more')
    stack.push(value)
  }
  const pop = (): PickleValue => {
    if (stack.length === 0) refuse(`a value before byte ${position()}`, 'none')
    return stack.pop() as PickleValue
  }
  const popMarked = (): PickleValue[] => {
    const values = stack
    stack = marked.pop() ?? refuse('a mark', 'none')
    return values
  }
  const popTuple = (length: number): PickleValue[] => Array.from({ length }, pop).toReversed()
  const peek = (): PickleValue => stack.at(-1) ?? refuse('a value', 'none')
  const remember = (index: number): void => {
    if (memo.set(index, peek()).size > MAX_VALUES) refuse(`at most ${MAX_VALUES} entries of the memo`, 'more')
  }
  const recall = (index: number): PickleValue => {
    if (!memo.has(index)) refuse('an entry of the memo', `its number ${index}, where there is none`)
    return memo.get(index) as PickleValue
  }
  const append = (values: readonly PickleValue[]): void => {
    const list = peek()
    if (!Array.isArray(list)) refuse('a list', describe(list))
    for (const value of values) list.push(value)
  }
  const setItems = (items: readonly PickleValue[]): void => {
    const dict = peek()
    if (!(dict instanceof Map) || items.length % 2 !== 0) return refuse('a dict and pairs', describe(dict))
    for (let at = 0; at < items.length; at += 2) dict.set(textOf(items[at]) ?? refuse('text as key', describe(items[at])), items[at + 1])
  }
  const text = (length: number): string => Buffer.from(take(length)).toString('utf8')
  const call = (): void => {
    const args = pop()
    const callee = pop()
    if (!Array.isArray(args) || !isMade(callee) || callee.type !== 'global') return refuse('a call of NumPy', describe(callee))
    const made = reduce(callee.name, args)
    // Each byte is encoded once in a file as Python writes it: not again and again, until the memory is full.
    if (made instanceof Uint8Array && (encodedBytes += made.length) > bytes.length) refuse(`at most ${bytes.length} encoded bytes`, 'more')
    push(made)
  }

  for (;;) {
    const at = position()
    const opcode = take(1)[0]
    switch (String.fromCharCode(opcode)) {
      case '\x80': {
        const protocol = takeInt(1)
        if (protocol < 2 || protocol > 5 || at !== 0) refuse('protocol 2 to 5, once', String(protocol))
        break
      }
      case '\x95': // FRAME
        if (takeInt(8) > bytes.length - position()) refuse('a frame within the file', 'a longer one: truncated?')
        break
      case '.': {
        const result = pop()
        if (!(result instanceof Map) || stack.length > 0 || marked.length > 0) return refuse('one dict', describe(result))
        if (position() !== bytes.length) refuse(`the end at byte ${position()}`, `${bytes.length - position()} bytes more`)
        return result
      }
      case '(':
        if (marked.length >= MAX_STACK) refuse(`at most ${MAX_STACK} marks`, 'more')
        marked.push(stack)
        stack = []
        break
      case '}':
        push(new Map())
        break
      case ']':
      case ')':
        push([])
        break
      case 't':
        push(popMarked())
        break
      case '\x85':
        push(popTuple(1))
        break
      case '\x86':
        push(popTuple(2))
        break
      case '\x87':
        push(popTuple(3))
        break
      case 'a':
        append([pop()])
        break
      case 'e':
        append(popMarked())
        break
      case 's':
        setItems(popTuple(2))
        break
      case 'u':
        setItems(popMarked())
        break
      case 'N':
        push(null)
        break
      case '\x88':
        push(true)
        break
      case '\x89':
        push(false)
        break
      case 'K':
        push(takeInt(1))
        break
      case 'M':
        push(takeInt(2))
        break
      case 'J':
        push(takeInt(4) | 0)
        break
      case '\x8a': // LONG1
        push(takeLong(take(takeInt(1))))
        break
      case 'U': // str of Python 2
      case 'C':
        push(take(takeInt(1)))
        break
      case 'T':
      case 'B':
        push(take(takeInt(4)))
        break
      case '\x8e': // BINBYTES8
      case '\x96': // BYTEARRAY8
        push(take(takeInt(8)))
        break
      case '\x8c':
        push(text(takeInt(1)))
        break
      case 'X':
        push(text(takeInt(4)))
        break
      case 'q':
        remember(takeInt(1))
        break
      case 'r':
        remember(takeInt(4))
        break
      case '\x94': // MEMOIZE
        remember(memo.size)
        break
      case 'h':
        push(recall(takeInt(1)))
        break
      case 'j':
        push(recall(takeInt(4)))
        break
      case 'c':
        push(globalOf(takeLine(), takeLine()))
        break
      case '\x93': {
        const [module, name] = popTuple(2)
        push(globalOf(textOf(module) ?? '', textOf(name) ?? ''))
        break
      }
      case 'R':
        call()
        break
      case 'b': {
        const state = pop()
        build(peek(), state)
        break
      }
      default:
        refuse('the opcodes of dicts, lists and arrays', `0x${opcode.toString(16).padStart(2, '0')} at byte ${at}`)
    }
  }
}

function makeReader(bytes: Uint8Array) {
  let at = 0
  const take = (length: number): Uint8Array => {
    if (length > bytes.length - at) refuse(`${length} bytes from ${at} on`, `${bytes.length - at}: truncated?`)
    return bytes.subarray(at, (at += length))
  }
  return {
    take,
    /** Unsigned, little-endian. */
    takeInt: (length: number): number => take(length).reduceRight((value, byte) => value * 256 + byte, 0),
    takeLine: (): string => {
      const end = bytes.subarray(at, at + 256).indexOf(10)
      if (end < 0) refuse(`a line from byte ${at} on`, 'no end of it')
      return Buffer.from(take(end + 1).subarray(0, end)).toString('latin1')
    },
    position: () => at,
  }
}

function takeLong(bytes: Uint8Array): number {
  if (bytes.length > 6) refuse('an integer below 2^47', `${bytes.length} bytes`)
  const unsigned = bytes.reduceRight((value, byte) => value * 256 + byte, 0)
  return bytes.length > 0 && (bytes.at(-1) as number) >= 128 ? unsigned - 256 ** bytes.length : unsigned
}
