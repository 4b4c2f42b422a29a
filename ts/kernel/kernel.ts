/**
 * The signatures of the numeric kernels. Plain TypeScript here is the specification; a SIMD build has the same signatures and the same bits.
 * Matrices are row-major. Lengths are the caller's to check; inputs are only read. A RangeError says that a value is outside of what a kernel can do.
 */

export type NumberArray = Int8Array | Uint8Array | Int16Array | Uint16Array | Int32Array | Float32Array | BigUint64Array

/** Where arrays live that kernels use without copying them. */
export interface Arena {
  /** An array of unspecified contents, good until the scope ends. */
  array<A extends NumberArray>(type: ArrayType<A>, length: number): A
  /** The same numbers in an arena: the array itself where it is in one, else a copy. For inputs that several kernels read. */
  place<A extends NumberArray>(input: A): A
}

export interface ArrayType<A> {
  readonly BYTES_PER_ELEMENT: number
  new (buffer: ArrayBufferLike, byteOffset: number, length: number): A
}

export interface AuctionResult {
  /** Sum of benefit[i][columnOfRow[i]]. */
  readonly benefit: number
  /** Upper bound on the best possible sum, from the final prices: no permutation exceeds it. */
  readonly bound: number
  /** Sum of benefit[i][i]: what was there before. */
  readonly identity: number
}

/** A benefit matrix (n x n) in two bytes a pair: how much less than its row's best each is worth. See `Kernel.shortfalls`. */
export interface Shortfalls {
  readonly shortfall: Uint16Array
  /** n, exact. */
  readonly rowMaxima: Int32Array
  /** The unit of a shortfall is 2^shift. */
  readonly shift: number
}

/** Results along one axis of an image, each a sum of pixels times weights in fixed point. */
export interface WeightedSums {
  /** The first pixel of each result. */
  readonly starts: Int32Array
  readonly counts: Int32Array
  /** `stride` for each result, a multiple of 4; zero from its count on. Fixed point with WEIGHT_BITS (resize.ts) behind it, magnitudes below 2^26. */
  readonly weights: Int32Array
  readonly stride: number
}

/**
 * A Huffman table as a JPEG has it: how many codes there are of 1 to 16 bits, then what they stand for (ITU T.81, B.2.4.2). No more codes than
 * there are of a length; for DC coefficients, symbols of 15 at most.
 */
export type HuffmanTable = Uint8Array

/** One component of a JPEG in a scan. */
export interface ScanComponent {
  /** Where its coefficients begin: rows of `blocksAcross` blocks, whole MCUs, each 64 in rows of 8. */
  readonly start: number
  readonly blocksAcross: number
  /** Blocks of it in an MCU; 1x1 where it is alone in the scan. */
  readonly mcuWidth: number
  readonly mcuHeight: number
  readonly dc: HuffmanTable
  readonly ac: HuffmanTable
}

export interface JpegScan {
  /** At most 10 blocks in an MCU. */
  readonly components: readonly ScanComponent[]
  readonly mcusAcross: number
  readonly mcusDown: number
  /** MCUs from one restart marker to the next; 0: there are none. */
  readonly restartInterval: number
  /** Of the coefficients that are coded, in zigzag order. 0 to 63: a sequential scan. Progressive ones: 0 alone, or without 0 and of one component. */
  readonly first: number
  readonly last: number
  /** The bit that the scan before has brought them to, 0 where it is the first, and the bit that this one does: 0 where it is sequential. */
  readonly high: number
  readonly low: number
}

/** The samples of one component. */
export interface JpegPlane {
  /** Rows of `stride`, a multiple of 8. Those at `width` or `height` and beyond only fill blocks. */
  readonly samples: Uint8Array
  readonly stride: number
  readonly width: number
  readonly height: number
  /** Pixels to a sample, 1 or 2. */
  readonly across: number
  readonly down: number
}

