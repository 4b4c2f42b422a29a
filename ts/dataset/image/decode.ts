/** Encoded images to the pixels that are trained on: PNG, JPEG and WebP, equal to what Pillow and torchvision make of them. */
import { ImmiscibleError } from '../../errors.ts'
import { formatOf, orientationOf, readJpegHeader, readWebpHeader, type ImageHeader } from './header.ts'
import { decodeJpeg } from './jpeg.ts'
import { createNotes, type Altered } from './notes.ts'
import { readPng } from './png.ts'
import { cmykToRgb, cutPlanes, toGray, turn, withoutAlpha, type Raster } from './raster.ts'
import { createResize, type Rectangle, type ResizeFilter } from './resize.ts'

export interface DecoderOptions {
  /** The shorter side becomes it, then the centre is cut out; null: the size stays. */
  readonly resolution: number | null
  readonly color: 'rgb' | 'gray'
  readonly resizeFilter: ResizeFilter
  /** Side of a square that is cut out of the middle first. Default: none. */
  readonly centerCrop?: number
  /** Every image has it, else it is refused. Default: any. */
  readonly size?: { readonly width: number; readonly height: number }
  /** Declared pixels of one image, at most. Default: 2^26, 8192x8192. */
  readonly maxPixels?: number
}

export interface DecodedImage {
  /** uint8; channel, height, width. */
  readonly pixels: Uint8Array
  readonly width: number
  readonly height: number
}

export interface ImageDecoder {
  /** Throws a DATASET error that begins with `name`. */
  decode(bytes: Uint8Array, name: string): Promise<DecodedImage>
  /** What was altered so far, with counts. */
  notes(): string[]
  /** Ends its threads, where it has some. */
  close?(): Promise<void>
}

/** The memory of `pixels` is its own. */
export interface AlteredImage extends DecodedImage {
  readonly altered: readonly Altered[]
}

/** An image as it is stored, and how far it must be turned. */
interface Encoded extends ImageHeader {
  readonly altered: readonly Altered[]
  /** The memory of the raster may be another image's once `use` is done. */
  decode<T>(use: (raster: Raster) => T): Promise<T>
}

const MAX_PIXELS = 2 ** 26

/**
 * Decodes images, one at a time or several at once.
 *
 * - The format is what the first bytes say: PNG, JPEG or WebP. All others are refused unread, and so are animated, truncated and corrupt
 *   files, JPEGs that libjpeg warns of, and images of more than `maxPixels`.
 * - Colour: gray becomes three equal channels, or colour becomes gray by Pillow's formula for L. Alpha is blended on white (within one level of
 *   `Image.alpha_composite`); where nothing shines through nothing changes. Of 16 bits the high byte is kept, as Pillow keeps it of RGB
 *   (of gray, Pillow's own `convert` takes all above 255 for white). CMYK and YCCK become RGB by Pillow's formula. Colour profiles are not
 *   applied, as in `convert('RGB')`.
 * - Orientation: of EXIF, as by `ImageOps.exif_transpose`, but for XMP.
 * - Size: torchvision's `CenterCrop(centerCrop)`, `Resize(resolution)` and `CenterCrop(resolution)` on PIL images. The longer side is rounded
 *   down, and a crop that cannot be centred begins at the even one of the two middle pixels.
 *
 * Lossless images are bit for bit Pillow's, and so are JPEGs in RGB, gray, 4:4:4, 4:2:2, 4:4:0, 4:2:0 and 4:1:1; within one level are lossy WebP, and
 * JPEGs in CMYK, in arithmetic coding, or of another subsampling.
 */
export function createDecoder(options: DecoderOptions): ImageDecoder {
  const decode = createDecode(options)
  const notes = createNotes()
  return {
    async decode(bytes, name) {
      const image = await decode(bytes, name)
      for (const altered of image.altered) notes.count(altered)
      return image
    },
    notes: notes.list,
  }
}

/** As `createDecoder`, without counting. */
export function createDecode(options: DecoderOptions): (bytes: Uint8Array, name: string) => Promise<AlteredImage> {
  const { resolution, color, centerCrop, size, maxPixels = MAX_PIXELS } = options
  const resize = createResize(options.resizeFilter)

  return async (bytes, name) => {
    const encoded = readEncoded(bytes, name, maxPixels)
    if (encoded.width * encoded.height > maxPixels) {
      refuse(name, `expected at most ${maxPixels} pixels, got ${encoded.width}x${encoded.height}`)
    }
    return encoded.decode((raster) => finish(raster, encoded, name))
  }

  function finish(decoded: Raster, encoded: Encoded, name: string): AlteredImage {
    const { raster: opaque, isBlended } = withoutAlpha(decoded)
    const isGray = opaque.channels === 1
    const orientation = orientationOf(encoded.exif)
    const upright = turn(color === 'gray' && !isGray ? toGray(opaque) : opaque, orientation)
    if (size && (upright.width !== size.width || upright.height !== size.height)) {
      refuse(name, `expected an image of ${size.width}x${size.height}, got ${upright.width}x${upright.height}`)
    }
    const cut = centerCrop === undefined ? { left: 0, top: 0, ...sizeOf(upright) } : centre(upright, centerCrop, name)
    const shorter = Math.min(cut.width, cut.height)
    const planes = fit(upright, cut, resolution)
    const altered: Altered[] = [...encoded.altered]
    if (isBlended) altered.push('alpha')
    if (isGray !== (color === 'gray')) altered.push(isGray ? 'gray' : 'colour')
    if (orientation !== 1) altered.push('turned')
    if (resolution !== null && shorter < resolution) altered.push('enlarged')
    return { ...planes, altered, pixels: color === 'rgb' && isGray ? threeTimes(planes.pixels) : planes.pixels }
  }

  function fit(raster: Raster, cut: Rectangle, side: number | null): DecodedImage {
    const to = side === null ? cut : { width: longerTo(cut.width, cut.height, side), height: longerTo(cut.height, cut.width, side) }
    const window = side === null ? cut : { left: middle(to.width, side), top: middle(to.height, side), width: side, height: side }
    const { width, height } = window
    if (side === null) return { pixels: cutPlanes(raster, cut), width, height }
    if (to.width === cut.width && to.height === cut.height) {
      return { pixels: cutPlanes(raster, { ...window, left: cut.left + window.left, top: cut.top + window.top }), width, height }
    }
    const pixels = resize(raster.pixels, { ...raster, isInterleaved: true, crop: cut }, { ...to, crop: window })
    return { pixels, width, height }
  }
}

