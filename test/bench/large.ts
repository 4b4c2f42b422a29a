/**
 * One large pool in a process of its own, so that its peak memory is its own: node test/bench/large.ts '{"scene": ..., "size": ..., "dims": ..., "images": FILE, "noise": FILE}'.
 * Answers a line of JSON. With the files, writes what was assigned (float32) for others to assign.
 */
import { appendFileSync, writeFileSync } from 'node:fs'
import type { Matrix, PoolContext } from '../../ts/assignment/assignment.ts'
import { quantized } from '../../ts/assignment/quantized.ts'
import { threadKernel } from '../../ts/kernel/simd/simd.ts'
import { draw, gainOf, type Scene } from './scenes.ts'

export interface LargeRequest {
  readonly scene: Scene
  readonly size: number
  readonly dims: number
  readonly images?: string
  readonly noise?: string
}

export interface LargeAnswer {
  /** Packing, products and solving: once, after a small pool has warmed the kernels. */
  readonly ms: number
  readonly gain: number
  readonly dualGap: number
  /** Largest resident memory over that before the pool was made: its pixels and noise, and all that assigning takes. */
  readonly peakMiB: number
}

const kernel = threadKernel()

function solve({ scene, size, dims, ...files }: LargeRequest): LargeAnswer {
  return kernel.scope((arena) => {
    const before = process.memoryUsage.rss()
    const pixels = arena.array(Uint8Array, size * dims)
    draw(scene, size, dims, kernel, pixels)
    const noise = arena.array(Float32Array, size * dims)
    const keys = BigUint64Array.from({ length: size }, (_, row) => BigInt(row))
    kernel.normal(7, 1, keys, dims, noise)
    const noiseIndex = new Int32Array(size)
    const start = performance.now()
    const packed = arena.array(Int8Array, size * dims)
    kernel.packPixels(pixels, packed)
    const matrix = (data: Matrix['data']): Matrix => ({ data, rows: size, dims, scale: 1, offset: 0 })
    const pool: PoolContext = { epoch: 0, firstStep: 0, firstSample: 0, sampleIndices: noiseIndex, flips: new Uint8Array(size) }
    const { dualGap = NaN } = quantized({}, kernel).assign(pool, matrix(packed), matrix(noise), noiseIndex)
    const ms = performance.now() - start
    const peakMiB = (process.resourceUsage().maxRSS * 1024 - before) / 2 ** 20
    if (files.images && files.noise) {
      writeFileSync(files.noise, noise)
      writeFileSync(files.images, '')
      for (let at = 0; at < pixels.length; at += dims) {
        const image = Float32Array.from(pixels.subarray(at, at + dims), (pixel) => pixel / 127.5 - 1)
        appendFileSync(files.images, new Uint8Array(image.buffer))
      }
    }
    return { ms, gain: gainOf(pixels, noise, dims, noiseIndex), dualGap, peakMiB }
  })
}

for (let round = 0; round < 20; round++) solve({ scene: 'gaussian', size: 256, dims: 3072 })
console.log(JSON.stringify(solve(JSON.parse(process.argv[2] ?? '') as LargeRequest)))
