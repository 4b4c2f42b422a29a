/** Files that a config names: a path is taken from the working directory, and what was hashed when the run was made is held to its content. */
import { resolve } from 'node:path'

/** The path from the root, so that worker and resume find it wherever they start; what is no text stays, for the schema to report. */
export function absolutePath(path: unknown): unknown {
  return typeof path === 'string' && path !== '' ? resolve(path) : path
}

/** Whether a Python module is a file; else it is the dotted name of one that the worker can import. */
export function isPythonFile(module: string): boolean {
  return /[/\\]|\.py$/.test(module)
}

/** A Python file by its path from the root; a dotted name as it is. */
export function pythonModule(module: unknown): unknown {
  return typeof module === 'string' && isPythonFile(module) ? absolutePath(module) : module
}
