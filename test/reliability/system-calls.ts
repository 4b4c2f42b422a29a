/** Which system calls a process makes on files below a folder, by strace, and whether they come in an order that survives a loss of power. */
import { readFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { run } from '../../ts/process.ts'

/** Paths are relative to the folder that was watched. target: of a rename. As disk.py has it. */
export interface FileOperation {
  readonly kind: 'mkdir' | 'create' | 'write' | 'fsync' | 'rename' | 'unlink' | 'rmdir'
  readonly path: string
  readonly target?: string
}

const CALLS =
  'mkdir,mkdirat,open,openat,creat,write,pwrite64,writev,pwritev,fsync,fdatasync,rename,renameat,renameat2,unlink,unlinkat,rmdir'

/** What a command does below `folder`, or why that cannot be told here. */
export async function traceFiles(
  command: readonly [string, ...string[]],
  folder: string,
  env: Record<string, string> = {},
): Promise<{ readonly operations: FileOperation[] } | { readonly notRun: string }> {
  const log = join(folder, '..', 'strace.log')
  const { exitCode, stderr, failure, errorCode } = await run('strace', ['-f', '-y', '-o', log, '-e', `trace=${CALLS}`, ...command], { env })
  if (errorCode === 'ENOENT') return { notRun: 'strace is not installed' }
  if (/PTRACE|ptrace|Operation not permitted/.test(stderr)) return { notRun: 'strace may not trace here' }
  if (exitCode !== 0) throw new Error(`${command.join(' ')}: ${failure}\n${stderr}`)
  return { operations: parseTrace(readFileSync(log, 'utf8'), folder) }
}

/** Successful calls only, in the order in which they returned. */
export function parseTrace(log: string, folder: string): FileOperation[] {
  const unfinished = new Map<string, string>()
  const operations: FileOperation[] = []
  for (const line of log.split('\n')) {
    const [, pid = '', rest = ''] = /^(\d+)\s+(.*)$/.exec(line) ?? []
    const begun = /^(.*) <unfinished \.\.\.>$/.exec(rest)?.[1]
    if (begun !== undefined) {
      unfinished.set(pid, begun)
      continue
    }
    const resumed = /^<\.\.\. \w+ resumed>(.*)$/.exec(rest)?.[1]
    const operation = parseCall(resumed === undefined ? rest : `${unfinished.get(pid)}${resumed}`, folder)
    const last = operations.at(-1)
    // One write of the program's may be several of the kernel's.
    if (operation && !(operation.kind === 'write' && last?.kind === 'write' && last.path === operation.path)) operations.push(operation)
  }
  return operations
}

function parseCall(text: string, folder: string): FileOperation | undefined {
  const [, call, args] = /^(\w+)\((.*)\)\s+= \d+/.exec(text) ?? []
  if (call === undefined || args === undefined) return undefined
  const names = [...args.matchAll(/"((?:[^"\\]|\\.)*)"/g)].map(([, name]) => name)
  // A descriptor's path is what -y writes behind it; a name in a call on a descriptor is below that.
  const base = /^(?:\d+|AT_FDCWD)<([^>]*)>/.exec(args)?.[1]
  const at = (name: string): string => (name.startsWith('/') || base === undefined ? name : join(base, name))
  const inside = (path: string | undefined): string | undefined => {
    if (path === undefined) return undefined
    const name = relative(folder, path)
    return name.startsWith('..') || name.startsWith('/') ? undefined : name || '.'
  }
  const one = (kind: FileOperation['kind'], path: string | undefined): FileOperation | undefined => {
    const name = inside(path)
    return name === undefined ? undefined : { kind, path: name }
  }
  switch (call) {
    case 'mkdir':
    case 'mkdirat':
      return one('mkdir', at(names[0]))
    case 'creat':
      return one('create', at(names[0]))
    case 'open':
    case 'openat':
      return args.includes('O_CREAT') ? one('create', at(names[0])) : undefined
    case 'fsync':
    case 'fdatasync':
      return one('fsync', base)
    case 'rename':
    case 'renameat':
    case 'renameat2': {
      const [path, target] = [inside(at(names[0])), inside(at(names[1]))]
      return path === undefined || target === undefined ? undefined : { kind: 'rename', path, target }
    }
    case 'unlink':
      return one('unlink', at(names[0]))
    case 'unlinkat':
      return one(args.includes('AT_REMOVEDIR') ? 'rmdir' : 'unlink', at(names[0]))
    case 'rmdir':
      return one('rmdir', at(names[0]))
    default:
      return one('write', base)
  }
}

/**
 * What is not in order: something renamed into place before all of it is synced, or before the folders that lead there are; something old
 * removed, something new begun, or the end reached, before the new name is; something removed before its being moved away is.
 * isCache: what may be lost, as long as it is never torn.
 */
export function findDisorder(operations: readonly FileOperation[], isCache: (path: string) => boolean = () => false): string[] {
  const problems: string[] = []
  /** Not yet renamed into place. */
  const drafts = new Set<string>()
  /** Files with bytes, and folders with new names, that a loss of power would take. */
  const unsynced = new Set<string>()
  /** Folders into which something was renamed. */
  const renamedInto = new Set<string>()
  /** Folders from which something old was moved away. */
  const movedFrom = new Set<string>()
  const isBelow = (path: string, folder: string): boolean => path === folder || path.startsWith(`${folder}/`)
  /** Above the folder itself, whose names are synced after the rename. */
  const leadsTo = (path: string, folder: string): boolean => folder !== dirname(path) && (folder === '.' || path.startsWith(`${folder}/`))
  const remove = (path: string): void => {
    if (drafts.delete(path) || isCache(path)) return void unsynced.delete(path)
    const open = [...unsynced, ...movedFrom]
    if (open.length > 0) problems.push(`${path} is removed before ${open.join(', ')} is synced`)
  }
  for (const { kind, path, target = '' } of operations) {
    switch (kind) {
      case 'mkdir':
      case 'create':
        if (renamedInto.size > 0) problems.push(`${path} is begun before ${[...renamedInto].join(', ')} is synced`)
        drafts.add(path)
        if (kind === 'create') unsynced.add(path)
        if (!isCache(path)) unsynced.add(dirname(path))
        break
      case 'write':
        unsynced.add(path)
        break
      case 'fsync':
        unsynced.delete(path)
        movedFrom.delete(path)
        renamedInto.delete(path)
        break
      case 'rename':
        if (drafts.has(path)) {
          const early = [...unsynced].filter((name) => isBelow(name, path) || leadsTo(target, name))
          if (early.length > 0) problems.push(`${path} is renamed before ${early.join(', ')} is synced`)
          for (const name of drafts) if (isBelow(name, path)) drafts.delete(name)
          if (isCache(target)) break
          unsynced.add(dirname(target))
          renamedInto.add(dirname(target))
        } else {
          remove(path)
          movedFrom.add(dirname(path))
        }
        break
      default:
        remove(path)
    }
  }
  if (unsynced.size > 0) problems.push(`${[...unsynced].join(', ')} is not synced at the end`)
  return problems
}
