/** A contact sheet: some images of a data set side by side, as one PNG. */
import { ImmiscibleError } from '../../errors.ts'
import { shuffledIndex } from '../../random/shuffle.ts'
import type { Dataset } from '../dataset.ts'
import { loadSharp } from './decode.ts'
import { createResize } from './resize.ts'

/** Pixels along the longer side of an image on the sheet: smaller ones are enlarged by whole factors up to it, larger ones shrunk. */
const CELL = 96
const GAP = 2
const BACKGROUND = 96

/**
 * PNG bytes of `numImages` images, or of all where there are fewer, in the first places of a fixed shuffle; gray or RGB. Throws a DATASET
 * error where the images are no pixels of 1 or 3 channels.
 */
export async function drawSheet(dataset: Dataset, numImages: number): Promise<Uint8Array> {
  const { name, imageShape, dtype } = dataset
  const [channels, height, width] = imageShape
  if (dtype !== 'uint8' || (channels !== 1 && channels !== 3)) {
    const got = dtype === 'uint8' ? `${channels} channels` : 'latents, which are no pixels'
    throw new ImmiscibleError('DATASET', `${name}: a sheet: expected images of 1 or 3 channels, got ${got}`)
  }
  const numShown = Math.min(numImages, dataset.numImages)
  const columns = Math.ceil(Math.sqrt(numShown))
  const rows = Math.ceil(numShown / columns)
  const cell = cellOf(height, width)
  const [sheetHeight, sheetWidth] = [rows * (cell.height + GAP) + GAP, columns * (cell.width + GAP) + GAP]
  const sheet = new Uint8Array(sheetHeight * sheetWidth * channels).fill(BACKGROUND)
  const scale = createScale(channels, { height, width }, cell)
  const pixels = new Uint8Array(channels * height * width)
  for (let position = 0; position < numShown; position++) {
    dataset.read(shuffledIndex(0, 0, dataset.numImages, position), pixels, 0)
    const scaled = scale(pixels)
    const top = GAP + Math.floor(position / columns) * (cell.height + GAP)
    const left = GAP + (position % columns) * (cell.width + GAP)
    for (let y = 0; y < cell.height; y++) {
      for (let x = 0; x < cell.width; x++) {
        for (let channel = 0; channel < channels; channel++) {
          sheet[((top + y) * sheetWidth + left + x) * channels + channel] = scaled[(channel * cell.height + y) * cell.width + x]
        }
      }
    }
  }
  const sharp = await loadSharp()
  const png = sharp(sheet, { raw: { height: sheetHeight, width: sheetWidth, channels } }).png()
  return channels === 1 ? png.toColourspace('b-w').toBuffer() : png.toBuffer()
}

interface Size {
  readonly height: number
  readonly width: number
}

function cellOf(height: number, width: number): Size {
  const longer = Math.max(height, width)
  const factor = longer <= CELL ? Math.floor(CELL / longer) : CELL / longer
  return { height: Math.max(1, Math.round(height * factor)), width: Math.max(1, Math.round(width * factor)) }
}

function createScale(channels: number, from: Size, to: Size): (pixels: Uint8Array) => Uint8Array {
  if (to.height < from.height || to.width < from.width) {
    const resize = createResize('bilinear')
    return (pixels) => resize(pixels, { channels, ...from }, to)
  }
  const factor = to.height / from.height
  const enlarged = new Uint8Array(channels * to.height * to.width)
  return (pixels) => {
    for (let at = 0; at < enlarged.length; at++) {
      const [x, line] = [at % to.width, Math.floor(at / to.width)]
      const [y, plane] = [line % to.height, Math.floor(line / to.height)]
      enlarged[at] = pixels[(plane * from.height + Math.floor(y / factor)) * from.width + Math.floor(x / factor)]
    }
    return enlarged
  }
}
