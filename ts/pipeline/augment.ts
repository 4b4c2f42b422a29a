/** What happens to the pixels of a sample before it is assigned: a random resized crop, a random crop of the padded image, a mirror. */
import type { DatasetConfig } from '../../protocol/index.ts'
import { createResize } from '../dataset/image/resize.ts'
import { cropDraws } from '../random/sample.ts'

/** Changes one image in place. uint8, channel, height, width. `sample`: its global number, by which everything random is drawn. */
export type Augment = (pixels: Uint8Array, sample: number, isMirrored: boolean) => void

/**
 * The order is torchvision's: RandomResizedCrop with the image's own aspect ratio, RandomCrop with padding, then the mirror.
 * A function of (seed, sample number) alone: the same in every thread and after every resume.
 */
export function createAugment(config: DatasetConfig, imageShape: readonly [number, number, number], seed: number): Augment {
  const { randomCropPadding: padding, paddingMode, randomResizedCrop: leastArea } = config
  const [channels, height, width] = imageShape
  const draws = new Float64Array(5)
  const source = new Uint8Array(channels * height * width)
  const resize = leastArea < 1 ? createResize(config.resizeFilter) : undefined

  /** Of the image's own aspect ratio, so that nothing is stretched. */
  function cropResized(pixels: Uint8Array): void {
    const side = Math.sqrt(leastArea + draws[0] * (1 - leastArea))
    const [left, top] = [draws[1] * (1 - side) * width, draws[2] * (1 - side) * height]
    source.set(pixels)
    // Sums round: the far edge is at most the image's.
    const [right, bottom] = [Math.min(width, left + side * width), Math.min(height, top + side * height)]
    resize?.(source, { channels, height, width }, { height, width }, [left, top, right, bottom], pixels)
  }

  function cropPadded(pixels: Uint8Array): void {
    const [dx, dy] = [draws[3], draws[4]].map((draw) => Math.floor(draw * (2 * padding + 1)) - padding)
    source.set(pixels)
    for (let plane = 0; plane < channels; plane++) {
      for (let y = 0; y < height; y++) {
        const fromY = inside(y + dy, height, paddingMode)
        for (let x = 0; x < width; x++) {
          const fromX = inside(x + dx, width, paddingMode)
          pixels[(plane * height + y) * width + x] = fromX < 0 || fromY < 0 ? 0 : source[(plane * height + fromY) * width + fromX]
        }
      }
    }
  }

  return (pixels, sample, isMirrored) => {
    if (resize || padding > 0) cropDraws(seed, sample, draws)
    if (resize) cropResized(pixels)
    if (padding > 0) cropPadded(pixels)
    if (isMirrored) mirror(pixels, width)
  }
}

/** Mirrors each line of an image, in place. */
export function mirror(pixels: Uint8Array, width: number): void {
  for (let line = 0; line < pixels.length; line += width) pixels.subarray(line, line + width).reverse()
}

/** Which pixel of a line is at a place that may lie outside of it; -1: none. */
function inside(at: number, length: number, mode: DatasetConfig['paddingMode']): number {
  if (at >= 0 && at < length) return at
  if (mode === 'constant') return -1
  if (mode === 'edge') return at < 0 ? 0 : length - 1
  // Without the edge twice; a period is there and back.
  const period = 2 * length - 2
  const folded = ((at % period) + period) % period
  return folded < length ? folded : period - folded
}
