/** A config file: found, read by its ending, and one of its runs chosen. */
import { existsSync, readFileSync } from 'node:fs'
import { registerHooks } from 'node:module'
import { basename, extname, join, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { didYouMean } from '../../protocol/index.ts'
import { ConfigError } from '../errors.ts'
import { isSection, type Layer } from './merge.ts'
import { parseYaml } from './yaml.ts'

const ENDINGS = ['.ts', '.mts', '.js', '.mjs', '.json', '.yaml', '.yml']
const NAMES = ENDINGS.map((ending) => `immiscible.config${ending}`)

/** The config file of a folder. @throws ConfigError where there are several, since one of them would be ignored. */
export function findConfigFile(folder: string): string | undefined {
  const found = NAMES.filter((name) => existsSync(join(folder, name)))
  if (found.length > 1) refuse('config file', `expected one in ${folder}, got ${found.join(', ')}; choose with --config`)
  return found.length === 0 ? undefined : join(folder, found[0])
}

/**
 * What a config file holds.
 * @param immiscible the module that `import 'immiscible'` in it means: the package that reads it, wherever that is installed.
 */
export async function readConfigFile(file: string, immiscible: URL): Promise<Record<string, unknown>> {
  const path = resolve(file)
  const ending = extname(path)
  if (!ENDINGS.includes(ending)) refuse('--config', `expected a file that ends in one of ${ENDINGS.join(', ')}, got ${file}`)
  if (!existsSync(path)) refuse('--config', `expected a file, got ${file}, where there is none`)
  const content = await load(path, ending, immiscible)
  if (isSection(content)) return content
  const got = content === null ? 'null' : Array.isArray(content) ? 'an array' : typeof content
  return refuse(basename(path), `expected a config${isModule(ending) ? ' as `export default defineConfig({ ... })`' : ''}, got ${got}`)
}

/** The layers of a file, `name` to the user: what its runs share, and the run. @throws ConfigError where it has several runs and none of them is chosen. */
export function chooseRun(name: string, content: Record<string, unknown>, wanted: string | undefined): { layers: Layer[]; run?: string } {
  const { $schema, runs, ...shared } = content
  const layer = (input: Record<string, unknown>, run?: string): Layer => ({ input, sourceOf: () => ({ kind: 'file', name, run }) })
  if (runs === undefined) {
    if (wanted !== undefined) refuse('--run', `expected none, since ${name} names no runs, got '${wanted}'`)
    return { layers: [layer(shared)] }
  }
  if (!isSection(runs)) return refuse('runs', `expected an object of named runs in ${name}, got ${JSON.stringify(runs)}`)
  const names = Object.keys(runs)
  const run = wanted ?? (names.length === 1 ? names[0] : undefined)
  if (run === undefined || !Object.hasOwn(runs, run)) {
    const got = run === undefined ? 'nothing' : `'${run}'${didYouMean(run, names)}`
    refuse('--run', `expected one of the runs of ${name} (${names.join(', ')}), got ${got}`)
  }
  const chosen = runs[run]
  if (!isSection(chosen)) return refuse(`runs.${run}`, `expected an object in ${name}, got ${JSON.stringify(chosen)}`)
  return { layers: [layer(shared), layer(chosen, run)], run }
}

async function load(path: string, ending: string, immiscible: URL): Promise<unknown> {
  if (ending.endsWith('ts') && !process.features.typescript) {
    refuse(
      '--config',
      `expected Node 22.18 or newer, which reads TypeScript by itself, for ${path}, got ${describeNode()}; or write .mjs, .json or .yaml`,
    )
  }
  try {
    if (isModule(ending)) return await importDefault(path, immiscible)
    const text = readFileSync(path, 'utf8')
    return ending === '.json' ? JSON.parse(text) : parseYaml(text)
  } catch (cause) {
    throw new ConfigError([{ path: basename(path), message: `cannot be read: ${(cause as Error).message}` }], { cause })
  }
}

async function importDefault(path: string, immiscible: URL): Promise<unknown> {
  const url = pathToFileURL(path).href
  const hooks = registerHooks({
    resolve(specifier, context, next) {
      if (specifier === 'immiscible') return { url: immiscible.href, shortCircuit: true }
      const resolved = next(specifier, context)
      // An ES module whatever the package.json around it says: `npm init` writes "type": "commonjs".
      return resolved.url === url && url.endsWith('.ts') ? { ...resolved, format: 'module-typescript' } : resolved
    },
  })
  try {
    return ((await import(url)) as { default?: unknown }).default
  } finally {
    hooks.deregister()
  }
}

function describeNode(): string {
  const isOld = process.versions.node.localeCompare('22.18', undefined, { numeric: true }) < 0
  return isOld ? process.version : `${process.version} with type stripping turned off`
}

function isModule(ending: string): boolean {
  return /[jt]s$/.test(ending)
}

function refuse(path: string, message: string): never {
  throw new ConfigError([{ path, message }])
}
