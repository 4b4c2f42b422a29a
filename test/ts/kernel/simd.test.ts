/** The WASM kernels against the plain ones: the same bits, for both builds, over lengths off the vector width, ties and extremes. */
import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { BUILDS, compileKernels } from '../../../ts/bootstrap/compile-kernels.ts'
import { createAxis } from '../../../ts/dataset/image/resize-weights.ts'
import type { ArrayType, NumberArray } from '../../../ts/kernel/kernel.ts'
import { plainKernel } from '../../../ts/kernel/plain.ts'
import { bestSimdBuild, createSimdKernel } from '../../../ts/kernel/simd/simd.ts'
import { encodeScan, sequentialScan } from '../../fixture/jpeg-scan.ts'
import { integers } from '../../fixture/numbers.ts'

const bytes = (array: NumberArray): string => Buffer.from(array.buffer, array.byteOffset, array.byteLength).toString('base64')
const size = (most: number): fc.Arbitrary<number> => fc.integer({ min: 1, max: most })

test.each(Object.keys(BUILDS) as (keyof typeof BUILDS)[])('%s is what its sources compile to', async (name) => {
  const committed = readFileSync(new URL(`../../../ts/kernel/simd/${name}`, import.meta.url))
  expect(Buffer.from(await compileKernels(name)).equals(committed)).toBe(true)
})

test('this engine runs the relaxed build', () => {
  expect(bestSimdBuild()).toBe('relaxed')
})

