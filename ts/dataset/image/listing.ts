/** Which of many files are images, and of which class: by their names alone. */
import { join } from 'node:path'
import { ImmiscibleError } from '../../errors.ts'
import { escapeControls } from '../files.ts'

export interface ListedImage<F> {
  readonly file: F
  /** undefined: there are no classes. */
  readonly label: number | undefined
}

export interface Listing<F> {
  /** By class, then by name. */
  readonly images: readonly ListedImage<F>[]
  readonly classNames: readonly string[]
  readonly notes: readonly string[]
}

export interface ListOptions {
  /** One folder around everything is no class: how archives are packed. */
  readonly isWrapped?: boolean
  /** Names of those at the top, empty ones too. */
  readonly folders?: readonly string[]
}

const IMAGES = new Set(['png', 'jpg', 'jpeg', 'jpe', 'jfif', 'webp'])
/** Written about images, beside them. */
const METADATA = new Set(['txt', 'json', 'jsonl', 'csv', 'tsv', 'md', 'xml', 'yml', 'yaml', 'html'])
const PAPERS = new Set(['readme', 'license', 'licence', 'copying', 'notice'])
const SYSTEM = new Set(['thumbs.db', 'desktop.ini', '__macosx'])

/** What the system or another program put there: never looked at. @param name of a file or folder, without its path. */
export function isHidden(name: string): boolean {
  return name.startsWith('.') || SYSTEM.has(name.toLowerCase())
}

/**
 * The class of an image is the folder at the top that it is in, however deep; classes are in the order of their names, by code points. Images at
 * the top, and none below, have no classes. Metadata (txt, json, csv and the like) is passed over and noted, hidden files are passed over.
 *
 * Throws a DATASET error for images both at the top and below, files of other types, and where there is no image, or none
 * of a class: torchvision's numbers would be others.
 * @param files named by their path within `source`, with forward slashes.
 */
export function listImages<F extends { readonly name: string }>(
  source: string,
  files: readonly F[],
  { isWrapped = false, folders = [] }: ListOptions = {},
): Listing<F> {
  const images: F[] = []
  const passed = new Map<string, number>()
  for (const file of files) {
    const segments = file.name.split('/')
    if (segments.some(isHidden)) continue
    const base = segments[segments.length - 1].toLowerCase()
    const extension = base.includes('.') ? base.slice(base.lastIndexOf('.') + 1) : ''
    if (IMAGES.has(extension)) images.push(file)
    else if (METADATA.has(extension) || PAPERS.has(base)) passed.set(extension || base, (passed.get(extension || base) ?? 0) + 1)
    else refuse(source, `${file.name}: expected a PNG, JPEG or WebP file, or metadata (${[...METADATA].join(', ')})`)
  }
  if (images.length === 0) refuse(source, 'expected PNG, JPEG or WebP images, got none')
  const depth = isWrapped && isWrappedOnce(images) ? 1 : 0
  const classOf = ({ name }: F): string | undefined => {
    const segments = name.split('/')
    return segments.length > depth + 1 ? segments[depth] : undefined
  }
  const byClass = Map.groupBy(images, classOf)
  const top = byClass.get(undefined)
  if (top && byClass.size > 1) {
    const below = images.find((file) => classOf(file) !== undefined) as F
    refuse(source, `expected images in sub-folders, one for each class, or none of them, got ${top[0].name} and ${below.name}`)
  }
  const classNames = top ? [] : [...(byClass.keys() as MapIterator<string>)].toSorted(byCodePoints)
  const empty = top ? [] : folders.filter((name) => !byClass.has(name)).toSorted(byCodePoints)
  if (empty.length > 0) refuse(source, `expected an image in each class folder, got none in ${join(source, empty[0])}`)
  const groups = top ? [top] : classNames.map((name) => byClass.get(name) as F[])
  const listed = groups.flatMap((group, label) =>
    group.toSorted((a, b) => byCodePoints(a.name, b.name)).map((file) => ({ file, label: top ? undefined : label })),
  )
  const numPassed = [...passed.values()].reduce((sum, count) => sum + count, 0)
  const kinds = [...passed.keys()].toSorted(byCodePoints).join(', ')
  return {
    images: listed,
    classNames,
    notes: numPassed === 0 ? [] : [`${numPassed} ${numPassed === 1 ? 'file that is no image' : 'files that are no images'} (${kinds})`],
  }
}

function isWrappedOnce(images: readonly { readonly name: string }[]): boolean {
  const [first, ...rest] = images[0].name.split('/')
  return rest.length > 0 && images.every(({ name }) => name.startsWith(`${first}/`))
}

/** As Python sorts strings, in every locale: JavaScript compares UTF-16, where what is beyond 65,535 comes too early. */
export function byCodePoints(a: string, b: string): number {
  const length = Math.min(a.length, b.length)
  for (let at = 0; at < length; at++) {
    const left = a.charCodeAt(at)
    const right = b.charCodeAt(at)
    if (left !== right) return codePointRank(left) - codePointRank(right)
  }
  return a.length - b.length
}

/** Surrogates behind the rest. */
function codePointRank(unit: number): number {
  return unit >= 0xd800 && unit < 0xe000 ? unit + 0x10000 : unit
}

function refuse(source: string, what: string): never {
  throw new ImmiscibleError('DATASET', escapeControls(`${source}: ${what}`))
}
