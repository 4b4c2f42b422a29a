/** PNG to 8-bit samples: sharp spends 0.4 ms on each image, whatever its size, and a 32x32 PNG is a few microseconds of zlib. */
import { promisify } from 'node:util'
import { crc32, inflate, inflateSync } from 'node:zlib'
import { ImmiscibleError } from '../../errors.ts'
import type { Raster } from './raster.ts'

export interface Png {
  readonly width: number
  readonly height: number
  /** Of a sample, in the file. */
  readonly depth: number
  /** TIFF bytes of the eXIf chunk. */
  readonly exif: Uint8Array | undefined
  readonly hasProfile: boolean
  /** Samples of 16 bits lose their low byte, those of fewer than 8 are scaled to 0 to 255. Throws a DATASET error for corrupt data. */
  decode(): Promise<Raster>
}

interface Header {
  readonly width: number
  readonly height: number
  readonly depth: number
  readonly color: number
  readonly isInterlaced: boolean
}

type Chunks = ReadonlyMap<string, readonly Uint8Array[]>

const SIGNATURE_BYTES = 8
const PALETTE = 3
/** By colour type: channels in the file, and allowed depths. */
const COLORS: Readonly<Record<number, { readonly channels: number; readonly depths: readonly number[] }>> = {
  0: { channels: 1, depths: [1, 2, 4, 8, 16] },
  2: { channels: 3, depths: [8, 16] },
  3: { channels: 1, depths: [1, 2, 4, 8] },
  4: { channels: 2, depths: [8, 16] },
  6: { channels: 4, depths: [8, 16] },
}
/** Adam7: first column and row, and the steps from there. */
const PASSES = [
  [0, 0, 8, 8],
  [4, 0, 8, 8],
  [0, 4, 4, 8],
  [2, 0, 4, 4],
  [0, 2, 2, 4],
  [1, 0, 2, 2],
  [0, 1, 1, 2],
] as const
/** More compressed bytes are inflated beside this thread. */
const INFLATE_HERE_BYTES = 2 ** 15
const MAX_RATIO = 1032
const inflateBeside = promisify(inflate)

/** All chunks, by their checksums, and the header. Throws a DATASET error for one that is animated, truncated or corrupt. @param name for errors. */
export function readPng(bytes: Uint8Array, name: string): Png {
  const chunks = readChunks(bytes, name)
  const header = readHeader(chunks.get('IHDR')?.[0] ?? new Uint8Array(0), name)
  if (chunks.has('acTL')) refuse(name, 'expected one image, got an animated PNG')
  return {
    ...header,
    exif: chunks.get('eXIf')?.[0],
    hasProfile: chunks.has('iCCP'),
    decode: async () => expand(header, await inflateRows(header, chunks, name), chunks, name),
  }
}

function readChunks(bytes: Uint8Array, name: string): Chunks {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const chunks = new Map<string, Uint8Array[]>()
  for (let at = SIGNATURE_BYTES; ;) {
    const length = at + 8 <= bytes.length ? view.getUint32(at) : Infinity
    const end = at + 8 + length
    if (end + 4 > bytes.length) refuse(name, 'the PNG is truncated')
    const type = String.fromCharCode(...bytes.subarray(at + 4, at + 8))
    if (crc32(bytes.subarray(at + 4, end)) !== view.getUint32(end)) refuse(name, `the PNG is corrupt: checksum of ${JSON.stringify(type)}`)
    if (chunks.size === 0 && type !== 'IHDR') refuse(name, `expected a PNG that begins with IHDR, got ${type}`)
    // Those that begin with a capital change what the pixels mean.
    if (/^[A-Z]/.test(type) && !['IHDR', 'PLTE', 'IDAT', 'IEND'].includes(type)) refuse(name, `the PNG has the unknown chunk ${type}`)
    const known = chunks.get(type)
    if (known) known.push(bytes.subarray(at + 8, end))
    else chunks.set(type, [bytes.subarray(at + 8, end)])
    if (type === 'IEND') return chunks
    at = end + 4
  }
}

