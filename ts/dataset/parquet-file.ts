/** One parquet file: what its columns are, and their values, one row group at a time. */
import { open } from 'node:fs/promises'
import { crc32 } from 'node:zlib'
import {
  parquetMetadataAsync,
  parquetScan,
  parquetSchema,
  type AsyncBuffer,
  type Compressors,
  type FileMetaData,
  type SchemaTree,
} from 'hyparquet'
import { compressors } from 'hyparquet-compressors'
import { parquetHeader } from 'hyparquet/src/column.js'
import { ImmiscibleError } from '../errors.ts'
import { fileIdentity, refuseFile } from './files.ts'
import { checkPages } from './parquet-pages.ts'

export interface ParquetColumn {
  readonly name: string
  /** images: a structure with `bytes`, or plain bytes. */
  readonly kind: 'images' | 'integers' | 'other'
}

export interface ParquetFile {
  readonly path: string
  readonly numRows: number
  readonly columns: readonly ParquetColumn[]
  /** The value of a key of the file's own metadata. */
  metadata(key: string): string | undefined
  /** Values of columns, in the order that is asked for; null and undefined where there is none. Throws a DATASET error that names file and row group. */
  readGroups(names: readonly string[]): AsyncGenerator<{ readonly firstRow: number; readonly values: readonly ArrayLike<unknown>[] }>
}

/** Of the columns that are read, in memory. */
const MAX_GROUP_BYTES = 2 ** 31
const MAX_ROWS = 2 ** 31 - 1

/** Throws a DATASET error for what is no parquet file, or one that was cut off. */
export async function openParquetFile(path: string): Promise<ParquetFile> {
  const { bytes } = fileIdentity(path)
  if (bytes < 12) refuseFile(path, 'a parquet file', `${bytes} bytes: truncated?`)
  const file: AsyncBuffer = { byteLength: bytes, slice: (start, end = bytes) => readSlice(path, start, end) }
  const { metadata, tree } = await explain(path, 'expected a parquet file', async () => {
    const parsed = await parquetMetadataAsync(file, { geoparquet: false })
    return { metadata: parsed, tree: parquetSchema(parsed) }
  })
  const rows = metadata.row_groups.map(({ num_rows: numRows }) => Number(numRows))
  const numRows = rows.reduce((sum, count) => sum + count, 0)
  const areRows = rows.every((count) => Number.isInteger(count) && count >= 0) && numRows <= MAX_ROWS
  if (!areRows || numRows !== Number(metadata.num_rows))
    refuseFile(path, `row groups of ${metadata.num_rows} rows`, rows.slice(0, 20).join(' + ') || 'none')
  return {
    path,
    numRows,
    columns: tree.children.map((child) => ({ name: child.element.name, kind: kindOf(child) })),
    metadata: (key) => metadata.key_value_metadata?.find((entry) => entry.key === key)?.value,
    async *readGroups(names) {
      let firstRow = 0
      for (const [index, count] of rows.entries()) {
        if (count > 0)
          yield await explain(`${path}: row group ${index}`, 'cannot be read', () =>
            readGroup(file, metadata, tree, index, firstRow, names),
          )
        firstRow += count
      }
    },
  }
}

