/** YAML text as plain values; the only file that knows the yaml package. */
import { parseDocument } from 'yaml'

/** YAML 1.2, core schema; a tag of another is refused, and nothing is run. @throws Error with the line. */
export function parseYaml(text: string): unknown {
  const document = parseDocument(text, { prettyErrors: true, strict: true, uniqueKeys: true })
  for (const problem of [...document.errors, ...document.warnings]) throw problem
  return document.toJS()
}