function readHeader(bytes: Uint8Array, name: string): Header {
  if (bytes.length !== 13) refuse(name, `expected a PNG header of 13 bytes, got ${bytes.length}`)
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const [width, height] = [view.getUint32(0), view.getUint32(4)]
  const [depth, color, compression, filter, interlace] = bytes.subarray(8)
  const isKnown = COLORS[color]?.depths.includes(depth) && compression === 0 && filter === 0 && interlace <= 1
  if (!isKnown || width === 0 || height === 0) refuse(name, `the PNG header is corrupt: ${width}x${height}, ${bytes.subarray(8).join(' ')}`)
  return { width, height, depth, color, isInterlaced: interlace === 1 }
}

async function inflateRows(header: Header, chunks: Chunks, name: string): Promise<Uint8Array> {
  const bytes = passesOf(header).reduce((sum, { width, height }) => sum + (rowBytes(header, width) + 1) * height, 0)
  const parts = chunks.get('IDAT') ?? []
  const data = parts.length === 1 ? parts[0] : Buffer.concat(parts)
  // Nothing is allocated for a size that deflate cannot reach.
  if (bytes > MAX_RATIO * data.length) refuse(name, `the PNG is corrupt: expected ${bytes} bytes, got ${data.length} compressed ones`)
  // One byte more, to see whether there is more.
  const options = { chunkSize: Math.max(64, bytes + 1), maxOutputLength: bytes + 1 }
  try {
    const rows = data.length < INFLATE_HERE_BYTES ? inflateSync(data, options) : await inflateBeside(data, options)
    if (rows.length === bytes) return rows
    throw new Error(`expected ${bytes} bytes, got ${rows.length > bytes ? 'more' : rows.length}`)
  } catch (cause) {
    return refuse(name, `the PNG is corrupt: ${(cause as Error).message}`, cause)
  }
}

interface Pass {
  readonly left: number
  readonly top: number
  readonly across: number
  readonly down: number
  readonly width: number
  readonly height: number
}

function passesOf({ width, height, isInterlaced }: Header): readonly Pass[] {
  if (!isInterlaced) return [{ left: 0, top: 0, across: 1, down: 1, width, height }]
  return PASSES.map(([left, top, across, down]) => ({
    left,
    top,
    across,
    down,
    width: Math.ceil((width - left) / across),
    height: Math.ceil((height - top) / down),
  })).filter((pass) => pass.width > 0 && pass.height > 0)
}

function rowBytes({ depth, color }: Header, width: number): number {
  return Math.ceil((width * COLORS[color].channels * depth) / 8)
}

/** Undoes the filters, then spreads what is packed. */
function expand(header: Header, rows: Uint8Array, chunks: Chunks, name: string): Raster {
  const { width, height, depth, color } = header
  const { channels } = COLORS[color]
  const samples = new Uint8Array(width * height * channels)
  const key = color === PALETTE || !chunks.has('tRNS') ? undefined : readKey(header, (chunks.get('tRNS') as Uint8Array[])[0], name)
  const opaque = key && new Uint8Array(width * height)
  let at = 0
  for (const pass of passesOf(header)) {
    const length = rowBytes(header, pass.width)
    const isWhole = depth === 8 && !header.isInterlaced && !key
    for (let y = 0; y < pass.height; y++) {
      unfilter(rows, at, length, y > 0, Math.max(1, (channels * depth) >> 3), name)
      const row = rows.subarray(at + 1, at + 1 + length)
      const start = (pass.top + y * pass.down) * width + pass.left
      if (isWhole) samples.set(row, start * channels)
      else spread(row, header, pass, samples, start)
      if (key) for (let x = 0; x < pass.width; x++) (opaque as Uint8Array)[start + x * pass.across] = key(row, x) ? 0 : 255
      at += length + 1
    }
  }
  if (color === PALETTE) return applyPalette(header, samples, chunks, name)
  return { pixels: opaque ? withAlpha(samples, channels, opaque) : samples, width, height, channels: opaque ? channels + 1 : channels }
}