describe.each(['relaxed', 'simd'] as const)('the %s build', (build) => {
  const kernel = createSimdKernel(build)
  const arrayOf = (random: fc.Arbitrary<number>, length: number) => fc.array(random, { minLength: length, maxLength: length })

  /** Runs `work` with both kernels, outputs outside and inside the arena, and compares their bytes. */
  function expectSameBits<A extends NumberArray>(
    type: ArrayType<A>,
    length: number,
    work: (kernel: typeof plainKernel, out: A) => unknown,
  ): void {
    const expected = new type(new ArrayBuffer(length * type.BYTES_PER_ELEMENT), 0, length)
    const answer = work(plainKernel, expected)
    const copied = new type(new ArrayBuffer(length * type.BYTES_PER_ELEMENT), 0, length)
    expect(work(kernel, copied)).toEqual(answer)
    expect(bytes(copied)).toBe(bytes(expected))
    kernel.scope((arena) => {
      const inPlace = arena.array(type, length)
      work(kernel, inPlace)
      expect(bytes(inPlace)).toBe(bytes(expected))
    })
  }

  test('normals', () => {
    const key = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n })
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 2 ** 32 - 1 }), fc.array(key, { minLength: 1, maxLength: 9 }), size(70), (seed, keys, dims) => {
        expectSameBits(Float32Array, keys.length * dims, (k, out) => k.normal(seed, 7, BigUint64Array.from(keys), dims, out))
      }),
    )
    const keys = BigUint64Array.from({ length: 300 }, (_, row) => BigInt(row))
    expectSameBits(Float32Array, 300 * 3072, (k, out) => k.normal(3, 16_777_217, keys, 3072, out))
  })

  test('float16, all kinds of floats', () => {
    fc.assert(
      fc.property(fc.array(fc.float(), { minLength: 1, maxLength: 40 }), (values) => {
        expectSameBits(Uint16Array, values.length, (k, out) => k.toFloat16(Float32Array.from(values), out))
      }),
    )
    const everySixteenth = new Float32Array(Uint32Array.from({ length: 2 ** 20 }, (_, at) => at * 4096 + (at % 4096)).buffer)
    expectSameBits(Uint16Array, everySixteenth.length, (k, out) => k.toFloat16(everySixteenth, out))
  })

  test('packing', () => {
    fc.assert(
      fc.property(fc.array(fc.float({ noNaN: true, min: -100, max: 100 }), { minLength: 1, maxLength: 70 }), (values) => {
        const floats = Float32Array.from(values)
        expectSameBits(Uint8Array, floats.length, (k, out) => k.packNoise(floats, out))
        expectSameBits(Int8Array, floats.length, (k, out) => k.packFloats(floats, out))
        const levels = Int8Array.from(values)
        expectSameBits(Float32Array, levels.length, (k, out) => k.unpack(levels, 1 / 127.5, 0.5 / 127.5, out))
        const pixels = Uint8Array.from(values, (value) => value + 100)
        expectSameBits(Int8Array, pixels.length, (k, out) => k.packPixels(pixels, out))
      }),
    )
    for (const kernelOfTwo of [plainKernel, kernel]) {
      expect(() => kernelOfTwo.packFloats(Float32Array.of(1, 2, 3, 4, NaN), new Int8Array(5))).toThrow(RangeError)
      expect(() => kernelOfTwo.packFloats(Float32Array.of(Infinity, 2), new Int8Array(2))).toThrow(RangeError)
    }
  })

  /** int8 rows and 7-bit rows with many extremes. */
  const levels = fc.constantFrom([-128, 127], [0, 127], [-128, 0])
  function packedRows(numImages: number, numNoises: number, dims: number, salt: number, [low, high]: readonly number[]) {
    return {
      images: Int8Array.from({ length: numImages * dims }, (_, at) => ((at * 7919 + salt) % 3 === 0 ? low : (at * 31 + salt) % high)),
      noise: Uint8Array.from({ length: numNoises * dims }, (_, at) =>
        (at * 104_729 + salt) % 5 === 0 ? 127 : Math.abs(at * 17 + salt) % 128,
      ),
    }
  }

  test('benefits of more or fewer images than noises, extremes included', () => {
    fc.assert(
      fc.property(size(13), size(13), size(70), fc.integer(), levels, (numImages, numNoises, dims, salt, range) => {
        const { images, noise } = packedRows(numImages, numNoises, dims, salt, range)
        expectSameBits(Int32Array, numImages * numNoises, (k, out) => k.benefitInt8(images, noise, numImages, numNoises, dims, out))
      }),
    )
    const all = Int8Array.from({ length: 3 * 132_104 }, () => -128)
    expectSameBits(Int32Array, 9, (k, out) => k.benefitInt8(all, new Uint8Array(all.length).fill(127), 3, 3, 132_104, out))
  })

  test('shortfalls of any integers, with the shift that they need', () => {
    const value = fc.oneof(fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }), fc.integer({ min: -70_000, max: 70_000 }))
    const matrices = fc.tuple(size(4), size(21)).chain(([numRows, n]) => fc.tuple(fc.constant({ numRows, n }), arrayOf(value, numRows * n)))
    fc.assert(
      fc.property(matrices, fc.integer({ min: 0, max: 9 }), ([{ numRows, n }, values], shift) => {
        const benefit = Int32Array.from(values)
        expectSameBits(Int32Array, numRows, (k, out) => k.shortfalls(benefit, numRows, n, shift, out, new Uint16Array(numRows * n)))
        expectSameBits(Uint16Array, numRows * n, (k, out) => k.shortfalls(benefit, numRows, n, shift, new Int32Array(numRows), out))
      }),
    )
  })

  test('float costs', () => {
    fc.assert(
      fc.property(
        size(10),
        fc.constantFrom(1, 2, 3, 4, 5, 64, 1023, 1024, 1025, 2050),
        fc.integer({ min: 1, max: 1000 }),
        (n, dims, salt) => {
          const [images, noise] = [new Float32Array(n * dims), new Float32Array(n * dims)]
          plainKernel.normal(salt, 1, BigUint64Array.of(1n), n * dims, images)
          plainKernel.normal(salt, 1, BigUint64Array.of(2n), n * dims, noise)
          expectSameBits(Float32Array, n * n, (k, out) => k.costFloat32(images, noise, n, dims, out))
          expectSameBits(Float32Array, n * n, (k, out) => k.costL1(images, noise, n, dims, out))
          const reversed = Int32Array.from({ length: n }, (_, row) => n - 1 - row)
          expectSameBits(Float32Array, n, (k, out) => k.pairProducts(images, noise, reversed, dims, out))
        },
      ),
      { numRuns: 60 },
    )
  })

  function shortfallsOf(images: Int8Array, noise: Uint8Array, n: number, dims: number, least: number) {
    const benefit = new Int32Array(n * n)
    plainKernel.benefitInt8(images, noise, n, n, dims, benefit)
    const [shortfall, rowMaxima] = [new Uint16Array(n * n), new Int32Array(n)]
    return { shortfall, rowMaxima, shift: plainKernel.shortfalls(benefit, n, n, least, rowMaxima, shortfall) }
  }

  test('auctions, of shortfalls small and as large as they can be', () => {
    const shapes = fc.record({ n: size(40), dims: size(70), salt: fc.integer({ min: 1, max: 1e6 }), range: levels })
    const steepness = fc.constantFrom(0, 0.1, 1, 30)
    let numDear = 0
    fc.assert(
      fc.property(shapes, steepness, fc.integer({ min: 0, max: 6 }), fc.constantFrom(0, 0.001, 0.1), (shape, steep, shift, tolerance) => {
        const { n, dims, salt, range } = shape
        const { images, noise } = packedRows(n, n, dims, salt, range)
        // The steeper, the more alike are the wishes of the rows, and the dearer the columns.
        for (let at = 0; at < noise.length; at++) noise[at] = Math.max(0, noise[at] - Math.floor(steep * Math.floor(at / dims)))
        const given = shortfallsOf(images, noise, n, dims, shift)
        if (Math.max(...given.shortfall) > 40_000) numDear++
        expectSameBits(Int32Array, n, (k, out) => k.auction(given, images, noise, n, dims, tolerance, out))
      }),
      { numRuns: 300 },
    )
    expect(numDear).toBeGreaterThan(20)
  })

  test('auctions on any shortfalls, with sums that need 32 bits, to the last epsilon', () => {
    const range = fc.constantFrom([0, 65_535], [60_000, 65_535], [65_535, 65_535], [0, 3])
    const shapes = fc.record({ n: size(40), numWanted: size(40), seed: fc.nat(1_000_000), range })
    fc.assert(
      fc.property(shapes, ({ n, numWanted, seed, range: [low, high] }) => {
        const next = integers(seed)
        // Every row wants the first columns; for the others it must be outbid beyond 65,535.
        const shortfall = Uint16Array.from({ length: n * n }, (_, at) => (at % n < numWanted ? next(100) : low + next(high - low + 1)))
        const images = Int8Array.from({ length: 4 * n }, () => next(256) - 128)
        const noise = Uint8Array.from({ length: 4 * n }, () => next(128))
        // Rows worth so much that no phase proves enough: the bound tells of every price.
        const given = { shortfall, rowMaxima: new Int32Array(n).fill(2 ** 30), shift: 0 }
        expectSameBits(Int32Array, n, (k, out) => k.auction(given, images, noise, n, 4, 0, out))
      }),
      { numRuns: 200 },
    )
  })

  test('exact assignments of integers and floats, ties included', () => {
    const spreads = fc.constantFrom(0, 1, 2, 1000, 2 ** 20, 2 ** 31 - 1)
    fc.assert(
      fc.property(size(25), spreads, fc.integer({ min: 1, max: 1e6 }), (n, spread, salt) => {
        const noise = new Float32Array(n * n)
        plainKernel.normal(salt, 1, BigUint64Array.of(1n), n * n, noise)
        const rounded = Int32Array.from(noise, (value) => Math.max(-(2 ** 31), Math.min(2 ** 31 - 1, Math.round((value * spread) / 2))))
        expectSameBits(Int32Array, n, (k, out) => k.linearSum(rounded, n, out))
        expectSameBits(Int32Array, n, (k, out) => k.linearSum(noise, n, out))
        const scaled = noise.map((value) => value * 2 ** ((salt % 240) - 130))
        expectSameBits(Int32Array, n, (k, out) => k.linearSum(scaled, n, out))
      }),
      { numRuns: 300 },
    )
    const large = new Float32Array(300 * 300)
    plainKernel.normal(1, 1, BigUint64Array.of(1n), large.length, large)
    expectSameBits(Int32Array, 300, (k, out) => k.linearSum(large, 300, out))
    const ties = Int32Array.from(large, (value) => Math.round(4 * value))
    expectSameBits(Int32Array, 300, (k, out) => k.linearSum(ties, 300, out))
    for (const bad of [NaN, Infinity]) {
      const costs = Float32Array.of(1, 2, 3, 4, 5, 6, 7, bad, 9)
      for (const either of [plainKernel, kernel]) expect(() => either.linearSum(costs, 3, new Int32Array(3))).toThrow(RangeError)
    }
  })

  test('passes of a resize: filters, boxes, gaps between rows, weights that overshoot', () => {
    const sides = fc.record({
      size: size(40),
      results: size(37),
      from: fc.double({ min: 0, max: 0.9, noNaN: true }),
      part: fc.double({ min: 0.05, max: 1, noNaN: true }),
    })
    const filters = fc.constantFrom('box', 'bilinear', 'bicubic', 'lanczos')
    fc.assert(
      fc.property(
        sides,
        filters,
        size(20),
        fc.constantFrom(1, 2, 3, 4),
        size(9),
        ({ size: length, results, from, part }, filter, lines, channels, gap) => {
          const sums = createAxis(filter)(length, from * length, (from + part * (1 - from)) * length, results, 0, results)
          // Half of them extremes, where filters overshoot.
          const pixels = Uint8Array.from({ length: 50 * 4 * 50 }, (_, at) => [0, 255, at * 31 + gap, at >> 3][(at * 7919 + length) % 4])
          const rowStep = sums.length * channels + gap
          const rows = pixels.subarray(0, (lines - 1) * rowStep + sums.length * channels)
          expectSameBits(Uint8Array, channels * lines * results, (k, out) => k.resizeRows(rows, rowStep, lines, channels, sums, out))
          const [width, step] = [lines * channels, lines * channels + gap]
          const columns = pixels.subarray(0, (sums.length - 1) * step + width)
          expectSameBits(Uint8Array, results * width, (k, out) => k.resizeColumns(columns, step, width, sums, out))
        },
      ),
      { numRuns: 400 },
    )
  })

  test('scans of a JPEG, whole and damaged', () => {
    const scans = fc.record({
      sizes: fc.array(fc.tuple(size(2), size(2)), { minLength: 1, maxLength: 2 }),
      mcusAcross: size(5),
      mcusDown: size(5),
      restartInterval: fc.integer({ min: 0, max: 7 }),
      // Within the lookup and beyond it.
      codeBits: fc.constantFrom(8, 10, 11, 16),
      sparsity: fc.integer({ min: 1, max: 90 }),
      seed: fc.nat(),
    })
    fc.assert(
      fc.property(scans, ({ sizes, codeBits, sparsity, seed, ...shape }) => {
        const { scan, numCoefficients } = sequentialScan(sizes, shape, codeBits)
        const random = integers(seed)
        const coefficients = Int16Array.from({ length: numCoefficients }, () =>
          random(sparsity) > 0 ? 0 : (random(2) * 2 - 1) * random(2 ** random(14)),
        )
        const file = encodeScan(scan, coefficients)
        expectSameBits(Int16Array, numCoefficients, (k, out) => {
          expect(k.jpegScan(file, 0, scan, out.fill(0))).toBe(file.length - 2)
          expect(bytes(out)).toBe(bytes(coefficients))
        })
        const damaged = file.slice(0, random(4) === 0 ? random(file.length) : file.length)
        if (random(4) > 0) damaged[random(damaged.length)] = [0, 0xff, 0xd9, random(256)][random(4)]
        const answers = [plainKernel, kernel].map((k) => k.jpegScan(damaged, 0, scan, new Int16Array(numCoefficients)))
        expect(answers[1]).toBe(answers[0])
      }),
      { numRuns: 400 },
    )
  })

  test('samples of a JPEG, extremes included', () => {
    const coefficient = fc.oneof(
      { weight: 8, arbitrary: fc.constant(0) },
      fc.integer({ min: -(2 ** 15), max: 2 ** 15 - 1 }),
      fc.integer({ min: -200, max: 200 }),
    )
    fc.assert(
      fc.property(size(3), size(3), fc.integer({ min: 1, max: 255 }), fc.infiniteStream(coefficient), (across, down, most, stream) => {
        const coefficients = Int16Array.from(stream.take(across * down * 64))
        const quantization = Int16Array.from({ length: 64 }, (_, at) => 1 + ((at * 31) % most))
        expectSameBits(Uint8Array, coefficients.length, (k, out) => k.jpegSamples(coefficients, across, quantization, out))
      }),
      { numRuns: 500 },
    )
  })

  test('pixels of a JPEG, of every sampling and chroma', () => {
    const sampling = fc.constantFrom([1, 1], [2, 1], [1, 2], [2, 2])
    fc.assert(
      fc.property(size(70), size(9), sampling, sampling, fc.boolean(), fc.nat(), (width, height, second, third, isYcc, seed) => {
        const random = integers(seed)
        const planes = [[1, 1], second, third].map(([across, down]) => {
          const [columns, rows] = [Math.ceil(width / across), Math.ceil(height / down)]
          const stride = Math.ceil(columns / 8) * 8
          const samples = Uint8Array.from({ length: stride * rows }, () => random(256))
          return { samples, stride, width: columns, height: rows, across, down }
        })
        expectSameBits(Uint8Array, width * height * 3, (k, out) => k.jpegPixels(planes, isYcc, width, height, out))
        expectSameBits(Uint8Array, width * height, (k, out) => k.jpegPixels(planes.slice(0, 1), false, width, height, out))
      }),
      { numRuns: 400 },
    )
    const level = (of: (at: number) => number) => ({
      samples: Uint8Array.from({ length: 65_536 }, (_, at) => of(at)),
      stride: 256,
      width: 256,
      height: 256,
      across: 1,
      down: 1,
    })
    for (const luma of [0, 93, 255]) {
      const planes = [level(() => luma), level((at) => at & 255), level((at) => at >> 8)]
      expectSameBits(Uint8Array, 3 * 65_536, (k, out) => k.jpegPixels(planes, true, 256, 256, out))
    }
  })

  test('rows that end where the memory of a kernel ends', () => {
    const fresh = createSimdKernel(build)
    const weights = Int32Array.from({ length: 16 }, (_, at) => (at % 4 === 0 ? 2 ** 22 : 0))
    const sums = { starts: new Int32Array(4), counts: new Int32Array(4).fill(1), weights, stride: 4 }
    fresh.scope((arena) => {
      const used = arena.array(Uint8Array, 64).byteOffset + 64 + 3 * 64
      const placed = { ...sums, starts: arena.place(sums.starts), counts: arena.place(sums.counts), weights: arena.place(sums.weights) }
      const out = arena.array(Uint8Array, 64)
      const last = arena.array(Uint8Array, 2 * 65_536 - used - 64).fill(9)
      expect(last.byteOffset + last.length).toBe(last.buffer.byteLength)
      for (const channels of [1, 3]) fresh.resizeRows(last.subarray(-channels), channels, 1, channels, placed, out)
      expect([...out.subarray(0, 12)]).toEqual(Array.from({ length: 12 }, () => 9))
      const plane = { samples: last.subarray(-8), stride: 8, width: 3, height: 1, across: 1, down: 1 }
      fresh.jpegPixels([plane, plane, plane], false, 3, 1, out)
      expect([...out.subarray(0, 9)]).toEqual(Array.from({ length: 9 }, () => 9))
    })
  })

  test('an arena that outgrows its memory keeps what is in it', () => {
    kernel.scope((arena) => {
      const first = arena.array(Int32Array, 1000).fill(7)
      const large = arena.array(Float32Array, 30_000_000).fill(1)
      kernel.scope((inner) => inner.array(Uint8Array, 50_000_000).fill(3))
      expect(first.every((value) => value === 7)).toBe(true)
      expect(large.every((value) => value === 1)).toBe(true)
      const halves = arena.array(Uint16Array, 1000)
      kernel.toFloat16(large.subarray(0, 1000), halves)
      expect(halves.every((value) => value === 0x3c00)).toBe(true)
    })
    expect(() => kernel.scope((arena) => arena.array(Float32Array, 2 ** 30))).toThrow(/at most 4 GiB/)
  })
})
