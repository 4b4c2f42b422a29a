/** Contact sheets, as Pillow reads them. */
import { expect, test } from 'vitest'
import { drawSheet } from '../../../ts/dataset/image/sheet.ts'
import { datasetOf } from '../../../ts/dataset/stored.ts'
import { runPython } from '../../fixture/python.ts'

const GAP = 2

/** Pixels of a PNG, and of its first image (below and right of a gap) those at every `factor`th place. */
const READ = `
import io
from PIL import Image
answer = []
for png in arrays:
    image = Image.open(io.BytesIO(png.tobytes()))
    answer.append(dict(mode=image.mode, size=image.size, pixels=np.asarray(image).reshape(image.height, image.width, -1).tolist()))
`
interface Sheet {
  readonly mode: string
  readonly size: [width: number, height: number]
  /** By line, column, channel. */
  readonly pixels: number[][][]
}

/** Each image has one colour of its own but for its corner at the top right. */
function imagesOf(numImages: number, channels: number, height: number, width: number) {
  const pixels = new Uint8Array(numImages * channels * height * width)
  const plane = height * width
  for (let at = 0; at < numImages * channels; at++) {
    pixels.fill(40 + at, at * plane, (at + 1) * plane)
    pixels[at * plane + width - 1] = 255
  }
  return datasetOf('flat', [numImages, channels, height, width], pixels)
}

test('small images are enlarged by whole factors, large ones shrunk; gray stays gray', async () => {
  const sheets = await Promise.all([
    drawSheet(imagesOf(30, 1, 8, 8), 10),
    drawSheet(imagesOf(30, 3, 20, 40), 4),
    drawSheet(imagesOf(3, 3, 300, 150), 64),
    drawSheet(imagesOf(1, 1, 96, 96), 1),
  ])
  const [gray, wide, tall, one] = await runPython<Sheet[]>(
    READ,
    null,
    sheets.map((png) => new Uint8Array(png)),
  )
  expect([gray.mode, wide.mode, tall.mode, one.mode]).toEqual(['L', 'RGB', 'RGB', 'L'])
  // 4 columns and 3 rows of 96, 2 and 2 of 80x40, 2 and 2 of 48x96, one of 96.
  expect([gray, wide, tall, one].map(({ size }) => size)).toEqual([
    [4 * (96 + GAP) + GAP, 3 * (96 + GAP) + GAP],
    [2 * (80 + GAP) + GAP, 2 * (40 + GAP) + GAP],
    [2 * (48 + GAP) + GAP, 2 * (96 + GAP) + GAP],
    [96 + 2 * GAP, 96 + 2 * GAP],
  ])
  // The corner is 12 pixels wide and high, and nothing is between it and the rest.
  const first = gray.pixels.slice(GAP, GAP + 96).map((line) => line.slice(GAP, GAP + 96).map(([value]) => value))
  const flat = first[95][0]
  expect(first.map((line) => line.join())).toEqual(
    Array.from({ length: 96 }, (_, y) => Array.from({ length: 96 }, (_value, x) => (y < 12 && x >= 84 ? 255 : flat)).join()),
  )
  // Channels follow each other in the data set, and stay with their image.
  const [red, green, blue] = wide.pixels[GAP + 39][GAP]
  expect([green - red, blue - red, (red - 40) % 3]).toEqual([1, 2, 0])
})

test('images come out of a fixed shuffle, each once', async () => {
  const sheets = await Promise.all([16, 16, 9].map((count) => drawSheet(imagesOf(16, 1, 4, 4), count)))
  const [one, again, fewer] = await runPython<Sheet[]>(
    READ,
    null,
    sheets.map((png) => new Uint8Array(png)),
  )
  const shown = ({ pixels }: Sheet, columns: number): number[] =>
    Array.from({ length: columns ** 2 }, (_, at) => pixels[97 + Math.floor(at / columns) * 98][GAP + (at % columns) * 98][0] - 40)
  expect(shown(one, 4).toSorted((a, b) => a - b)).toEqual(Array.from({ length: 16 }, (_, index) => index))
  expect(shown(one, 4)).not.toEqual(shown(one, 4).toSorted((a, b) => a - b))
  expect(again).toEqual(one)
  expect(shown(fewer, 3)).toEqual(shown(one, 4).slice(0, 9))
})

test('what has no colours to be shown in is refused', async () => {
  await expect(drawSheet(imagesOf(2, 2, 4, 4), 2)).rejects.toThrow('flat: a sheet: expected images of 1 or 3 channels, got 2 channels')
})
