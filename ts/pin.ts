/** Files that decide a run: hashed when it is made, so that its config holds their content whatever their place, and compared when it goes on. */
import { createHash } from 'node:crypto'
import { closeSync, fstatSync, openSync, readSync, statSync } from 'node:fs'
import { basename } from 'node:path'
import { isPythonFile, type TrainConfig } from '../protocol/index.ts'
import { hashModule } from './assignment/module.ts'
import { ConfigError } from './errors.ts'
import { listPretrainedFiles } from './pretrained.ts'

const CHUNK_BYTES = 2 ** 22

/** The config with the SHA-256 of each file that it names. @throws ConfigError where one is missing, of another kind, or not what was hashed before. */
export function pinFiles(config: TrainConfig): TrainConfig {
  const { assignment, network, objective } = config
  return { ...config, assignment: pinAssignment(assignment), network: pinNetwork(network), objective: pinObjective(objective) }
}

function pinAssignment(assignment: TrainConfig['assignment']): TrainConfig['assignment'] {
  // One that is pinned is compared where it is loaded, in each thread.
  if (assignment.kind !== 'module' || assignment.sha256 !== null) return assignment
  try {
    return { ...assignment, sha256: hashModule(assignment.url) }
  } catch (cause) {
    throw new ConfigError([{ path: 'assignment', message: (cause as Error).message }], { cause })
  }
}

function pinNetwork(network: TrainConfig['network']): TrainConfig['network'] {
  if (network.kind === 'module') return { ...network, sha256: pinPython('network.module', network) }
  if (network.kind !== 'pretrained') return network
  const field = 'network.initFrom'
  return { ...network, sha256: compare(field, network.initFrom, network.sha256, hashPretrained(field, network.initFrom)) }
}

function pinObjective(objective: TrainConfig['objective']): TrainConfig['objective'] {
  if (objective.kind === 'module') return { ...objective, sha256: pinPython('objective.module', objective) }
  if (objective.kind !== 'consistency' || objective.loss !== 'lpips' || objective.lpipsWeights === null) return objective
  const [field, path] = ['objective.lpipsWeights', objective.lpipsWeights]
  checkSafetensors(field, path)
  return { ...objective, lpipsSha256: compare(field, path, objective.lpipsSha256, hashFile(field, path)) }
}

/** Of what the worker imports by a dotted name nothing is known here. */
function pinPython(field: string, { module, sha256 }: { readonly module: string; readonly sha256: string | null }): string | null {
  return isPythonFile(module) ? compare(field, module, sha256, hashFile(field, module)) : null
}

function compare(field: string, path: string, recorded: string | null, actual: string): string {
  if (recorded !== null && recorded !== actual) {
    refuse(field, `${path} has changed since the run was made: expected SHA-256 ${recorded}, got ${actual}`)
  }
  return actual
}

/** SHA-256 (hex) over name and SHA-256 of each file, a line each in order of name. py/immiscible_worker/network.py computes the same. */
function hashPretrained(field: string, folder: string): string {
  const files = listPretrainedFiles(folder)
  if ('problem' in files) return refuse(field, files.problem)
  const lines = files.paths.map((path) => {
    if (path.endsWith('.safetensors')) checkSafetensors(field, path)
    return `${basename(path)} ${hashFile(field, path)}\n`
  })
  return createHash('sha256').update(lines.join('')).digest('hex')
}

/** In pieces: weights may be larger than a Buffer can be. */
function hashFile(field: string, path: string): string {
  return withFile(field, path, (file) => {
    const hash = createHash('sha256')
    const chunk = Buffer.allocUnsafe(CHUNK_BYTES)
    for (let length = readSync(file, chunk); length > 0; length = readSync(file, chunk)) hash.update(chunk.subarray(0, length))
    return hash.digest('hex')
  })
}

/** Eight bytes of length, then that much JSON, then the tensors. */
function checkSafetensors(field: string, path: string): void {
  withFile(field, path, (file) => {
    const size = fstatSync(file).size
    const prefix = Buffer.alloc(8)
    const length = readSync(file, prefix) === 8 ? Number(prefix.readBigUInt64LE()) : Infinity
    const header = Buffer.alloc(length <= size - 8 ? length : 0)
    readSync(file, header)
    try {
      JSON.parse(header.toString())
    } catch {
      refuse(field, `expected a safetensors file, got ${path}, which is none`)
    }
  })
}

function withFile<T>(field: string, path: string, use: (file: number) => T): T {
  let file: number
  try {
    if (!statSync(path).isFile()) return refuse(field, `expected a file, got ${path}, which is none`)
    file = openSync(path, 'r')
  } catch (error) {
    if (error instanceof ConfigError) throw error
    const isMissing = (error as NodeJS.ErrnoException).code === 'ENOENT'
    return refuse(field, isMissing ? `expected a file, got ${path}, where there is none` : `cannot be read: ${(error as Error).message}`)
  }
  try {
    return use(file)
  } finally {
    closeSync(file)
  }
}

function refuse(path: string, message: string): never {
  throw new ConfigError([{ path, message }])
}