export interface Kernel {
  /** Runs `work` with an arena whose arrays are gone afterwards. Scopes nest. Arrays from elsewhere work as well, at the price of a copy. */
  scope<T>(work: (arena: Arena) => T): T
  /**
   * Standard normal noise: row j of `out` (rows x dims, float32) is drawn from Philox4x32-10 with key (seed, 0)
   * and counter (block, low word of keys[j], high word of keys[j], stream), by Box-Muller with polynomials in float32: no libm, the same bits everywhere.
   * `seed` and `stream` are uint32. Which block gives which element: normal.ts. Values reach 6.76 standard deviations.
   */
  normal(seed: number, stream: number, keys: BigUint64Array, dims: number, out: Float32Array): void
  /** float32 -> float16 bits, round to nearest even. */
  toFloat16(values: Float32Array, out: Uint16Array): void
  /** Pixels to signed: out = pixel - 128. */
  packPixels(pixels: Uint8Array, out: Int8Array): void
  /** Float values to int8 by one scale for the whole array (largest magnitude -> 127); answers the scale: value ~ out * scale; 0 where all are zero. RangeError: a value is not finite. */
  packFloats(values: Float32Array, out: Int8Array): number
  /** int8 back to floats: out = value * scale + offset, each operation in float32. */
  unpack(values: Int8Array, scale: number, offset: number, out: Float32Array): void
  /** Noise to 7 bits: out = clamp(round(16 n), -64, 63) + 64. The offset adds a constant to each row of a cost matrix, which no assignment sees. */
  packNoise(noise: Float32Array, out: Uint8Array): void
  /** out[i * numNoises + j] = images_i . noise_j, exactly, for int8 x 7-bit rows. dims <= 132,104 (int32). */
  benefitInt8(images: Int8Array, noise: Uint8Array, numImages: number, numNoises: number, dims: number, out: Int32Array): void
  /**
   * out[i * n + j] = (rowMaxima[i] - benefit[i * n + j]) >> shift for numRows rows of a benefit matrix with n columns; rowMaxima[i] = the largest of row i.
   * Answers the shift: the one given, or the least larger one with which all fit (16 at most).
   */
  shortfalls(benefit: Int32Array, numRows: number, n: number, shift: number, rowMaxima: Int32Array, out: Uint16Array): number
  /** out[i * n + j] = -(images_i . noise_j) in float32, in the order of sums that cost.ts defines: half the squared L2 distance, up to constants of row and column. */
  costFloat32(images: Float32Array, noise: Float32Array, n: number, dims: number, out: Float32Array): void
  /** out[i * n + j] = sum of |images_i - noise_j| over dims in float32, in the order of sums that cost.ts defines. */
  costL1(images: Float32Array, noise: Float32Array, n: number, dims: number, out: Float32Array): void
  /** out[i] = x_i . y_(yIndex[i]) in float32: the products of given pairs of rows. */
  pairProducts(x: Float32Array, y: Float32Array, yIndex: Int32Array, dims: number, out: Float32Array): void
  /**
   * Maximises the sum of images_i . noise_columnOfRow[i] (n x dims each), of whose products it sees only the shortfalls (2 n^2 bytes), by a forward auction with epsilon scaling, until
   * bound - benefit <= tolerance * (benefit - identity benefit), or as close as its units allow. Cold start; never worse than the identity. A shift makes shortfalls smaller than they
   * are, never larger, so the bound holds for the true ones; and what is reached is the sum of the true products, multiplied again in integers. The gap is a certificate, however coarse the shift.
   */
  auction(
    benefit: Shortfalls,
    images: Int8Array,
    noise: Uint8Array,
    n: number,
    dims: number,
    tolerance: number,
    columnOfRow: Int32Array,
  ): AuctionResult
  /** Minimises the sum of `cost` (n x n) exactly: Jonker-Volgenant, shortest augmenting paths. RangeError: a cost is not finite. */
  linearSum(cost: Float32Array | Int32Array, n: number, columnOfRow: Int32Array): void
  /** The horizontal pass of a resize: rows of pixels, `rowStep` bytes apart, channels beside each other -> channel, row, result. Rounded to nearest and clipped. */
  resizeRows(pixels: Uint8Array, rowStep: number, numRows: number, channels: number, sums: WeightedSums, out: Uint8Array): void
  /** The vertical pass: `width` bytes of each row -> as many of each result. Rounded to nearest and clipped. */
  resizeColumns(pixels: Uint8Array, rowStep: number, width: number, sums: WeightedSums, out: Uint8Array): void
  /**
   * Adds to the coefficients, which are zero at first, what one scan of a JPEG of 8 bits in Huffman coding says that begins at `start` of the file. Answers where the next
   * marker is; -1: the scan is damaged, or ends elsewhere than its data, or is one that libjpeg may read in another way. The coefficients are then unspecified.
   */
  jpegScan(file: Uint8Array, start: number, scan: JpegScan, coefficients: Int16Array): number
  /** Blocks of coefficients -> rows of 8 * blocksAcross samples: times `quantization` (64, in rows), then the inverse DCT. */
  jpegSamples(coefficients: Int16Array, blocksAcross: number, quantization: Int16Array, out: Uint8Array): void
  /** One plane -> gray; three -> RGB, channels beside each other. The first has as many samples as pixels; the others may have half as many, across, down or both, if they are YCbCr. */
  jpegPixels(planes: readonly JpegPlane[], isYcc: boolean, width: number, height: number, out: Uint8Array): void
}
