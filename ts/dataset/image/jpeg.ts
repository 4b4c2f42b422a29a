/** JPEG to pixels, Pillow's own bit for bit: by the kernel where it can, else by libjpeg-turbo. */
import { threadKernel } from '../../kernel/simd/simd.ts'
import { decodeByCodec } from './jpeg-codec.ts'
import { decodeByKernel } from './jpeg-kernel.ts'
import type { Raster } from './raster.ts'

/**
 * What `use` makes of the image, gray or RGB, whose pixels are the decoder's own memory: copied, they would cost a tenth more. undefined: libjpeg warns
 * of it, or it is CMYK, or of arithmetic coding or a subsampling that libjpeg-turbo has no fast way for. Blocks the thread.
 * @param size what the header was found to say: a file that the decoder reads otherwise is not decoded.
 */
export async function decodeJpeg<T>(
  bytes: Uint8Array,
  size: { readonly width: number; readonly height: number },
  use: (raster: Raster) => T,
): Promise<T | undefined> {
  return decodeByKernel(threadKernel(), bytes, size, use) ?? decodeByCodec(bytes, size, use)
}
