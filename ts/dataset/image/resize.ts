/** Pillow's resize of 8-bit images, bit for bit: the same weights, in the same fixed point, in the same two passes. */
import { ImmiscibleError } from '../../errors.ts'
import type { Arena, WeightedSums } from '../../kernel/kernel.ts'
import { threadKernel } from '../../kernel/simd/simd.ts'
import { createAxis, type Axis, type ResizeFilter } from './resize-weights.ts'

export type { ResizeFilter } from './resize-weights.ts'

/** Top left corner and size, in whole pixels. */
export interface Rectangle {
  readonly left: number
  readonly top: number
  readonly height: number
  readonly width: number
}

export interface ResizeFrom {
  readonly channels: number
  readonly height: number
  readonly width: number
  /** Channels last, as decoders give them. Default: channel, height, width. */
  readonly isInterleaved?: boolean
  /** Is cut out first: nothing outside of it has weight. Default: all of it. */
  readonly crop?: Rectangle
}

export interface ResizeTo {
  readonly height: number
  readonly width: number
  /** Of the result, only that is computed. Default: all of it. */
  readonly crop?: Rectangle
}

/** Left, top, right, bottom of the source rectangle, in pixels with fractions; pixels beside it have weight where the filter reaches them. */
export type Box = readonly [left: number, top: number, right: number, bottom: number]

/**
 * Resizes one image. uint8 in; uint8 out, in channel, height, width order.
 * @param box in `from.crop`. Default: all of it.
 * @param out where the result is written; must not share memory with `pixels`. Default: a new array.
 */
export type Resize = (pixels: Uint8Array, from: ResizeFrom, to: ResizeTo, box?: Box, out?: Uint8Array) => Uint8Array

/**
 * A resize with a filter, that keeps its weights for the next image of the same sizes, and its memory for all.
 *
 * Equal to `PIL.Image.resize(size, resample, box)` of Pillow 13 for modes L and RGB: antialiased (the filter widens where the image shrinks),
 * in two passes, each rounded to 8 bits; the horizontal one is first unless the height loses more than twice as many pixels as the width
 * (Pillow before 13: always). Not as Pillow does: an alpha channel is one channel more (Pillow multiplies by it first), and there is no
 * `reducing_gap` and no `draft`. Other libraries' filters of the same names differ: OpenCV and `torch.nn.functional.interpolate` do not
 * antialias by default, and their bicubic is another one; libvips rounds otherwise.
 */
export function createResize(filter: ResizeFilter): Resize {
  const horizontal = createAxis(filter)
  const vertical = createAxis(filter)
  const kernel = threadKernel()

  return (pixels, from, to, box, out) => {
    const { channels, crop = whole(from) } = from
    const window = to.crop ?? whole(to)
    const [left, top, right, bottom] = box ?? [0, 0, crop.width, crop.height]
    if (pixels.length !== channels * from.height * from.width || !isInside(crop, from) || !isInside(window, to)) {
      throw new ImmiscibleError('DATASET', `resize: expected ${channels}x${from.height}x${from.width} pixels, got ${pixels.length}`)
    }
    if (!(left >= 0 && top >= 0 && right > left && bottom > top && right <= crop.width && bottom <= crop.height)) {
      throw new ImmiscibleError(
        'DATASET',
        `resize: expected a box in ${crop.width}x${crop.height}, got ${[left, top, right, bottom].join(', ')}`,
      )
    }
    const { width, height } = window
    const across = horizontal(crop.width, left, right, to.width, window.left, width)
    const down = vertical(crop.height, top, bottom, to.height, window.top, height)
    const lost = crop.height - to.height
    const isVerticalFirst = lost > 0 && lost > 2 * (crop.width - to.width)
    // Planes are images of one channel.
    const [planes, step] = from.isInterleaved ? [1, channels] : [channels, 1]
    const rowStep = from.width * step
    const rowLength = across.length * step
    const result = out ?? new Uint8Array(channels * height * width)
    kernel.scope((arena) => {
      const [acrossSums, downSums] = [placeSums(arena, across), placeSums(arena, down)]
      const between = arena.array(Uint8Array, isVerticalFirst ? height * rowLength : step * down.length * width)
      const placed = arena.array(Uint8Array, step * height * width)
      for (let plane = 0; plane < planes; plane++) {
        // What no result needs is left out.
        const start = plane * from.height * from.width + (crop.top + down.first) * rowStep + (crop.left + across.first) * step
        const needed = pixels.subarray(start, start + (down.length - 1) * rowStep + rowLength)
        if (isVerticalFirst) {
          kernel.resizeColumns(needed, rowStep, rowLength, downSums, between)
          kernel.resizeRows(between, rowLength, height, step, acrossSums, placed)
        } else {
          kernel.resizeRows(needed, rowStep, down.length, step, acrossSums, between)
          for (let channel = 0; channel < step; channel++) {
            const [middle, end] = [channel * down.length * width, channel * height * width]
            kernel.resizeColumns(
              between.subarray(middle, middle + down.length * width),
              width,
              width,
              downSums,
              placed.subarray(end, end + height * width),
            )
          }
        }
        result.set(placed, plane * height * width)
      }
    })
    return result
  }
}

/** Once for all planes. */
function placeSums(arena: Arena, { starts, counts, weights, stride }: Axis): WeightedSums {
  return { starts: arena.place(starts), counts: arena.place(counts), weights: arena.place(weights), stride }
}

function whole({ height, width }: { readonly height: number; readonly width: number }): Rectangle {
  return { left: 0, top: 0, height, width }
}

function isInside({ left, top, height, width }: Rectangle, outer: { readonly height: number; readonly width: number }): boolean {
  return left >= 0 && top >= 0 && height > 0 && width > 0 && left + width <= outer.width && top + height <= outer.height
}
