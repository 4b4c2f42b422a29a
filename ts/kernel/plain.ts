/** The kernels in plain TypeScript, gathered behind the `Kernel` interface. */
import { auction } from './auction.ts'
import { benefitInt8, shortfalls } from './benefit.ts'
import { costFloat32, costL1, pairProducts } from './cost.ts'
import { toFloat16 } from './half.ts'
import { jpegPixels } from './jpeg-pixels.ts'
import { jpegSamples } from './jpeg-samples.ts'
import { jpegScan } from './jpeg-scan.ts'
import type { Kernel } from './kernel.ts'
import { linearSum } from './linear-sum.ts'
import { normal } from './normal.ts'
import { packFloats, packNoise, packPixels, unpack } from './pack.ts'
import { resizeColumns, resizeRows } from './resize.ts'

export const plainKernel: Kernel = {
  scope: (work) =>
    work({ array: (type, length) => new type(new ArrayBuffer(length * type.BYTES_PER_ELEMENT), 0, length), place: (input) => input }),
  normal,
  toFloat16,
  packPixels,
  packFloats,
  packNoise,
  unpack,
  benefitInt8,
  shortfalls,
  costFloat32,
  costL1,
  pairProducts,
  auction,
  linearSum,
  resizeRows,
  resizeColumns,
  jpegScan,
  jpegSamples,
  jpegPixels,
}
