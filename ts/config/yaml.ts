/** YAML text as plain values; the only file that knows the yaml package. */
import { parse } from 'yaml'

/** YAML 1.2, core schema: no tags of its own, nothing is run. @throws Error with the line. */
export function parseYaml(text: string): unknown {
  return parse(text, { prettyErrors: true, strict: true, uniqueKeys: true })
}
