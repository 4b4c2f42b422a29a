/** Pools that are multiplied block by block and kept in two bytes a pair: what that changes (nothing that is certified), and what it takes of memory. */
import { existsSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { resolveConfig, type AssignmentConfig, type TrainConfig } from '../../../protocol/index.ts'
import { assign } from '../../../ts/assignment/assign.ts'
import { quantized } from '../../../ts/assignment/quantized.ts'
import { createStrategy } from '../../../ts/assignment/table.ts'
import type { Dataset } from '../../../ts/dataset/dataset.ts'
import { loadEmoji } from '../../../ts/dataset/emoji.ts'
import type { Kernel, Shortfalls } from '../../../ts/kernel/kernel.ts'
import { plainKernel } from '../../../ts/kernel/plain.ts'
import { createSimdKernel, threadKernel } from '../../../ts/kernel/simd/simd.ts'
import { linear } from '../../../ts/assignment/linear.ts'
import { arenaBytes, checkPoolFits, createPoolSource } from '../../../ts/pipeline/source.ts'
import { trainImmiscible } from '../../../ts/train.ts'
import { gaussian, identity, total } from '../../fixture/numbers.ts'

const DIMS = 64

/** An assignment, and what the strategy hands to the auction. */
function spied(images: Float32Array, noise: Float32Array, dims = DIMS) {
  const kernel = threadKernel()
  let seen: { shortfalls: Shortfalls; benefit: Int32Array } | undefined
  const spy: Kernel = {
    ...kernel,
    auction(shortfalls, x, y, n, _dims, tolerance, columnOfRow) {
      const benefit = new Int32Array(n * n)
      kernel.benefitInt8(x, y, n, n, dims, benefit)
      seen = { shortfalls: { ...shortfalls, rowMaxima: shortfalls.rowMaxima.slice(), shortfall: shortfalls.shortfall.slice() }, benefit }
      return kernel.auction(shortfalls, x, y, n, dims, tolerance, columnOfRow)
    },
  }
  const assigned = assign(quantized({}, spy), { images, noise, dims })
  if (!seen) throw new Error('no auction')
  return { ...assigned, ...seen }
}

test('a pool of 600, multiplied in three blocks, has the shortfalls of the whole matrix, in the finest unit that holds them', () => {
  const [n, dims] = [600, 1024]
  // The later images are the larger ones, so that each block needs a coarser unit than those before.
  const images = gaussian(1, n, dims).map((value, at) => Math.sign(value) * 4 ** Math.floor(at / 256 / dims))
  const { shortfalls, benefit } = spied(images, gaussian(2, n, dims), dims)
  const [rowMaxima, whole] = [new Int32Array(n), new Uint16Array(n * n)]
  expect(plainKernel.shortfalls(benefit, n, n, 0, rowMaxima, whole)).toBe(shortfalls.shift)
  expect(plainKernel.shortfalls(benefit, 512, n, 0, rowMaxima, whole)).toBeLessThan(shortfalls.shift)
  plainKernel.shortfalls(benefit, n, n, shortfalls.shift, rowMaxima, whole)
  expect(shortfalls.rowMaxima).toEqual(rowMaxima)
  expect(Buffer.from(shortfalls.shortfall.buffer).equals(Buffer.from(whole.buffer))).toBe(true)
  expect(whole.reduce((most, value) => Math.max(most, value))).toBeGreaterThanOrEqual(2 ** 15)
})

test.each(['images of one size', 'images of very different sizes', 'noise that is far from normal'])(
  '%s: the certified gap bounds what is missing of the optimum, on either side of the blocks',
  (content) => {
    for (const n of [255, 256, 257, 300]) {
      const images = gaussian(n, n, DIMS)
      const noise = gaussian(n + 1, n, DIMS)
      if (content.includes('sizes')) images.forEach((value, at) => (images[at] = value * 1.03 ** Math.floor(at / DIMS)))
      // Bright images, and a seventh of the noise as bright as can be.
      if (content.includes('normal')) images.forEach((value, at) => (images[at] = value + 1))
      if (content.includes('normal')) noise.forEach((value, at) => (noise[at] = at % (7 * DIMS) < DIMS ? 4 : value / 100))
      const { noiseIndex, metrics, benefit } = spied(images, noise)
      const best = new Int32Array(n)
      plainKernel.linearSum(
        benefit.map((value) => -value),
        n,
        best,
      )
      const [drawn, ours, optimum] = [identity(n), noiseIndex, best].map((index) => total(benefit, n, index))
      expect((optimum - ours) / (optimum - drawn)).toBeLessThanOrEqual(metrics.dualGap as number)
      // Where a few pairs are worth far more than all others, units that hold them are coarse.
      expect(metrics.dualGap).toBeLessThanOrEqual(content.includes('normal') ? 0.003 : 0.001)
    }
  },
)

function configOf(assignment: Partial<AssignmentConfig> & { poolSize: number }): TrainConfig {
  const resolved = resolveConfig({ dataset: { kind: 'emoji' }, outputDir: 'unused', globalBatchSize: 16, assignment })
  if ('problems' in resolved) throw new Error(JSON.stringify(resolved.problems))
  return resolved.config
}

test.each(['independent', 'linear', 'quantized'] as const)('%s: a pool takes the memory that is stated, and not much less', (kind) => {
  const emoji = loadEmoji()
  const config = configOf({ kind, poolSize: kind === 'linear' ? 256 : 1408 })
  const kernel = createSimdKernel()
  // A strategy of the table keeps to the thread's kernel: here one that has solved nothing yet.
  const strategy = kind === 'linear' ? linear({}, kernel) : kind === 'quantized' ? quantized({}, kernel) : createStrategy(config.assignment)
  const [batch] = createPoolSource(config, emoji, strategy, kernel).pool(0)
  expect(batch?.assignment.numMoved).toBeGreaterThanOrEqual(kind === 'independent' ? 0 : 200)
  const taken = kernel.scope((arena) => arena.array(Uint8Array, 1).buffer.byteLength)
  const stated = arenaBytes(config, emoji)
  expect(taken).toBeLessThanOrEqual(stated)
  expect(taken).toBeGreaterThan(stated - 3 * 2 ** 20)
})

test('16,384 images of 3,072 dimensions are stated to take 0.8 GiB of a thread', () => {
  const config = configOf({ kind: 'quantized', poolSize: 16_384 })
  expect(arenaBytes(config, loadEmoji()) / 2 ** 30).toBeCloseTo(0.8, 1)
})

test('a pool that no kernel can address is refused by its field, with what it would need', () => {
  const large: Dataset = { ...loadEmoji(), imageShape: [16, 64, 64] }
  const config = configOf({ kind: 'quantized', poolSize: 16_384 })
  expect(() => checkPoolFits(config, large)).toThrow(
    "assignment.poolSize: expected a pool that 'quantized' solves in 4.0 GiB (what a WASM kernel can address), got 16384 images of 16 x 64 x 64, which need 6.5 GiB",
  )
  expect(() => checkPoolFits(config, loadEmoji())).not.toThrow()
  expect(() => checkPoolFits(configOf({ kind: 'quantized', poolSize: 8192 }), large)).not.toThrow()
})

test('a run that would not fit ends before anything is written', async () => {
  const greedy = { name: 'greedy', candidatesPerImage: 300, poolSize: 1408, assign: () => ({}) }
  const outputDir = join(tmpdir(), `immiscible-too-large-${process.pid}`)
  const run = trainImmiscible({ dataset: { kind: 'emoji' }, globalBatchSize: 16, assignment: greedy, outputDir })
  await expect(run).rejects.toThrow(
    /assignment.poolSize: expected a pool that 'custom' solves in 4.0 GiB .* got 1408 images .* need 4.8 GiB/,
  )
  expect(existsSync(outputDir)).toBe(false)
})
