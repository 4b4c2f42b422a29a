/** The strategy contract: which noise goes with which image. */

/**
 * A batch as rows of numbers. An element means `data[row * dims + d] * scale + offset`.
 * Pixels come as int8 (pixel - 128; scale s/127.5, offset s/255, so that they span [-s, s]; s is the data set's imageScale, 1 by default); noise and float images as float32 (scale 1, offset 0).
 */
export interface Matrix {
  readonly data: Int8Array | Float32Array
  readonly rows: number
  readonly dims: number
  readonly scale: number
  readonly offset: number
}

/** Where a pool stands in the run. Arrays have one entry per image of the pool. */
export interface PoolContext {
  readonly epoch: number
  /** The first optimiser step that the pool feeds. */
  readonly firstStep: number
  /** Global sample number of the first image: its place in the endless sequence of samples of this run. */
  readonly firstSample: number
  /** Which image of the data set each row is. */
  readonly sampleIndices: Int32Array
  /** 1 where the row is mirrored. */
  readonly flips: Uint8Array
  readonly labels?: Int32Array
}

/** What a strategy knows about its own answer. */
export interface AssignmentReport {
  /** Certified bound on the missed share of the optimal gain: (optimum - reached) / (optimum - identity) is at most this. */
  readonly dualGap?: number
  /** For this pool, instead of the strategy's own `noiseSign`. */
  readonly noiseSign?: 1 | -1
}

export interface AssignmentStrategy {
  readonly name: string
  /** Noise rows drawn per image: 1 for permutations, k for nearest-of-k. */
  readonly candidatesPerImage: number
  /** -1: the assigned noise is negated before it is sent (the paper's non-OT ablation). */
  readonly noiseSign?: 1 | -1
  /**
   * The noise of a row is kept for its image from epoch to epoch, as assigned (LOOM-CFM). Each image and each mirror image has
   * `noisesPerImage` slots, of which epoch e uses slot e mod noisesPerImage; a share of them is drawn anew in each epoch. Needs one candidate per image.
   */
  readonly keptNoise?: { readonly noisesPerImage: number; readonly refreshShare: number }
  /** Which noise each row is: the Philox counter of row j. Default: `(firstSample * candidatesPerImage) + j`. */
  noiseKeys?(pool: PoolContext, keys: BigUint64Array): void
  /**
   * Writes noiseIndex[i] = the row of `noise` paired with image i. Images, labels and timesteps never move.
   * Reads its inputs, writes only `noiseIndex`; the same inputs give the same answer.
   */
  assign(pool: PoolContext, images: Matrix, noise: Matrix, noiseIndex: Int32Array): AssignmentReport
}
