/** The kernels in plain TypeScript, gathered behind the `Kernel` interface. */
import { auction } from './auction.ts'
import { benefitInt8 } from './benefit.ts'
import { costFloat32 } from './cost.ts'
import { toFloat16 } from './half.ts'
import type { Kernel } from './kernel.ts'
import { linearSum } from './linear-sum.ts'
import { normal } from './normal.ts'
import { packFloats, packNoise, packPixels } from './pack.ts'

export const plainKernel: Kernel = {
  normal,
  toFloat16,
  packPixels,
  packFloats,
  packNoise,
  benefitInt8,
  costFloat32,
  auction,
  linearSum,
}