function unfilter(rows: Uint8Array, start: number, length: number, hasAbove: boolean, step: number, name: string): void {
  const first = start + 1
  const end = first + length
  const above = length + 1
  // Above the first row there are zeros: nothing to add, and Paeth's choice is the pixel to the left.
  const filter = hasAbove ? rows[start] : ([0, 1, 0, 3, 1][rows[start]] ?? rows[start])
  switch (filter) {
    case 0:
      return
    case 1:
      for (let at = first + step; at < end; at++) rows[at] += rows[at - step]
      return
    case 2:
      for (let at = first; at < end; at++) rows[at] += rows[at - above]
      return
    case 3:
      if (hasAbove) for (let at = first; at < first + step; at++) rows[at] += rows[at - above] >> 1
      for (let at = first + step; at < end; at++) rows[at] += (rows[at - step] + (hasAbove ? rows[at - above] : 0)) >> 1
      return
    case 4:
      for (let at = first; at < first + step; at++) rows[at] += rows[at - above]
      for (let at = first + step; at < end; at++) rows[at] += paeth(rows[at - step], rows[at - above], rows[at - above - step])
      return
    default:
      refuse(name, `the PNG is corrupt: filter ${filter}`)
  }
}

/** The neighbour next to left + up - corner. */
function paeth(left: number, up: number, corner: number): number {
  const byLeft = Math.abs(up - corner)
  const byUp = Math.abs(left - corner)
  const byCorner = Math.abs(left + up - 2 * corner)
  if (byLeft <= byUp && byLeft <= byCorner) return left
  return byUp <= byCorner ? up : corner
}

/** One row to 8-bit samples; indices of a palette stay what they are. */
function spread(row: Uint8Array, { depth, color }: Header, { width, across }: Pass, out: Uint8Array, start: number): void {
  const { channels } = COLORS[color]
  const scale = color === PALETTE || depth >= 8 ? 1 : 255 / (2 ** depth - 1)
  for (let x = 0; x < width; x++) {
    for (let channel = 0; channel < channels; channel++) {
      const sample = x * channels + channel
      out[(start + x * across) * channels + channel] = depth === 16 ? row[sample * 2] : sampleAt(row, sample, depth) * scale
    }
  }
}

function sampleAt(row: Uint8Array, sample: number, depth: number): number {
  if (depth === 16) return row[sample * 2] * 256 + row[sample * 2 + 1]
  if (depth === 8) return row[sample]
  const bit = sample * depth
  return (row[bit >> 3] >> (8 - depth - (bit & 7))) & (2 ** depth - 1)
}

/** The colour that is transparent. */
function readKey({ depth, color }: Header, bytes: Uint8Array, name: string): (row: Uint8Array, x: number) => boolean {
  const { channels } = COLORS[color]
  if (channels % 2 === 0 || bytes.length !== channels * 2) refuse(name, 'the PNG is corrupt: tRNS')
  const values = Array.from({ length: channels }, (_, channel) => bytes[channel * 2] * 256 + bytes[channel * 2 + 1])
  return (row, x) => values.every((value, channel) => sampleAt(row, x * channels + channel, depth) === value)
}

function withAlpha(samples: Uint8Array, channels: number, alpha: Uint8Array): Uint8Array {
  const out = new Uint8Array(samples.length + alpha.length)
  for (let at = 0; at < alpha.length; at++) {
    for (let channel = 0; channel < channels; channel++) out[at * (channels + 1) + channel] = samples[at * channels + channel]
    out[at * (channels + 1) + channels] = alpha[at]
  }
  return out
}

function applyPalette({ width, height }: Header, indices: Uint8Array, chunks: Chunks, name: string): Raster {
  const colors = chunks.get('PLTE')?.[0] ?? new Uint8Array(0)
  const alpha = chunks.get('tRNS')?.[0]
  const channels = alpha ? 4 : 3
  const pixels = new Uint8Array(indices.length * channels)
  for (let at = 0; at < indices.length; at++) {
    const index = indices[at]
    if (index * 3 + 2 >= colors.length) refuse(name, `the PNG is corrupt: colour ${index} is not in its palette of ${colors.length / 3}`)
    for (let channel = 0; channel < 3; channel++) pixels[at * channels + channel] = colors[index * 3 + channel]
    if (alpha) pixels[at * 4 + 3] = alpha[index] ?? 255
  }
  return { pixels, width, height, channels }
}

function refuse(name: string, what: string, cause?: unknown): never {
  throw new ImmiscibleError('DATASET', `${name}: ${what}`, { cause })
}
