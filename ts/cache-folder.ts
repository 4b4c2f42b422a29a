/** Our folder for what can be made again: the managed Python, decoded data sets. */
import { homedir } from 'node:os'
import { join, resolve } from 'node:path'

/** `IMMISCIBLE_HOME`, else `immiscible` in the user's cache folder (`XDG_CACHE_HOME`, or ~/.cache). */
export function cacheFolder(env: NodeJS.ProcessEnv = process.env): string {
  if (env['IMMISCIBLE_HOME']) return resolve(env['IMMISCIBLE_HOME'])
  return join(env['XDG_CACHE_HOME'] || join(homedir(), '.cache'), 'immiscible')
}
