/** What belongs to a sample by its number: noise keys, uniforms, flips. Sample numbers are integers under 2^53, seeds uint32. */
import { philox } from '../kernel/philox.ts'
import { STREAM } from './stream.ts'

const TWO_POW_32 = 2 ** 32
const TWO_POW_MINUS_24 = 2 ** -24
const UNIFORMS_PER_SAMPLE = 3

/** Writes the numbers first, first + 1, ... over all of `keys`. */
export function consecutiveKeys(first: number, keys: BigUint64Array): void {
  for (let row = 0; row < keys.length; row++) keys[row] = BigInt(first + row)
}

/**
 * Writes rows of three float32 in [0, 1), multiples of 2^-24, over all of `out`: row i is of sample firstSample + i, and its column c
 * (`UNIFORM_COLUMNS` of the protocol) is word c of the sample's block, without its low 8 bits.
 */
export function uniforms(seed: number, firstSample: number, out: Float32Array, stream: number = STREAM.uniforms): void {
  const words = new Uint32Array(4)
  for (let row = 0; (row + 1) * UNIFORMS_PER_SAMPLE <= out.length; row++) {
    sampleBlock(seed, firstSample + row, stream, words)
    for (let column = 0; column < UNIFORMS_PER_SAMPLE; column++) {
      out[row * UNIFORMS_PER_SAMPLE + column] = (words[column] >>> 8) * TWO_POW_MINUS_24
    }
  }
}

/** Writes 1 for each sample that is mirrored and 0 for the others, each with probability 1/2, over all of `out`: the highest bit of the sample's block. */
export function flips(seed: number, firstSample: number, out: Uint8Array): void {
  const words = new Uint32Array(4)
  for (let row = 0; row < out.length; row++) {
    sampleBlock(seed, firstSample + row, STREAM.flip, words)
    out[row] = words[0] >>> 31
  }
}

/** Writes five numbers in [0, 1), multiples of 2^-32: where a sample is cut out of its image, the words of its first two blocks. */
export function cropDraws(seed: number, sample: number, out: Float64Array): void {
  const words = new Uint32Array(4)
  for (let block = 0; block < 2; block++) {
    philox(block, sample % TWO_POW_32, Math.floor(sample / TWO_POW_32), STREAM.crop, seed, 0, words, 0)
    for (let word = 0; word < 4 && block * 4 + word < out.length; word++) out[block * 4 + word] = words[word] / TWO_POW_32
  }
}

/** Whether the noise kept under `entry` is drawn anew in `epoch`: with probability `share`, by the first word of the entry's block. */
export function isRefreshed(seed: number, epoch: number, entry: number, share: number): boolean {
  if (share === 0) return false
  const words = new Uint32Array(4)
  philox(epoch, entry % TWO_POW_32, Math.floor(entry / TWO_POW_32), STREAM.refresh, seed, 0, words, 0)
  return words[0] < share * TWO_POW_32
}

function sampleBlock(seed: number, sample: number, stream: number, words: Uint32Array): void {
  philox(0, sample % TWO_POW_32, Math.floor(sample / TWO_POW_32), stream, seed, 0, words, 0)
}
