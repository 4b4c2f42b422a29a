/** The version of the package that is running. */
import { readFileSync } from 'node:fs'

/** From source the package is two folders up, from dist three. */
export function readVersion(): string {
  for (const up of ['../..', '../../..']) {
    try {
      const { name, version } = JSON.parse(readFileSync(new URL(`${up}/package.json`, import.meta.url), 'utf8')) as {
        name: string
        version: string
      }
      if (name === 'immiscible') return version
    } catch {
      // None there: one further up.
    }
  }
  return 'unknown'
}
