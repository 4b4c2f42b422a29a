/** The images of a pool, as they cross the wire and as a strategy sees them: pixels.ts or latents.ts. */
import type { Matrix, PoolContext } from '../assignment/assignment.ts'
import type { Arena } from '../kernel/kernel.ts'

export interface PoolImages {
  /** As training shows them: [N, C, H, W] of the data set's dtype, an image a row of the pool. A function of the run and the rows' sample numbers. */
  draw(pool: PoolContext): Uint8Array<ArrayBuffer>
  /** As they are stored, of latents the mean: for images that are held out. */
  stored(pool: PoolContext): Uint8Array<ArrayBuffer>
  /** What the network sees of them, in `arena`. */
  toMatrix(bytes: Uint8Array<ArrayBuffer>, arena: Arena): Matrix
}
