/** Our folder for what can be made or fetched again: the managed Python, downloaded and decoded data sets; and the Hub's, which others share. */
import { homedir } from 'node:os'
import { join, resolve } from 'node:path'

/** `IMMISCIBLE_HOME`, else `immiscible` in the user's cache folder (`XDG_CACHE_HOME`, or ~/.cache). */
export function cacheFolder(env: NodeJS.ProcessEnv = process.env): string {
  if (env['IMMISCIBLE_HOME']) return resolve(env['IMMISCIBLE_HOME'])
  return join(env['XDG_CACHE_HOME'] || join(homedir(), '.cache'), 'immiscible')
}

/** Where `immiscible data fetch NAME` puts the files of a data set that has a place of its own: cifar10, fashion-mnist. */
export function downloadsFolder(name: string, env: NodeJS.ProcessEnv = process.env): string {
  return join(cacheFolder(env), 'downloads', name)
}

/** The Hugging Face Hub's own cache, by its rules: `HF_HUB_CACHE`, `HF_HOME`/hub, or `huggingface/hub` in the user's cache folder. Python finds the same files there. */
export function hubCacheFolder(env: NodeJS.ProcessEnv = process.env): string {
  if (env['HF_HUB_CACHE']) return resolve(env['HF_HUB_CACHE'])
  if (env['HF_HOME']) return resolve(env['HF_HOME'], 'hub')
  return join(env['XDG_CACHE_HOME'] || join(homedir(), '.cache'), 'huggingface', 'hub')
}
