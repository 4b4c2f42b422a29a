/** Parquet files with encoded images, as on the Hugging Face Hub: one row group in memory at a time. */
import { basename } from 'node:path'
import { escapeControls, fileIdentity, refuseFile } from './files.ts'
import { decodeInOrder, peekShape, type EncodedImage } from './image/many.ts'
import { createThreadedDecoder } from './image/threads.ts'
import { openParquetFile, type ParquetColumn, type ParquetFile } from './parquet-file.ts'
import { findParquet, type ParquetConfig } from './parquet-find.ts'
import type { DatasetSource, DecodeOptions, Decoding } from './source.ts'

/** What is read of each file. */
interface Columns {
  readonly image: string
  readonly label: string | undefined
}

const LABEL_NAMES = ['label', 'labels']
const MAX_CLASSES = 100_000

/** Where its files are not there, or not what they should be: a DATASET error that names the file, and the row. */
export function openParquet(config: ParquetConfig): DatasetSource {
  const { repo, split, imageColumn, labelColumn, resolution, color, resizeFilter } = config
  const { source, files } = findParquet(config)
  const name = (repo ?? basename(source, '.parquet')).replaceAll(/[^\w.-]/g, '-')
  const options = { imageColumn, labelColumn, resolution, color, resizeFilter: resolution === null ? null : resizeFilter }
  return {
    name: files[0].path === source || split === 'train' ? name : `${name}-${split}`,
    source: repo ? `${repo} (${source})` : source,
    licence: repo ? `as at https://huggingface.co/datasets/${repo}` : "the files' own",
    identity: { version: 1, options, files: files.map((file) => fileIdentity(file.path, file.name)) },
    async decode(decodeOptions) {
      const opened: ParquetFile[] = []
      for (const { path } of files) opened.push(await openParquetFile(path))
      return decodeFiles(opened, config, decodeOptions)
    },
  }
}

async function decodeFiles(files: readonly ParquetFile[], config: ParquetConfig, { signal }: DecodeOptions): Promise<Decoding> {
  const columns = findColumns(files[0], config)
  for (const file of files.slice(1)) {
    const { image, label } = findColumns(file, config)
    if (image !== columns.image || label !== columns.label)
      refuseFile(file.path, `the columns of ${files[0].path}`, [image, label].join(', '))
  }
  const classNames = columns.label === undefined ? [] : await classesOf(files, columns.label)
  const unused = files[0].columns
    .filter(({ name, kind }) => columns.label === undefined && kind !== 'integers' && LABEL_NAMES.includes(name))
    .map(({ name }) => `column '${name}' is not of integers: no labels`)
  const { resolution, color, resizeFilter } = config
  const decoder = createThreadedDecoder({ resolution, color, resizeFilter })
  const chunks = decodeInOrder(imagesOf(files, columns, classNames.length), decoder, signal)
  const peeked = (await peekShape(chunks)) ?? refuseFile(files[0].path, 'images', 'none')
  return {
    ...peeked,
    classNames,
    numImages: files.reduce((sum, { numRows }) => sum + numRows, 0),
    notes: () => [...unused, ...decoder.notes()],
  }
}

function findColumns(file: ParquetFile, { imageColumn, labelColumn }: ParquetConfig): Columns {
  const named = (name: string, kind: ParquetColumn['kind']): string => {
    const column = file.columns.find((one) => one.name === name)
    return column?.kind === kind
      ? name
      : refuseFile(file.path, `a column '${name}' of ${kind}`, column ? 'another kind' : describeColumns(file))
  }
  const candidates = file.columns.filter(({ kind }) => kind === 'images')
  if (imageColumn === null && candidates.length !== 1)
    refuseFile(file.path, 'one column of images, or dataset.imageColumn', describeColumns(file))
  const label = file.columns.find(({ name, kind }) => kind === 'integers' && LABEL_NAMES.includes(name))?.name
  return {
    image: imageColumn === null ? candidates[0].name : named(imageColumn, 'images'),
    label: labelColumn === null ? label : named(labelColumn, 'integers'),
  }
}

function describeColumns({ columns }: ParquetFile): string {
  return (
    columns
      .map(({ name, kind }) => `${name} (${kind})`)
      .slice(0, 20)
      .join(', ') || 'no columns'
  )
}

/** The names that `datasets` has put into the files, the same in all; else as many numbers as are used. */
async function classesOf(files: readonly ParquetFile[], label: string): Promise<string[]> {
  const [names, ...others] = files.map((file) => classNamesOf(file, label))
  const different = others.findIndex((other) => JSON.stringify(other) !== JSON.stringify(names))
  if (different >= 0) refuseFile(files[different + 1].path, `the classes of ${files[0].path}`, 'others')
  if (names) return names
  let most = -1
  for (const file of files) {
    for await (const { firstRow, values } of file.readGroups([label])) {
      for (let at = 0; at < values[0].length; at++) most = Math.max(most, labelOf(file, firstRow + at, values[0][at], MAX_CLASSES))
    }
  }
  return Array.from({ length: most + 1 }, (_, number) => String(number))
}

function classNamesOf(file: ParquetFile, label: string): string[] | undefined {
  const text = file.metadata('huggingface')
  if (text === undefined) return undefined
  let features: unknown
  try {
    features = (JSON.parse(text) as { info?: { features?: unknown } } | null)?.info?.features
  } catch (cause) {
    return refuseFile(file.path, "JSON as its metadata 'huggingface'", (cause as Error).message, cause)
  }
  const feature = (features as Record<string, { _type?: unknown; names?: unknown } | undefined> | null | undefined)?.[label]
  if (feature?._type !== 'ClassLabel') return undefined
  const { names } = feature
  const areNames =
    Array.isArray(names) && names.length <= MAX_CLASSES && names.every((name) => typeof name === 'string' && !/\p{Cc}/u.test(name))
  return areNames ? names : refuseFile(file.path, `names of the classes of '${label}'`, 'something else')
}

async function* imagesOf(files: readonly ParquetFile[], { image, label }: Columns, numClasses: number): AsyncGenerator<EncodedImage> {
  for (const file of files) {
    for await (const { firstRow, values } of file.readGroups(label === undefined ? [image] : [image, label])) {
      const [images, labels] = values
      for (let at = 0; at < images.length; at++) {
        const row = firstRow + at
        const encoded = encodedOf(file, row, images[at])
        yield label === undefined ? encoded : { ...encoded, label: labelOf(file, row, labels[at], numClasses) }
      }
    }
  }
}

function encodedOf(file: ParquetFile, row: number, value: unknown): EncodedImage {
  const where = `${file.path}: row ${row}`
  if (value instanceof Uint8Array) return { name: where, bytes: value }
  const { bytes, path } = (value ?? {}) as { bytes?: unknown; path?: unknown }
  const name = typeof path === 'string' ? `${where} (${escapeControls(path)})` : where
  return bytes instanceof Uint8Array ? { name, bytes } : refuseFile(name, 'an encoded image', 'none')
}

function labelOf(file: ParquetFile, row: number, value: unknown, numClasses: number): number {
  const label = typeof value === 'bigint' ? Number(value) : value
  const isLabel = typeof label === 'number' && label >= 0 && label < numClasses
  return isLabel
    ? label
    : refuseFile(`${file.path}: row ${row}`, `a label from 0 to ${numClasses - 1}`, label == null ? 'none' : String(value))
}
