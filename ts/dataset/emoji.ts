/** Emoji: 1,412 colour 32x32 images of seven classes on white, from Noto Emoji (Google). */
import { inflateSync } from 'node:zlib'
import type { Dataset } from './dataset.ts'
import { readEmbedded } from './embedded.ts'
import { datasetOf } from './stored.ts'

const SIZE = 32
const COLOURS = 256
const CHANNELS = 3

/** @param resolution height and width, 1 to 32: below 32 each pixel is the mean of the area that it covers. */
export function loadEmoji(resolution = SIZE): Dataset {
  const { sidecar, pixels: compressed, labels } = readEmbedded('emoji', 'emoji.palette.zlib')
  const palette = inflateSync(compressed)
  const indices = palette.subarray(COLOURS * CHANNELS)
  const numImages = sidecar.shape[0]
  const weights = areaWeights(resolution)
  const pixels = new Uint8Array(numImages * CHANNELS * resolution ** 2)
  const plane = new Uint8Array(SIZE ** 2)
  for (let image = 0; image < numImages; image++) {
    for (let channel = 0; channel < CHANNELS; channel++) {
      for (let at = 0; at < plane.length; at++) plane[at] = palette[indices[image * plane.length + at] * CHANNELS + channel]
      const offset = (image * CHANNELS + channel) * resolution ** 2
      if (resolution === SIZE) pixels.set(plane, offset)
      else shrink(plane, weights, pixels, offset)
    }
  }
  const name = resolution === SIZE ? 'emoji' : `emoji-${resolution}`
  return datasetOf(name, [numImages, CHANNELS, resolution, resolution], pixels, labels, sidecar.classes)
}

/** weights[out][in] = the share of output pixel `out` that input pixel `in` covers, along one axis. */
function areaWeights(resolution: number): number[][] {
  const scale = SIZE / resolution
  return Array.from({ length: resolution }, (_, out) =>
    Array.from({ length: SIZE }, (_value, at) => Math.max(0, Math.min(at + 1, (out + 1) * scale) - Math.max(at, out * scale)) / scale),
  )
}

/** Area averaging of one 32x32 plane, rounded to nearest. */
function shrink(plane: Uint8Array, weights: readonly number[][], out: Uint8Array, offset: number): void {
  const resolution = weights.length
  const rows = new Float64Array(SIZE * resolution)
  for (let y = 0; y < SIZE; y++) {
    for (let x = 0; x < resolution; x++) rows[y * resolution + x] = dot(weights[x], (at) => plane[y * SIZE + at])
  }
  for (let y = 0; y < resolution; y++) {
    for (let x = 0; x < resolution; x++) out[offset + y * resolution + x] = Math.round(dot(weights[y], (at) => rows[at * resolution + x]))
  }
}

function dot(weights: readonly number[], value: (at: number) => number): number {
  let sum = 0
  for (let at = 0; at < SIZE; at++) if (weights[at] > 0) sum += weights[at] * value(at)
  return sum
}