async function readGroup(
  file: AsyncBuffer,
  metadata: FileMetaData,
  tree: SchemaTree,
  index: number,
  firstRow: number,
  names: readonly string[],
) {
  const group = metadata.row_groups[index]
  const numRows = Number(group.num_rows)
  const checks = new Map<string, (content: Uint8Array) => void>()
  let groupBytes = 0
  for (const { meta_data: column, file_path: elsewhere } of group.columns) {
    if (!column || elsewhere) throw new Error('expected all columns in this file')
    if (!names.includes(column.path_in_schema[0])) continue
    const maxBytes = Number(column.total_uncompressed_size)
    const [start, length] = [Number(column.dictionary_page_offset || column.data_page_offset), Number(column.total_compressed_size)]
    groupBytes += maxBytes + length
    const isWithin = start >= 4 && length >= 0 && start + length <= file.byteLength && maxBytes >= 0
    if (!isWithin || groupBytes > MAX_GROUP_BYTES)
      throw new Error(
        `expected columns within the file, of at most ${MAX_GROUP_BYTES} bytes, got ${length} from ${start} on, ${maxBytes} uncompressed`,
      )
    const bytes = new Uint8Array(await file.slice(start, start + length))
    const layout = {
      numRows,
      maxDefinition: definitionOf(tree, column.path_in_schema),
      isCompressed: column.codec !== 'UNCOMPRESSED',
      maxBytes,
    }
    for (const { stored, check } of checkPages(bytes, layout, parquetHeader)) checks.set(keyOf(stored), check)
  }
  const scan = await parquetScan({
    file,
    metadata,
    columns: [...names],
    compressors: checked(checks),
    utf8: false,
    geoparquet: false,
    useOffsetIndex: false,
  })
  const values: ArrayLike<unknown>[] = []
  for (const column of names) {
    const read = await scan.readColumn({ column, rowStart: firstRow, rowEnd: firstRow + numRows })
    if (read.length !== numRows) throw new Error(`expected ${numRows} values of '${column}', got ${read.length}`)
    values.push(read)
  }
  return { firstRow, values }
}

/** Pages are known again by their bytes: the decoder reads them for itself. */
function keyOf(stored: Uint8Array): string {
  return `${stored.length} ${crc32(stored)}`
}

function checked(checks: ReadonlyMap<string, (content: Uint8Array) => void>): Compressors {
  return Object.fromEntries(
    Object.entries(compressors).map(([codec, decompress]) => [
      codec,
      (input: Uint8Array, length: number) => {
        const check = checks.get(keyOf(input))
        if (!check) throw new Error('its pages have changed while they were read')
        // As the dictionary of a column of nulls: the decoder of LZ4 expects something.
        const content = length === 0 ? new Uint8Array() : decompress(input, length)
        if (content.length !== length) throw new Error(`expected a page of ${length} bytes, got ${content.length}`)
        check(content)
        return content
      },
    ]),
  )
}

function kindOf({ element, children }: SchemaTree): ParquetColumn['kind'] {
  if (element.repetition_type === 'REPEATED') return 'other'
  if (children.length > 0) {
    const bytes = children.find((child) => child.element.name === 'bytes')
    const isFlat = children.every((child) => child.children.length === 0 && child.element.repetition_type !== 'REPEATED')
    return isFlat && bytes?.element.type === 'BYTE_ARRAY' ? 'images' : 'other'
  }
  const logical = element.logical_type?.type
  if (element.type === 'BYTE_ARRAY') return element.converted_type === undefined && logical === undefined ? 'images' : 'other'
  const isInteger = element.type === 'INT32' || element.type === 'INT64'
  const isPlain =
    (element.converted_type === undefined || /^U?INT_/.test(element.converted_type)) && (logical === undefined || logical === 'INTEGER')
  return isInteger && isPlain ? 'integers' : 'other'
}

/** How many of the elements on the way to a column may be null. */
function definitionOf(tree: SchemaTree, path: readonly string[]): number {
  let at: SchemaTree | undefined = tree
  let level = 0
  for (const name of path) {
    at = at.children.find(({ element }) => element.name === name)
    if (!at) throw new Error(`expected the column ${path.join('.')} in the schema`)
    if (at.element.repetition_type !== 'REQUIRED') level++
  }
  return level
}

/** Opened for each piece: nothing has to be closed by anybody. */
async function readSlice(path: string, start: number, end: number): Promise<ArrayBuffer> {
  await using file = await open(path)
  const data = new Uint8Array(end - start)
  const { bytesRead } = await file.read(data, 0, data.length, start)
  if (bytesRead < data.length) throw new Error(`expected ${data.length} bytes from ${start} on, got ${bytesRead}: truncated?`)
  return data.buffer
}

/** What a library throws, as an error that names the file. */
async function explain<T>(where: string, what: string, run: () => Promise<T>): Promise<T> {
  try {
    return await run()
  } catch (cause) {
    if (cause instanceof ImmiscibleError) throw cause
    throw new ImmiscibleError('DATASET', `${where}: ${what}: ${(cause as Error).message}`, { cause })
  }
}
