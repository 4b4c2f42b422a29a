/** The kernels in WASM SIMD: the signatures and the bits of the plain ones (assembly/ holds the sources, `npm run kernels` compiles them). */
import { readFileSync } from 'node:fs'
import type { Arena, ArrayType, Kernel, NumberArray, WeightedSums } from '../kernel.ts'
import { createJpegKernels, type JpegExports } from './jpeg.ts'

const PAGE_BYTES = 65_536
const MAX_PAGES = 65_536
/** What WASM can address: the largest arena. */
export const MAX_ARENA_BYTES = MAX_PAGES * PAGE_BYTES
/** Every array starts on a cache line. */
const ALIGNMENT = 64
const SCRATCH_BYTES = 128

type Sums = readonly [starts: number, counts: number, weights: number, stride: number]

interface Exports extends JpegExports {
  normal(seed: number, stream: number, keys: number, numRows: number, dims: number, out: number, scratch: number): void
  toFloat16(values: number, length: number, out: number, scratch: number): void
  packPixels(pixels: number, length: number, out: number): void
  largestMagnitude(values: number, length: number): number
  scaleFloats(values: number, length: number, inverse: number, out: number): void
  packNoise(noise: number, length: number, out: number): void
  unpack(values: number, length: number, scale: number, offset: number, out: number): void
  benefitInt8(images: number, noise: number, numImages: number, numNoises: number, dims: number, out: number): void
  shortfalls(benefit: number, numRows: number, n: number, shift: number, rowMaxima: number, out: number): number
  costFloat32(images: number, noise: number, n: number, dims: number, out: number): void
  costL1(images: number, noise: number, n: number, dims: number, out: number): void
  pairProducts(x: number, y: number, yIndex: number, numRows: number, dims: number, out: number): void
  linearSum(cost: number, isInt: number, n: number, columnOfRow: number, scratch: number): number
  resizeRows(
    pixels: number,
    rowStep: number,
    numRows: number,
    channels: number,
    ...rest: readonly [...Sums, width: number, out: number, scratch: number]
  ): void
  resizeColumns(pixels: number, rowStep: number, width: number, ...rest: readonly [...Sums, height: number, out: number]): void
  auction(
    shortfall: number,
    rowMaxima: number,
    shift: number,
    images: number,
    noise: number,
    n: number,
    dims: number,
    tolerance: number,
    columnOfRow: number,
    scratch: number,
    answer: number,
  ): number
}

export type SimdBuild = 'relaxed' | 'simd'

const read = (name: string): Uint8Array<ArrayBuffer> => new Uint8Array(readFileSync(new URL(name, import.meta.url)))

/** The best build that this engine runs: `relaxed` needs V8 12 (Node 22). Both give the same bits. */
export function bestSimdBuild(): SimdBuild {
  return WebAssembly.validate(read('kernels-relaxed.wasm')) ? 'relaxed' : 'simd'
}

let shared: Kernel | undefined

/** This thread's kernel, made at its first use. */
export function threadKernel(): Kernel {
  shared ??= createSimdKernel()
  return shared
}

/**
 * A kernel with a memory of its own (one per thread). Arrays of its arena are used where they are; others are copied in and out.
 * Memory grows to the largest scope there was, at most 4 GiB, and is kept.
 */
