/**
 * Every random number of a run, by counter: Philox4x32-10 with key (seed, 0) and counter (block, low word, high word, stream), where the two words
 * are usually a global sample number. Nothing is carried from one draw to the next, so any part of a run can be drawn again, alone and in any order.
 */

/** Part of every stream number: raise it when the meaning of a stream's words changes, and no old number is drawn again. */
const STREAM_VERSION = 1

/** What each stream is for. Numbers are never reused. */
export const STREAM = {
  /** Noise: `Kernel.normal`, keyed by noise key. */
  noise: streamNumber(1),
  /** Timestep, label dropout and time of a sample: `uniforms`. */
  uniforms: streamNumber(2),
  /** Whether a sample is mirrored: `flips`. */
  flip: streamNumber(3),
  /** The order of images in an epoch: `shuffledIndex`. */
  shuffle: streamNumber(4),
  /** Whether a kept noise is drawn anew: `isRefreshed`. */
  refresh: streamNumber(5),
  /** Which images are held out: `shuffledIndex`. */
  heldOut: streamNumber(6),
  /** Noise of held-out images, which no sample of training can have. */
  heldOutNoise: streamNumber(7),
  /** Their timesteps, label dropout and times. */
  heldOutUniforms: streamNumber(8),
  /** A latent out of its posterior: `Kernel.normal`, keyed by sample number. */
  latent: streamNumber(9),
  /** Where a sample is cut out of its image: `cropDraws`. */
  crop: streamNumber(10),
} as const

function streamNumber(purpose: number): number {
  return (STREAM_VERSION << 24) | purpose
}
