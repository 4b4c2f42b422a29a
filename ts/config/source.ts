/** Where the value of a config field came from. */

export type ConfigSource =
  | { readonly kind: 'default' }
  /** `by`: who named the preset. */
  | { readonly kind: 'preset'; readonly name: string; readonly by: ConfigSource }
  /** `run`: the named run within the file that says it; undefined: the fields that all its runs share. */
  | { readonly kind: 'file'; readonly name: string; readonly run: string | undefined }
  | { readonly kind: 'env'; readonly name: string }
  | { readonly kind: 'flag'; readonly name: string }

export const DEFAULT: ConfigSource = { kind: 'default' }

/** As in `file immiscible.config.ts`. */
export function describeSource(source: ConfigSource): string {
  switch (source.kind) {
    case 'preset':
      return `preset ${source.name} (${describeSource(source.by)})`
    case 'file':
      return `file ${source.name}${source.run === undefined ? '' : `, run ${source.run}`}`
    case 'env':
    case 'flag':
      return `${source.kind} ${source.name}`
    default:
      return 'default'
  }
}