export function createSimdKernel(build: SimdBuild = bestSimdBuild()): Kernel {
  const memory = new WebAssembly.Memory({ initial: 1, maximum: MAX_PAGES, shared: true })
  const module = new WebAssembly.Module(read(build === 'relaxed' ? 'kernels-relaxed.wasm' : 'kernels.wasm'))
  const abort = (): never => {
    throw new Error('a kernel aborted')
  }
  const wasm = new WebAssembly.Instance(module, { env: { memory, abort } }).exports as unknown as Exports
  /** A grown memory shows itself as another SharedArrayBuffer; arrays on the older ones stay good. */
  const buffers = new WeakSet<ArrayBufferLike>()
  let top = ALIGNMENT
  let buffer = memory.buffer

  function reserve(byteLength: number): number {
    const begin = top
    top = Math.ceil((begin + byteLength) / ALIGNMENT) * ALIGNMENT
    const missing = top - buffer.byteLength
    if (missing > 0) {
      if (top > MAX_ARENA_BYTES) {
        top = begin
        throw new RangeError(`expected at most 4 GiB in the arena of a kernel, got ${begin + byteLength} bytes`)
      }
      memory.grow(Math.ceil(missing / PAGE_BYTES))
      buffer = memory.buffer
    }
    buffers.add(buffer)
    return begin
  }

  const arena: Arena = {
    array(type, length) {
      const at = reserve(length * type.BYTES_PER_ELEMENT)
      return new type(buffer, at, length)
    },
    place(input) {
      if (isInside(input)) return input
      const at = place(input)
      return new (input.constructor as ArrayType<typeof input>)(buffer, at, input.length)
    },
  }

  function scope<T>(work: (arena: Arena) => T): T {
    const before = top
    try {
      return work(arena)
    } finally {
      top = before
    }
  }

  const isInside = (array: NumberArray): boolean => buffers.has(array.buffer)
  const bytesOf = (array: NumberArray): Uint8Array => new Uint8Array(array.buffer, array.byteOffset, array.byteLength)

  /** Where an input lies, copied in if need be. */
  function place(input: NumberArray): number {
    if (isInside(input)) return input.byteOffset
    const at = reserve(input.byteLength)
    new Uint8Array(buffer, at, input.byteLength).set(bytesOf(input))
    return at
  }

  /** Runs `work` with a place for the output's first `byteLength` bytes, and copies it out if need be. */
  function into<T>(output: NumberArray, byteLength: number, work: (at: number) => T): T {
    if (isInside(output)) return work(output.byteOffset)
    const at = reserve(byteLength)
    const answer = work(at)
    bytesOf(output).set(new Uint8Array(buffer, at, byteLength))
    return answer
  }

  /** As `into`, for what is read as well. */
  function update<T>(array: NumberArray, work: (at: number) => T): T {
    const at = place(array)
    const answer = work(at)
    if (!isInside(array)) bytesOf(array).set(new Uint8Array(buffer, at, array.byteLength))
    return answer
  }

  const placeSums = ({ starts, counts, weights, stride }: WeightedSums): Sums => [place(starts), place(counts), place(weights), stride]

  return {
    scope,
    ...createJpegKernels(wasm, { scope, reserve, place, into, update }),
    normal: (seed, stream, keys, dims, out) =>
      scope(() =>
        into(out, keys.length * dims * 4, (at) => wasm.normal(seed, stream, place(keys), keys.length, dims, at, reserve(SCRATCH_BYTES))),
      ),
    toFloat16: (values, out) =>
      scope(() => into(out, values.length * 2, (at) => wasm.toFloat16(place(values), values.length, at, reserve(SCRATCH_BYTES)))),
    packPixels: (pixels, out) => scope(() => into(out, pixels.length, (at) => wasm.packPixels(place(pixels), pixels.length, at))),
    packFloats: (values, out) =>
      scope(() => {
        const from = place(values)
        const largest = wasm.largestMagnitude(from, values.length)
        if (Number.isNaN(largest)) throw new RangeError(`expected finite values, got ${values.find((value) => !Number.isFinite(value))}`)
        if (largest < 2 ** -120) {
          out.fill(0)
          return 0
        }
        into(out, values.length, (at) => wasm.scaleFloats(from, values.length, Math.fround(127 / largest), at))
        return Math.fround(largest / 127)
      }),
    packNoise: (noise, out) => scope(() => into(out, noise.length, (at) => wasm.packNoise(place(noise), noise.length, at))),
    unpack: (values, scale, offset, out) =>
      scope(() => into(out, values.length * 4, (at) => wasm.unpack(place(values), values.length, scale, offset, at))),
    benefitInt8: (images, noise, numImages, numNoises, dims, out) =>
      scope(() =>
        into(out, numImages * numNoises * 4, (at) => wasm.benefitInt8(place(images), place(noise), numImages, numNoises, dims, at)),
      ),
    shortfalls: (benefit, numRows, n, shift, rowMaxima, out) =>
      scope(() =>
        into(out, numRows * n * 2, (to) =>
          into(rowMaxima, numRows * 4, (at) => wasm.shortfalls(place(benefit), numRows, n, shift, at, to)),
        ),
      ),
    costFloat32: (images, noise, n, dims, out) =>
      scope(() => into(out, n * n * 4, (at) => wasm.costFloat32(place(images), place(noise), n, dims, at))),
    costL1: (images, noise, n, dims, out) =>
      scope(() => into(out, n * n * 4, (at) => wasm.costL1(place(images), place(noise), n, dims, at))),
    pairProducts: (x, y, yIndex, dims, out) =>
      scope(() => into(out, yIndex.length * 4, (at) => wasm.pairProducts(place(x), place(y), place(yIndex), yIndex.length, dims, at))),
    resizeRows: (pixels, rowStep, numRows, channels, sums, out) =>
      scope(() => {
        const width = sums.starts.length
        into(out, channels * numRows * width, (at) => {
          const args = [place(pixels), rowStep, numRows, channels, ...placeSums(sums), width, at] as const
          // Behind the pixels: what is read past the last one must be there.
          wasm.resizeRows(...args, reserve(sums.weights.byteLength))
        })
      }),
    resizeColumns: (pixels, rowStep, width, sums, out) =>
      scope(() =>
        into(out, sums.starts.length * width, (at) =>
          wasm.resizeColumns(place(pixels), rowStep, width, ...placeSums(sums), sums.starts.length, at),
        ),
      ),
    auction: ({ shortfall, rowMaxima, shift }, images, noise, n, dims, tolerance, columnOfRow) =>
      scope(() => {
        const answer = reserve(16)
        const matrix = [place(shortfall), place(rowMaxima), shift] as const
        const benefit = into(columnOfRow, n * 4, (at) =>
          wasm.auction(...matrix, place(images), place(noise), n, dims, tolerance, at, reserve(14 * n), answer),
        )
        const [bound, identity] = new Float64Array(buffer, answer, 2)
        return { benefit, bound, identity }
      }),
    linearSum: (cost, n, columnOfRow) =>
      scope(() => {
        const even = n + (n % 2)
        const scratch = reserve(4 * even * 8 + 5 * (even + 2) * 4 + 22 * n + 2 * n * n)
        const isInt = cost instanceof Int32Array ? 1 : 0
        const failed = into(columnOfRow, n * 4, (at) => wasm.linearSum(place(cost), isInt, n, at, scratch))
        if (failed) throw new RangeError(`expected finite costs, got ${cost.find((value) => !Number.isFinite(value))}`)
      }),
  }
}
