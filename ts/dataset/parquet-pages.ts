/** What the pages of a parquet column say about themselves, checked before they are decoded: a count that lies would fill the memory. */

/** As the decoder's own parser of headers gives them; of a damaged file anything. */
export interface PageHeader {
  readonly type?: unknown
  readonly compressed_page_size?: unknown
  readonly uncompressed_page_size?: unknown
  readonly dictionary_page_header?: { readonly num_values?: unknown } | undefined
  readonly data_page_header?: { readonly num_values?: unknown; readonly encoding?: unknown } | undefined
  readonly data_page_header_v2?:
    | {
        readonly num_values?: unknown
        readonly num_nulls?: unknown
        readonly num_rows?: unknown
        readonly encoding?: unknown
        readonly definition_levels_byte_length?: unknown
        readonly repetition_levels_byte_length?: unknown
        readonly is_compressed?: unknown
      }
    | undefined
}

/** One column of one row group. */
export interface ColumnLayout {
  readonly numRows: number
  /** How many of the column and the structures around it may be null. */
  readonly maxDefinition: number
  readonly isCompressed: boolean
  /** Of all pages together, uncompressed. */
  readonly maxBytes: number
}

/** A page that will be decompressed: its bytes as they are stored, and the check of what comes out. */
export interface PageCheck {
  readonly stored: Uint8Array
  check(content: Uint8Array): void
}

/** Walks over all pages that will be decoded. Throws where they do not fit the column. @param readHeader reads one header, and moves on. */
export function checkPages(
  bytes: Uint8Array<ArrayBuffer>,
  layout: ColumnLayout,
  readHeader: (reader: { view: DataView<ArrayBuffer>; offset: number }) => PageHeader,
): PageCheck[] {
  const reader = { view: new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength), offset: 0 }
  const checks: PageCheck[] = []
  let numValues = 0
  let numBytes = 0
  while (numValues < layout.numRows) {
    if (reader.offset >= bytes.length) throw new Error(`expected ${layout.numRows} values in its pages, got ${numValues}`)
    const header = readHeader(reader)
    const size = count(header.compressed_page_size, bytes.length - reader.offset, 'bytes in a page')
    const stored = bytes.subarray(reader.offset, reader.offset + size)
    reader.offset += size
    const contentBytes = count(header.uncompressed_page_size, layout.maxBytes - numBytes, 'bytes of a page')
    numBytes += contentBytes
    const rest = layout.numRows - numValues
    const page =
      header.type === 'DATA_PAGE_V2' ? pageOf2(header, stored, layout, rest) : pageOf1(header, stored, contentBytes, layout, rest)
    numValues += page.numValues
    if (layout.isCompressed && page.isCompressed) checks.push(page)
    else page.check(page.stored)
  }
  return checks
}

interface Page extends PageCheck {
  /** 0 for a dictionary. */
  readonly numValues: number
  readonly isCompressed: boolean
}

function pageOf1(header: PageHeader, stored: Uint8Array, contentBytes: number, { maxDefinition }: ColumnLayout, rest: number): Page {
  if (header.type === 'DICTIONARY_PAGE') {
    count(header.dictionary_page_header?.num_values, contentBytes, 'values in a dictionary')
    return { numValues: 0, isCompressed: true, stored, check: () => {} }
  }
  if (header.type !== 'DATA_PAGE') throw new Error(`expected a page of data or a dictionary, got ${String(header.type)}`)
  const numValues = count(header.data_page_header?.num_values, rest, 'values in a page')
  const isDictionary = String(header.data_page_header?.encoding).endsWith('_DICTIONARY')
  const check = (content: Uint8Array): void => {
    let at = 0
    let numPresent = numValues
    if (maxDefinition > 0) {
      if (content.length < 4) throw new Error('expected levels in a page, got none')
      const length = new DataView(content.buffer, content.byteOffset).getUint32(0, true)
      at = 4 + count(length, content.length - 4, 'bytes of levels')
      numPresent = checkRuns(content.subarray(4, at), bitsOf(maxDefinition), numValues, maxDefinition)
    }
    if (isDictionary) checkIndices(content.subarray(at), numPresent)
  }
  return { numValues, isCompressed: true, stored, check }
}

