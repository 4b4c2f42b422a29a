/** What an encoded image says of itself before it is decoded: format by its first bytes, size, EXIF orientation, what is special. */
import { ImmiscibleError } from '../../errors.ts'

export type ImageFormat = 'png' | 'jpeg' | 'webp'

export interface ImageHeader {
  readonly width: number
  readonly height: number
  /** TIFF bytes, without the letters Exif. */
  readonly exif: Uint8Array | undefined
  readonly hasProfile: boolean
}

export interface JpegHeader extends ImageHeader {
  /** 1: gray, 3: colour, 4: CMYK or YCCK. */
  readonly components: number
}

/** For the message alone. */
const OTHERS: readonly [name: string, pattern: RegExp][] = [
  ['GIF', /^GIF8/],
  ['BMP', /^BM/],
  ['TIFF', /^(II\*\0|MM\0\*)/],
  ['HEIC or AVIF', /^.{4}ftyp(hei|hev|mif|msf|avi)/s],
  ['JPEG 2000', /^.{4}jP/s],
  ['JPEG XL', /^.{4}JXL/s],
  ['SVG or XML', /^(\xef\xbb\xbf)?\s*<(\?xml|svg|!DOCTYPE)/i],
  ['PDF', /^%PDF/],
  ['zip', /^PK/],
]

/** By its first bytes, whatever it is called. Throws a DATASET error for any other format. @param name for errors. */
export function formatOf(bytes: Uint8Array, name: string): ImageFormat {
  const start = latin(bytes, 0, 64)
  if (start.startsWith('\x89PNG\r\n\x1a\n')) return 'png'
  if (start.startsWith('\xff\xd8\xff')) return 'jpeg'
  if (/^RIFF.{4}WEBP/s.test(start)) return 'webp'
  const other = OTHERS.find(([, pattern]) => pattern.test(start))?.[0]
  return refuse(name, `expected a PNG, JPEG or WebP file, got ${bytes.length === 0 ? 'an empty one' : (other ?? 'something else')}`)
}

/** Throws a DATASET error where there is no frame. */
export function readJpegHeader(bytes: Uint8Array, name: string): JpegHeader {
  const view = viewOf(bytes)
  let frame: Pick<JpegHeader, 'width' | 'height' | 'components'> | undefined
  let exif: Uint8Array | undefined
  let hasProfile = false
  for (let at = 2; at + 4 <= bytes.length && bytes[at] === 0xff;) {
    const marker = bytes[at + 1]
    if (marker === 0xff) {
      at++
      continue
    }
    const isScan = marker === 0xda || marker === 0xd9
    if (isScan) break
    const end = at + 2 + view.getUint16(at + 2)
    const data = bytes.subarray(at + 4, end)
    // Frames of all kinds; the three others of the range are tables.
    if (marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker) && data.length >= 6) {
      const body = viewOf(data)
      if (data[0] !== 8) refuse(name, `expected a JPEG of 8 bits, got ${data[0]}`)
      frame = { height: body.getUint16(1), width: body.getUint16(3), components: data[5] }
    }
    if (marker === 0xe1 && latin(data, 0, 6) === 'Exif\0\0') exif ??= data.subarray(6)
    if (marker === 0xe2 && latin(data, 0, 12) === 'ICC_PROFILE\0') hasProfile = true
    at = end
  }
  return frame ? { ...frame, exif, hasProfile } : refuse(name, 'the JPEG is corrupt or truncated: no frame header')
}

/** Throws a DATASET error for one that is animated, or says no size. */
export function readWebpHeader(bytes: Uint8Array, name: string): ImageHeader {
  const view = viewOf(bytes)
  let size: Pick<ImageHeader, 'width' | 'height'> | undefined
  let exif: Uint8Array | undefined
  let hasProfile = false
  for (let at = 12; at + 8 <= bytes.length;) {
    const type = latin(bytes, at, at + 4)
    const length = view.getUint32(at + 4, true)
    const data = bytes.subarray(at + 8, at + 8 + length)
    if (type === 'ANIM' || type === 'ANMF') refuse(name, 'expected one image, got an animated WebP')
    if (type === 'ICCP') hasProfile = true
    if (type === 'EXIF') exif ??= latin(data, 0, 6) === 'Exif\0\0' ? data.subarray(6) : data
    if (!size && data.length >= 10) size = webpSize(type, data)
    at += 8 + length + (length % 2)
  }
  return size ? { ...size, exif, hasProfile } : refuse(name, 'the WebP is corrupt or truncated: no size')
}

/** Of the canvas, else of the frame: lossy or lossless. */
function webpSize(type: string, data: Uint8Array): Pick<ImageHeader, 'width' | 'height'> | undefined {
  const view = viewOf(data)
  // 24 bits each, behind 4 bytes of flags.
  if (type === 'VP8X') return { width: 1 + (view.getUint32(4, true) & 0xffffff), height: 1 + (view.getUint32(6, true) >>> 8) }
  if (type === 'VP8 ') return { width: view.getUint16(6, true) & 0x3fff, height: view.getUint16(8, true) & 0x3fff }
  if (type !== 'VP8L') return undefined
  const bits = view.getUint32(1, true)
  return { width: 1 + (bits & 0x3fff), height: 1 + ((bits >>> 14) & 0x3fff) }
}

/** 1 to 8; 1 where there is none, or none that can be read: as Pillow's ImageOps.exif_transpose takes it, but for XMP. @param exif TIFF bytes. */
export function orientationOf(exif: Uint8Array | undefined): number {
  if (!exif || exif.length < 8) return 1
  const view = viewOf(exif)
  const isLittle = latin(exif, 0, 2) === 'II'
  if (!isLittle && latin(exif, 0, 2) !== 'MM') return 1
  const start = view.getUint32(4, isLittle)
  if (start + 2 > exif.length) return 1
  const numEntries = view.getUint16(start, isLittle)
  for (let at = start + 2; at + 12 <= exif.length && at < start + 2 + numEntries * 12; at += 12) {
    if (view.getUint16(at, isLittle) !== 0x0112) continue
    const value = view.getUint16(at + 8, isLittle)
    return view.getUint16(at + 2, isLittle) === 3 && value >= 1 && value <= 8 ? value : 1
  }
  return 1
}

function viewOf({ buffer, byteOffset, byteLength }: Uint8Array): DataView {
  return new DataView(buffer, byteOffset, byteLength)
}

/** Bytes as the letters that they are. */
export function latin(bytes: Uint8Array, start: number, end: number): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1', start, end)
}

function refuse(name: string, what: string): never {
  throw new ImmiscibleError('DATASET', `${name}: ${what}`)
}
