/** The images of the bench, made row by row from fixed seeds. */
import { loadEmoji } from '../../ts/dataset/emoji.ts'
import type { Kernel } from '../../ts/kernel/kernel.ts'
import { shuffledIndex } from '../../ts/random/shuffle.ts'

export type Scene = 'emoji' | 'emoji mixtures' | 'gaussian'

/** size x dims pixels at `out`. The emoji scenes have 3,072 dims. */
export function draw(scene: Scene, size: number, dims: number, kernel: Kernel, out: Uint8Array): void {
  const drawRow = {
    emoji: emojiRow,
    'emoji mixtures': mixtureRow,
    gaussian: (row: number, at: Uint8Array) => gaussianRow(row, kernel, at),
  }[scene]
  for (let row = 0; row < size; row++) drawRow(row, out.subarray(row * dims, (row + 1) * dims))
}

const emoji = loadEmoji()

/** Distinct emoji in a fixed random order. */
function emojiRow(row: number, out: Uint8Array): void {
  emoji.read(shuffledIndex(0, 0, emoji.numImages, row), out, 0)
}

const other = new Uint8Array(3072)

/** Half and half of two emoji, for pools that are larger than the set; each pair once. */
function mixtureRow(row: number, out: Uint8Array): void {
  const pair = shuffledIndex(0, 0, emoji.numImages ** 2, row)
  emoji.read(pair % emoji.numImages, out, 0)
  emoji.read(Math.floor(pair / emoji.numImages), other, 0)
  for (let d = 0; d < out.length; d++) out[d] = (out[d] + other[d]) >> 1
}

/** Independent pixels of mean 127.5 and standard deviation 64: the hardest case for the gain, all images equally far from each other. */
function gaussianRow(row: number, kernel: Kernel, out: Uint8Array): void {
  const values = new Float32Array(out.length)
  kernel.normal(11, 2, BigUint64Array.of(BigInt(row)), out.length, values)
  for (let d = 0; d < out.length; d++) out[d] = Math.max(0, Math.min(255, Math.round(127.5 + 64 * values[d])))
}

/** Sum of products of images and their noise beyond that of the noise as drawn, in the model's scale. */
export function gainOf(pixels: Uint8Array, noise: Float32Array, dims: number, noiseIndex: Int32Array): number {
  let gain = 0
  noiseIndex.forEach((column, row) => {
    for (let d = 0; d < dims; d++) gain += (pixels[row * dims + d] / 127.5 - 1) * (noise[column * dims + d] - noise[row * dims + d])
  })
  return gain
}