/** The side itself where it is the shorter one, else in proportion, rounded down. */
function longerTo(length: number, other: number, side: number): number {
  return length <= other ? side : Math.trunc((side * length) / other)
}

/** Where a part of `side` begins in the middle of `length`: halves to the even neighbour, as Python rounds. */
function middle(length: number, side: number): number {
  const half = Math.floor((length - side) / 2)
  return (length - side) % 2 === 1 && half % 2 === 1 ? half + 1 : half
}

function centre(raster: Raster, side: number, name: string): Rectangle {
  if (Math.min(raster.width, raster.height) < side) refuse(name, `expected at least ${side}x${side}, got ${raster.width}x${raster.height}`)
  return { left: middle(raster.width, side), top: middle(raster.height, side), width: side, height: side }
}

function sizeOf({ width, height }: Raster): { width: number; height: number } {
  return { width, height }
}

function threeTimes(plane: Uint8Array): Uint8Array {
  const out = new Uint8Array(plane.length * 3)
  for (let channel = 0; channel < 3; channel++) out.set(plane, channel * plane.length)
  return out
}

function readEncoded(bytes: Uint8Array, name: string, maxPixels: number): Encoded {
  const format = formatOf(bytes, name)
  if (format === 'png') {
    const png = readPng(bytes, name)
    return {
      ...png,
      altered: [...profile(png), ...(png.depth === 16 ? ['deep' as const] : [])],
      decode: async (use) => use(await png.decode()),
    }
  }
  if (format === 'webp') {
    const webp = readWebpHeader(bytes, name)
    return { ...webp, altered: profile(webp), decode: async (use) => use(await decodeBySharp(bytes, 'WebP', 'srgb', name, maxPixels)) }
  }
  const jpeg = readJpegHeader(bytes, name)
  if (jpeg.components !== 4) {
    const space = jpeg.components === 1 ? 'b-w' : 'srgb'
    return {
      ...jpeg,
      altered: profile(jpeg),
      // What kernel and codec refuse, sharp decodes, or says what is wrong with it.
      decode: async (use) => (await decodeJpeg(bytes, jpeg, use)) ?? use(await decodeBySharp(bytes, 'JPEG', space, name, maxPixels)),
    }
  }
  return {
    ...jpeg,
    altered: [...profile(jpeg), 'cmyk'],
    // Inks are taken for Adobe's, which are inverted, as Pillow takes them.
    decode: async (use) => use(cmykToRgb(await decodeBySharp(bytes, 'JPEG', 'cmyk', name, maxPixels))),
  }
}

function profile({ hasProfile }: ImageHeader): Altered[] {
  return hasProfile ? ['profile'] : []
}

type Sharp = (typeof import('sharp'))['default']
let loading: Promise<Sharp> | undefined

/** When the first image needs it: it is native code that may be missing, and everything else works without. */
export async function loadSharp(): Promise<Sharp> {
  try {
    loading ??= import('sharp').then((module) => module.default)
    return await loading
  } catch (cause) {
    const what = `sharp, which decodes WebP and rare JPEGs and writes sheets, cannot be loaded: ${(cause as Error).message.split('\n')[0]}`
    throw new ImmiscibleError('DATASET', `${what}: install it anew (npm install --include=optional sharp)`, { cause })
  }
}

/** Nothing but the decoder of libvips: no shrinking, no profile, no orientation. */
async function decodeBySharp(
  bytes: Uint8Array,
  format: 'JPEG' | 'WebP',
  space: 'srgb' | 'b-w' | 'cmyk',
  name: string,
  maxPixels: number,
): Promise<Raster> {
  const sharp = await loadSharp()
  try {
    const image = sharp(bytes, {
      failOn: 'warning',
      ignoreIcc: true,
      autoOrient: false,
      limitInputPixels: maxPixels,
      sequentialRead: false,
    })
    if (space === 'cmyk') image.pipelineColourspace('cmyk')
    const { data, info } = await image.toColourspace(space).raw().toBuffer({ resolveWithObject: true })
    return { pixels: data, width: info.width, height: info.height, channels: info.channels }
  } catch (cause) {
    return refuse(name, `the ${format} is corrupt or truncated: ${(cause as Error).message.trim().replaceAll(/\s*\n\s*/g, ', ')}`, cause)
  }
}

function refuse(name: string, what: string, cause?: unknown): never {
  throw new ImmiscibleError('DATASET', `${name}: ${what}`, { cause })
}
