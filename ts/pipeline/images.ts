/** The images of a pool, as they cross the wire and as a strategy sees them: pixels.ts or latents.ts. */
import type { TrainConfig } from '../../protocol/index.ts'
import type { Matrix, PoolContext } from '../assignment/assignment.ts'
import type { Dataset } from '../dataset/dataset.ts'
import type { Arena, Kernel } from '../kernel/kernel.ts'
import { openLatents } from './latents.ts'
import { openPixels } from './pixels.ts'

export interface PoolImages {
  /** As training shows them: [N, C, H, W] of the data set's dtype, an image a row of the pool. A function of the run and the rows' sample numbers. */
  draw(pool: PoolContext): Uint8Array<ArrayBuffer>
  /** As they are stored, of latents the mean: for images that are held out. */
  stored(pool: PoolContext): Uint8Array<ArrayBuffer>
  /** What the network sees of them, in `arena`. */
  toMatrix(bytes: Uint8Array<ArrayBuffer>, arena: Arena): Matrix
}

export function openImages(config: TrainConfig, dataset: Dataset, kernel: Kernel): PoolImages {
  return dataset.dtype === 'float32' ? openLatents(config, dataset, kernel) : openPixels(config, dataset, kernel)
}
