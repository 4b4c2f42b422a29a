/** The embedded emoji: what they are, and how they shrink. */
import { expect, test } from 'vitest'
import type { Dataset } from '../../../ts/dataset/dataset.ts'
import { loadEmoji } from '../../../ts/dataset/emoji.ts'
import { openDataset } from '../../../ts/dataset/table.ts'
import { testConfig } from '../../fixture/config.ts'

function imageOf(dataset: Dataset, index: number): Uint8Array {
  const out = new Uint8Array(dataset.imageShape.reduce((product, size) => product * size, 1))
  dataset.read(index, out, 0)
  return out
}

test('1,412 colour 32x32 images in seven classes, on white', () => {
  const emoji = loadEmoji()
  expect(emoji).toMatchObject({ name: 'emoji', numImages: 1412, imageShape: [3, 32, 32], numClasses: 7 })
  const counts = Array.from({ length: 7 }, (_, label) => emoji.labels?.filter((other) => other === label).length)
  expect(counts).toEqual([85, 159, 131, 264, 386, 169, 218])
  let numWhiteCorners = 0
  for (let index = 0; index < emoji.numImages; index++)
    numWhiteCorners += [0, 1024, 2048].every((at) => imageOf(emoji, index)[at] > 250) ? 1 : 0
  expect(numWhiteCorners).toBeGreaterThan(1300)
})

test('the first is a face: more yellow than anything else', () => {
  const face = imageOf(loadEmoji(), 0)
  const isYellow = Array.from({ length: 1024 }, (_, at) => face[at] > 220 && face[1024 + at] > 150 && face[2048 + at] < 120)
  expect(isYellow.filter(Boolean).length).toBeGreaterThan(400)
})

test('a lower resolution is the mean of the area that each pixel covers', async () => {
  const full = loadEmoji()
  for (const resolution of [16, 8, 1, 24, 5]) {
    const small = await openDataset(testConfig({ dataset: { kind: 'emoji', resolution } }).dataset)
    expect(small.imageShape).toEqual([3, resolution, resolution])
    const [large, shrunk] = [imageOf(full, 77), imageOf(small, 77)]
    for (let plane = 0; plane < 3; plane++) {
      for (let y = 0; y < resolution; y++) {
        for (let x = 0; x < resolution; x++) {
          const exact = areaMean(large.subarray(plane * 1024, (plane + 1) * 1024), y, x, resolution)
          expect(Math.abs(shrunk[(plane * resolution + y) * resolution + x] - exact)).toBeLessThanOrEqual(0.5 + 1e-9)
        }
      }
    }
    expect(small.sha256).not.toBe(full.sha256)
  }
})

/** By counting: each input pixel is cut into `resolution` parts, of which each output pixel covers 32. */
function areaMean(plane: Uint8Array, y: number, x: number, resolution: number): number {
  let sum = 0
  for (let row = y * 32; row < (y + 1) * 32; row++) {
    for (let column = x * 32; column < (x + 1) * 32; column++)
      sum += plane[Math.floor(row / resolution) * 32 + Math.floor(column / resolution)]
  }
  return sum / 1024
}
