/** The JPEG kernels against what the standards say: the inverse DCT in floats, JFIF's colours, a scan that was written from coefficients. */
import { expect, test } from 'vitest'
import { jpegPixels } from '../../../ts/kernel/jpeg-pixels.ts'
import { jpegSamples } from '../../../ts/kernel/jpeg-samples.ts'
import { jpegScan } from '../../../ts/kernel/jpeg-scan.ts'
import { encodeScan, sequentialScan } from '../../fixture/jpeg-scan.ts'
import { integers } from '../../fixture/numbers.ts'

/** ITU T.81, A.3.3, and the level shift. */
function inverseDct(block: Int16Array): number[] {
  const scale = (index: number): number => (index === 0 ? Math.SQRT1_2 : 1)
  return Array.from({ length: 64 }, (_, at) => {
    const [y, x] = [at >> 3, at & 7]
    let sum = 0
    for (const [place, coefficient] of block.entries()) {
      const [v, u] = [place >> 3, place & 7]
      sum += scale(u) * scale(v) * coefficient * Math.cos(((2 * x + 1) * u * Math.PI) / 16) * Math.cos(((2 * y + 1) * v * Math.PI) / 16)
    }
    return Math.min(Math.max(sum / 4 + 128, 0), 255)
  })
}

test('samples are those of the inverse DCT, within one level', () => {
  const random = integers(5)
  const flat = new Int16Array(64).fill(1)
  let sum = 0
  for (let round = 0; round < 200; round++) {
    // Of one coefficient, of the first row, of few and of many.
    const density = [0, 8, 4, 1][round % 4]
    const block = Int16Array.from({ length: 64 }, (_, at) =>
      at === 0 || (density === 8 ? at < 8 : density > 0 && random(density) === 0) ? random(600) - 300 : 0,
    )
    const quantization = Int16Array.from(flat, () => 1 + random(4))
    const out = new Uint8Array(64)
    jpegSamples(block, 1, quantization, out)
    const expected = inverseDct(block.map((coefficient, at) => coefficient * quantization[at]))
    const errors = expected.map((level, at) => Math.abs(level - out[at]))
    expect(Math.max(...errors)).toBeLessThan(1)
    sum += errors.reduce((total, error) => total + error, 0)
  }
  // Rounded to nearest: a quarter on average, less where it is clipped.
  expect(sum / (200 * 64)).toBeLessThan(0.26)
})

test('blocks are in their rows', () => {
  const coefficients = new Int16Array(6 * 64)
  for (let block = 0; block < 6; block++) coefficients[block * 64] = block * 8
  const out = new Uint8Array(6 * 64)
  jpegSamples(coefficients, 3, new Int16Array(64).fill(2), out)
  expect([0, 8, 16, 8 * 24, 8 * 24 + 23, 16 * 24 - 1].map((at) => out[at] - 128)).toEqual([0, 2, 4, 6, 10, 10])
})

test('colours are those of JFIF, within one level', () => {
  const plane = (of: (at: number) => number) => ({
    samples: Uint8Array.from({ length: 65_536 }, (_, at) => of(at)),
    stride: 256,
    width: 256,
    height: 256,
    across: 1,
    down: 1,
  })
  const out = new Uint8Array(3 * 65_536)
  jpegPixels([plane(() => 140), plane((at) => at & 255), plane((at) => at >> 8)], true, 256, 256, out)
  let most = 0
  for (let at = 0; at < 65_536; at++) {
    const [cb, cr] = [(at & 255) - 128, (at >> 8) - 128]
    const rgb = [140 + 1.402 * cr, 140 - 0.344136 * cb - 0.714136 * cr, 140 + 1.772 * cb]
    for (const [channel, level] of rgb.entries()) {
      most = Math.max(most, Math.abs(Math.min(Math.max(level, 0), 255) - out[3 * at + channel]))
    }
  }
  expect(most).toBeLessThan(0.51)
})

test('enlarged chroma: the nearer sample has three parts of four in each direction, and the edge repeats', () => {
  const gray = { samples: new Uint8Array(8 * 8).fill(128), stride: 8, width: 8, height: 8, across: 1, down: 1 }
  const steps = Uint8Array.from({ length: 32 }, (_, at) => 16 * (at >> 3) + 48 * (at & 7))
  const out = new Uint8Array(8 * 8 * 3)
  jpegPixels([gray, { ...gray, samples: steps, width: 4, height: 4, across: 2, down: 2 }, gray], false, 8, 8, out)
  const chroma = (x: number, y: number): number => out[3 * (8 * y + x) + 1]
  expect([0, 1, 2, 3, 7].map((x) => chroma(x, 0))).toEqual([0, 12, 36, 60, 144])
  expect([0, 1, 2, 3, 7].map((y) => chroma(0, y))).toEqual([0, 4, 12, 20, 48])
})

test('a scan gives the coefficients that it was written from, and says where it ends', () => {
  const { scan, numCoefficients } = sequentialScan(
    [
      [2, 2],
      [1, 1],
    ],
    { mcusAcross: 3, mcusDown: 2, restartInterval: 2 },
    9,
  )
  const random = integers(3)
  const coefficients = Int16Array.from({ length: numCoefficients }, () => (random(9) === 0 ? random(400) - 200 : 0))
  const data = encodeScan(scan, coefficients)
  const file = Uint8Array.of(1, 2, 3, ...data, 4, 5)
  const decode = (bytes: Uint8Array): number => jpegScan(bytes, 3, scan, new Int16Array(numCoefficients))
  const out = new Int16Array(numCoefficients)
  expect(jpegScan(file, 3, scan, out)).toBe(3 + data.length - 2)
  expect(out).toEqual(coefficients)
  // No marker; a byte more or less before it; another restart; no such code.
  const end = 3 + data.length - 2
  const restart = file.findIndex((byte, at) => byte === 0xff && file[at + 1] === 0xd1)
  expect(decode(file.subarray(0, end))).toBe(-1)
  expect(decode(Uint8Array.of(...file.subarray(0, end), 0, ...file.subarray(end)))).toBe(-1)
  expect(decode(Uint8Array.of(...file.subarray(0, end - 1), ...file.subarray(end)))).toBe(-1)
  expect(decode(file.with(restart + 1, 0xd2))).toBe(-1)
  expect(decode(file.with(3, 0xfe))).toBe(-1)
})
