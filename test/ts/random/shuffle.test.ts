import fc from 'fast-check'
import { expect, test } from 'vitest'
import { shuffledIndex } from '../../../ts/random/shuffle.ts'
import { equalCountsScore } from '../../fixture/statistics.ts'

const order = (seed: number, epoch: number, numImages: number): number[] =>
  Array.from({ length: numImages }, (_, position) => shuffledIndex(seed, epoch, numImages, position))

const inOrder = (numImages: number): number[] => Array.from({ length: numImages }, (_, index) => index)

test('every size up to 300, and those around powers of two, is a bijection', () => {
  for (const numImages of [...inOrder(300).map((n) => n + 1), 1023, 1024, 1025, 1797, 4095, 4096, 4097]) {
    expect(order(1, 2, numImages).toSorted((a, b) => a - b)).toEqual(inOrder(numImages))
  }
})

test('any seed and epoch is a bijection', () => {
  const word = fc.nat({ max: 0xffff_ffff })
  fc.assert(
    fc.property(word, word, fc.integer({ min: 1, max: 400 }), (seed, epoch, numImages) => {
      expect(order(seed, epoch, numImages).toSorted((a, b) => a - b)).toEqual(inOrder(numImages))
    }),
    { numRuns: 50 },
  )
})

test('two billion images are no list in memory, and no two places meet', () => {
  const numImages = 2 ** 31
  const seen = new Set<number>()
  for (let at = 0; at < 2000; at++) seen.add(shuffledIndex(1, 1, numImages, at < 1000 ? at : numImages - at))
  expect(seen.size).toBe(2000)
  for (const index of seen) expect(index >= 0 && index < numImages && Number.isInteger(index)).toBe(true)
})

test.each([2, 3, 4])('all orders of %i images come up equally often', (numImages) => {
  const counts = new Map<string, number>()
  const permutations = numImages === 2 ? 2 : numImages === 3 ? 6 : 24
  for (let epoch = 0; epoch < 1200; epoch++) {
    const key = order(3, epoch, numImages).join()
    counts.set(key, (counts.get(key) ?? 0) + 1)
  }
  expect(counts.size).toBe(permutations)
  expect(Math.abs(equalCountsScore([...counts.values()]))).toBeLessThan(4.5)
})

test.each([5, 16, 17, 40])('each of %i images comes equally often to each place, and after each other image', (numImages) => {
  const places = new Uint32Array(numImages * numImages)
  const steps = new Uint32Array(numImages * numImages)
  for (let epoch = 0; epoch < 600; epoch++) {
    const indices = order(4, epoch, numImages)
    indices.forEach((index, position) => {
      places[index * numImages + position]++
      if (position > 0) steps[indices[position - 1] * numImages + index]++
    })
  }
  expect(Math.abs(equalCountsScore(places))).toBeLessThan(4.5)
  // No image follows itself: the diagonal is impossible.
  expect(Math.abs(equalCountsScore(steps.filter((_, at) => at % (numImages + 1) !== 0)))).toBeLessThan(4.5)
})

test('a rotation instead of a shuffle is rejected by the same check', () => {
  const numImages = 16
  const steps = new Uint32Array(numImages * numImages)
  for (let epoch = 0; epoch < 100; epoch++) {
    for (let position = 1; position < numImages; position++) {
      const rotated = (at: number): number => (at + shuffledIndex(4, epoch, numImages, 0)) % numImages
      steps[rotated(position - 1) * numImages + rotated(position)]++
    }
  }
  expect(equalCountsScore(steps.filter((_, at) => at % (numImages + 1) !== 0))).toBeGreaterThan(4.5)
})

test('orders of other epochs and other seeds have as many fixed places in common as chance gives', () => {
  const numImages = 500
  const reference = order(5, 0, numImages)
  let common = 0
  const numOthers = 100
  for (let other = 1; other <= numOthers; other++) {
    const indices = other % 2 ? order(5, other, numImages) : order(5 + other, 0, numImages)
    common += indices.filter((index, position) => index === reference[position]).length
  }
  // One per order on average (Poisson).
  expect(Math.abs(common - numOthers) / Math.sqrt(numOthers)).toBeLessThan(4.5)
})

test('a place or a size that cannot be is named', () => {
  expect(() => shuffledIndex(1, 1, 0, 0)).toThrow('numImages: expected an integer from 1 to 2^31, got 0')
  expect(() => shuffledIndex(1, 1, 2 ** 31 + 1, 0)).toThrow('numImages')
  expect(() => shuffledIndex(1, 1, 10, 10)).toThrow('position: expected an integer from 0 to 9, got 10')
  expect(() => shuffledIndex(1, 1, 10, -1)).toThrow('position')
  expect(() => shuffledIndex(1, 1, 10, 0.5)).toThrow('position')
})