function pageOf2(header: PageHeader, stored: Uint8Array, { maxDefinition }: ColumnLayout, rest: number): Page {
  const page = header.data_page_header_v2
  const numValues = count(page?.num_values, rest, 'values in a page')
  const numNulls = count(page?.num_nulls, numValues, 'nulls in a page')
  if (page?.num_rows !== numValues || page.repetition_levels_byte_length !== 0) throw new Error('expected one value for each row of a page')
  const levels = count(page.definition_levels_byte_length, stored.length, 'bytes of levels')
  if (
    maxDefinition > 0 &&
    checkRuns(stored.subarray(0, levels), bitsOf(maxDefinition), numValues, maxDefinition) !== numValues - numNulls
  ) {
    throw new Error(`expected ${numNulls} nulls in a page, got others`)
  }
  const isDictionary = String(page.encoding).endsWith('_DICTIONARY')
  const check = (content: Uint8Array): void => (isDictionary ? checkIndices(content, numValues - numNulls) : undefined)
  return { numValues, isCompressed: page.is_compressed !== false, stored: stored.subarray(levels), check }
}

/** A byte that says how wide they are, then their runs. */
function checkIndices(bytes: Uint8Array, numValues: number): void {
  if (numValues === 0) return
  if (bytes.length === 0 || bytes[0] > 32) throw new Error('expected numbers of the dictionary in a page, got none')
  if (bytes[0] > 0) checkRuns(bytes.subarray(1), bytes[0], numValues, -1)
}

/** Runs of equal numbers, or of packed ones (the RLE and bit-packing hybrid): they hold `numValues`, and no more. @returns how many of them are `wanted`. */
function checkRuns(bytes: Uint8Array, bits: number, numValues: number, wanted: number): number {
  const width = Math.ceil(bits / 8)
  let at = 0
  let seen = 0
  let numWanted = 0
  while (seen < numValues) {
    let header = 0
    for (let shift = 0; ; shift += 7) {
      if (at >= bytes.length || shift > 21) throw new Error('expected runs of numbers in a page, got other bytes')
      header += (bytes[at] & 0x7f) * 2 ** shift
      if (bytes[at++] < 0x80) break
    }
    const length = header >> 1
    const rest = numValues - seen
    if (header & 1) {
      if (length === 0 || length > Math.ceil(rest / 8) || at + length * bits > bytes.length)
        throw new Error(`expected ${rest} packed numbers in a page, got ${length * 8}`)
      if (wanted >= 0) numWanted += countPacked(bytes, at, Math.min(rest, length * 8), bits, wanted)
      at += length * bits
      seen += length * 8
    } else {
      if (length === 0 || length > rest || at + width > bytes.length)
        throw new Error(`expected ${rest} equal numbers in a page, got ${length}`)
      if (bytes[at] === wanted) numWanted += length
      at += width
      seen += length
    }
  }
  return numWanted
}

/** Of numbers of at most 8 bits, packed from the lowest on. */
function countPacked(bytes: Uint8Array, start: number, length: number, bits: number, wanted: number): number {
  let found = 0
  for (let index = 0; index < length; index++) {
    let number = 0
    for (let bit = 0; bit < bits; bit++) {
      const place = index * bits + bit
      number |= ((bytes[start + (place >> 3)] >> (place & 7)) & 1) << bit
    }
    if (number === wanted) found++
  }
  return found
}

function bitsOf(maximum: number): number {
  return 32 - Math.clz32(maximum)
}

function count(value: unknown, most: number, what: string): number {
  if (!Number.isInteger(value) || (value as number) < 0 || (value as number) > most)
    throw new Error(`expected at most ${most} ${what}, got ${String(value)}`)
  return value as number
}
