/** JPEG by libjpeg-turbo, compiled to WebAssembly without its SIMD: Pillow's own decoder, bit for bit, for what the kernel leaves to it. */
// The package brings no types; a compiler that is given this file alone finds ours so.
// oxlint-disable-next-line typescript/triple-slash-reference
/// <reference path="./libjpeg-turbo.d.ts" />
import type { Codec } from '@cornerstonejs/codec-libjpeg-turbo-8bit/decodewasmjs'
import type { Raster } from './raster.ts'

/** Memory of the codec never shrinks: one that needed more for a large image is let go. */
const MAX_KEPT_BYTES = 2 ** 27

let loading: ReturnType<typeof load> | undefined

/**
 * What `use` makes of the image, gray or RGB, whose pixels are the codec's memory: copied, they would cost a tenth more. undefined: the codec
 * refuses it, as it does whatever libjpeg warns of, CMYK, arithmetic coding and rare subsampling, and does not say why. Blocks the thread.
 * @param size what the header was found to say: a file that the codec reads otherwise is not decoded.
 */
export async function decodeByCodec<T>(
  bytes: Uint8Array,
  size: { readonly width: number; readonly height: number },
  use: (raster: Raster) => T,
): Promise<T | undefined> {
  const mine = (loading ??= load())
  const { codec, decoder } = await mine
  if (loading !== mine) return decodeByCodec(bytes, size, use)
  let raster: Raster
  try {
    decoder.getEncodedBuffer(bytes.length).set(bytes)
    decoder.readHeader()
    const { width, height, componentCount: channels } = decoder.getFrameInfo()
    if (width !== size.width || height !== size.height) return undefined
    decoder.decode()
    raster = { pixels: decoder.getDecodedBuffer(), width, height, channels }
  } catch {
    // What it throws leaves its stack where it was: after some thousand times it would overflow.
    loading = undefined
    return undefined
  }
  if (codec.HEAPU8.length > MAX_KEPT_BYTES) loading = undefined
  return use(raster)
}

async function load(): Promise<{ readonly codec: Codec; readonly decoder: InstanceType<Codec['JPEGDecoder']> }> {
  const { default: create } = await import('@cornerstonejs/codec-libjpeg-turbo-8bit/decodewasmjs')
  const codec = await create({ printErr: () => undefined })
  return { codec, decoder: new codec.JPEGDecoder() }
}
