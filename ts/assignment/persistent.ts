/**
 * Noise that stays with its image: what the assignment gave an image in one epoch is what it brings to the next, and is swapped again there.
 * Over the epochs this comes close to an assignment over the whole data set (LOOM-CFM, ICLR 2025, arXiv 2603.15279, which keeps six noises per image).
 */
import type { AssignmentStrategy } from './assignment.ts'
import { quantized } from './quantized.ts'

/**
 * @param options.noisesPerImage slots of each image and mirror image, used in turn: fewer settle sooner, more keep a network from learning the pairs by heart.
 * @param options.refreshShare share of the kept noises drawn anew in each epoch, for the same reason.
 * @param inner solves each pool.
 */
export function persistent(
  { noisesPerImage = 6, refreshShare = 0 }: { noisesPerImage?: number; refreshShare?: number } = {},
  inner: AssignmentStrategy = quantized(),
): AssignmentStrategy {
  return { ...inner, name: 'persistent', keptNoise: { noisesPerImage, refreshShare } }
}
