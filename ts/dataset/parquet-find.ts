/** Where the parquet files of a split are: a file, a folder of them, or the cache of the Hugging Face Hub. */
import { readdirSync, readFileSync } from 'node:fs'
import { basename, dirname, join, sep } from 'node:path'
import type { DatasetConfig } from '../../protocol/index.ts'
import { hubCacheFolder } from '../cache-folder.ts'
import { ImmiscibleError } from '../errors.ts'
import { refuseFile, statPath } from './files.ts'

export type ParquetConfig = Extract<DatasetConfig, { kind: 'parquet' }>

export interface FoundFile {
  readonly path: string
  /** Below the folder, with forward slashes. */
  readonly name: string
}

/** In the order of their names. Throws a DATASET error where there are none, where parts are missing, or where several folders have the split. */
export function findParquet(config: Pick<ParquetConfig, 'path' | 'repo' | 'revision' | 'split'>): {
  source: string
  files: readonly FoundFile[]
} {
  const { path, repo, revision, split } = config
  if ((path === null) === (repo === null)) {
    throw new ImmiscibleError('DATASET', `parquet: expected either dataset.path or dataset.repo, got ${path === null ? 'neither' : 'both'}`)
  }
  const source = path ?? snapshotFolder(repo as string, revision)
  if (!statPath(source).isDirectory()) return { source, files: [{ path: source, name: basename(source) }] }
  const names = readdirSync(source, { recursive: true, encoding: 'utf8' })
    .map((name) => name.replaceAll(sep, '/'))
    .filter((name) => name.endsWith('.parquet') && !name.split('/').some((part) => part.startsWith('.')))
    .toSorted()
  // A single file is taken whole, as `immiscible data fetch` does.
  const wanted = names.length === 1 ? names : names.filter((name) => isOfSplit(name, split))
  const files = wanted.map((name) => ({ path: join(source, name), name }))
  if (files.length === 0) refuseFile(source, `parquet files of the split '${split}'`, names.slice(0, 10).join(', ') || 'none at all')
  const folders = [...new Set(files.map(({ name }) => dirname(name)))]
  if (folders.length > 1) refuseFile(source, `the split '${split}' in one folder (set dataset.path to it)`, folders.join(', '))
  checkShards(source, files)
  return { source, files }
}

/** `train-00000-of-00002.parquet`, `train.parquet`, `train/0000.parquet`. */
function isOfSplit(name: string, split: string): boolean {
  const file = basename(name)
  return basename(dirname(name)) === split || (file.startsWith(split) && !/^\w/.test(file.slice(split.length)))
}

/** Parts that say how many there are must all be there. */
function checkShards(source: string, files: readonly FoundFile[]): void {
  const numbers = files.flatMap(({ name }) => {
    const [, index, total] = /-(\d+)-of-(\d+)[.-]/.exec(basename(name)) ?? []
    return total ? [{ index: Number(index), total: Number(total) }] : []
  })
  if (numbers.length === 0) return
  const total = numbers[0].total
  const isWhole =
    numbers.length === files.length && total === numbers.length && numbers.every((part, at) => part.index === at && part.total === total)
  if (!isWhole) refuseFile(source, `the parts 0 to ${total - 1} of ${total}`, files.map(({ name }) => basename(name)).join(', '))
}

function snapshotFolder(repo: string, revision: string): string {
  const folder = join(hubCacheFolder(), `datasets--${repo.replaceAll('/', '--')}`)
  const missing = (where: string, cause?: unknown): never =>
    refuseFile(where, `${repo} at ${revision}`, `nothing there: run immiscible data fetch ${repo}, or set dataset.path`, cause)
  const commit = /^[0-9a-f]{40}$/.test(revision) ? revision : readRef(join(folder, 'refs', revision), missing)
  const snapshot = join(folder, 'snapshots', commit)
  try {
    return statPath(snapshot).isDirectory() ? snapshot : missing(snapshot)
  } catch (cause) {
    return missing(snapshot, cause)
  }
}

function readRef(file: string, missing: (where: string, cause?: unknown) => never): string {
  let commit: string
  try {
    commit = readFileSync(file, 'utf8').trim()
  } catch (cause) {
    return missing(file, cause)
  }
  return /^[0-9a-f]{40}$/.test(commit) ? commit : refuseFile(file, 'the number of a commit', JSON.stringify(commit.slice(0, 80)))
}
