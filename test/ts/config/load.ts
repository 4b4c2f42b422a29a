/** loadConfig() in a folder of its own, with an environment of its own. */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { onTestFinished } from 'vitest'
import { loadConfig, type LoadConfigOptions, type LoadedConfig } from '../../../ts/index.ts'

const CLI = fileURLToPath(new URL('../../../ts/cli/main.ts', import.meta.url))

/** The command line in a process of its own, so that modules are read by Node and not by the test runner. */
export function immiscible(
  folder: string,
  args: readonly string[],
  env: NodeJS.ProcessEnv = {},
): { status: number | null; stdout: string; stderr: string } {
  return spawnSync(process.execPath, [CLI, ...args], { cwd: folder, encoding: 'utf8', env: { ...process.env, ...env } })
}

/** A new folder with these files, deleted when the test ends. */
export function folderWith(files: Readonly<Record<string, string>> = {}): string {
  const folder = mkdtempSync(join(tmpdir(), 'immiscible-config-'))
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text)
  return folder
}

export interface Layers {
  readonly file?: object
  readonly run?: object
  readonly env?: Readonly<Record<string, string>>
  /** By path. */
  readonly flags?: Readonly<Record<string, unknown>>
}

/** What the layers make; `file` is a JSON file, `run` its one run. A data set and a folder are there unless they say otherwise. */
export async function load({ file = {}, run, env = {}, flags = {} }: Layers, options: LoadConfigOptions = {}): Promise<LoadedConfig> {
  const needed = { dataset: 'digits', outputDir: 'runs/x' }
  const content = { ...needed, ...file, ...(run && { runs: { only: run } }) }
  return loadConfig({
    folder: folderWith({ 'immiscible.config.json': JSON.stringify(content) }),
    env,
    flags: Object.entries(flags).map(([path, value]) => ({ path, value, name: `--${path}` })),
    ...options,
  })
}

export function valueAt({ values }: LoadedConfig, path: string): { value: unknown; source: unknown } {
  const found = values.find((entry) => entry.path === path)
  if (!found) throw new Error(`no ${path} among ${values.map((entry) => entry.path).join(', ')}`)
  return { value: found.value, source: found.source }
}
