/** Resizing is Pillow's, bit for bit: every filter, up and down, with and without boxes. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import {
  createResize,
  type Box,
  type Resize,
  type ResizeFilter,
  type ResizeFrom,
  type ResizeTo,
} from '../../../../ts/dataset/image/resize.ts'
import { runPython } from '../../../fixture/python.ts'

const resizes = new Map<ResizeFilter, Resize>()

/** One closure for each filter, whose weights and memory all cases share. */
function resize(pixels: Uint8Array, from: ResizeFrom, to: ResizeTo, filter: ResizeFilter, box?: Box): Uint8Array {
  const known = resizes.get(filter) ?? createResize(filter)
  resizes.set(filter, known)
  return known(pixels, from, to, box)
}

interface Case {
  readonly channels: number
  readonly from: readonly [height: number, width: number]
  readonly to: readonly [height: number, width: number]
  readonly filter: ResizeFilter
  readonly box: Box | null
}

const folder = mkdtempSync(join(tmpdir(), 'immiscible-test-'))
let cases: readonly (Case & { readonly pixels: Uint8Array; readonly expected: Uint8Array })[]

const SOURCE = `
from PIL import Image
rng = np.random.default_rng(7)
answer, pixels, expected = [], [], []

def add(channels, height, width, to, name, box):
    # Extremes as well: filters that overshoot clip there.
    image = rng.integers(0, 256, (height, width, channels), np.uint8)
    if rng.random() < 0.5:
        image = np.where(image < 128, 0, 255).astype(np.uint8)
    source = Image.fromarray(image if channels == 3 else image[:, :, 0])
    result = np.asarray(source.resize((to[1], to[0]), getattr(Image.Resampling, name.upper()), box=box)).reshape(*to, channels)
    pixels.append(image.transpose(2, 0, 1).tobytes())
    expected.append(result.transpose(2, 0, 1).tobytes())
    answer.append({"channels": channels, "from": [height, width], "to": list(to), "filter": name, "box": box})

for name in ["box", "bilinear", "bicubic", "lanczos"]:
    for case in range(60):
        size = lambda: int(rng.choice([1, 2, 3, 5, 8, 17, 32, 33, 64, 101]))
        height, width = size(), size()
        box = None
        if case % 2:
            left, top = rng.uniform(0, width * 0.9), rng.uniform(0, height * 0.9)
            box = [left, top, rng.uniform(left + width * 0.05, width), rng.uniform(top + height * 0.05, height)]
            box = [float(at) for at in (np.floor(box) + [0, 0, 1, 1] if case % 4 == 1 else box)]
        add(3 if case % 3 else 1, height, width, (size(), size()), name, box)
    add(3, 375, 500, (64, 85), name, None)
    add(3, 12, 9, (12, 9), name, None)
    add(3, 12, 9, (12, 5), name, None)
    add(3, 12, 9, (4, 9), name, None)
    add(3, 12, 9, (7, 5), name, [1, 2, 6, 9])

for at, blobs in enumerate([pixels, expected]):
    open(f"{args}/{at}", "wb").write(b"".join(blobs))
`

beforeAll(async () => {
  const listed = await runPython<Case[]>(SOURCE, folder)
  const [pixels, expected] = ['0', '1'].map((name) => readFileSync(join(folder, name)))
  let [from, to] = [0, 0]
  cases = listed.map((each) => {
    const start = [from, to]
    from += each.channels * each.from[0] * each.from[1]
    to += each.channels * each.to[0] * each.to[1]
    return { ...each, pixels: pixels.subarray(start[0], from), expected: expected.subarray(start[1], to) }
  })
})
afterAll(() => rmSync(folder, { recursive: true }))

const sizes = ({ channels, from, to }: Case) =>
  [
    { channels, height: from[0], width: from[1] },
    { height: to[0], width: to[1] },
  ] as const

test.each(['box', 'bilinear', 'bicubic', 'lanczos'] as const)('%s is what PIL.Image.resize gives', (filter) => {
  const mine = cases.filter((each) => each.filter === filter)
  expect(mine.length).toBe(65)
  const different = mine.filter((each) => {
    const result = resize(each.pixels, ...sizes(each), filter, each.box ?? undefined)
    return Buffer.compare(result, each.expected) !== 0
  })
  expect(different.map(({ from, to, box }) => ({ from, to, box }))).toEqual([])
  // Control: another filter is not the same.
  const other = filter === 'box' ? 'bilinear' : 'box'
  expect(mine.filter((each) => Buffer.compare(resize(each.pixels, ...sizes(each), other), each.expected) !== 0).length).toBeGreaterThan(30)
})

test('one closure for images of many sizes, channels last, into given memory', () => {
  const create = {
    box: createResize('box'),
    bilinear: createResize('bilinear'),
    bicubic: createResize('bicubic'),
    lanczos: createResize('lanczos'),
  }
  for (const each of cases.toReversed()) {
    const { channels, pixels, expected } = each
    const [from, to] = sizes(each)
    const area = from.height * from.width
    const interleaved = Uint8Array.from(pixels, (_, at) => pixels[(at % channels) * area + Math.floor(at / channels)])
    const out = new Uint8Array(expected.length)
    expect(create[each.filter](interleaved, { ...from, isInterleaved: true }, to, each.box ?? undefined, out)).toBe(out)
    expect(Buffer.compare(out, expected)).toBe(0)
  }
})

test('a crop of the result is the same pixels as the whole result has there; a crop of the source hides the rest of it', () => {
  for (const each of cases.filter(({ from, to }) => Math.min(...from, ...to) >= 5)) {
    const [from, to] = sizes(each)
    const window = { left: 1, top: 2, width: to.width - 2, height: to.height - 3 }
    const part = resize(each.pixels, from, { ...to, crop: window }, each.filter, each.box ?? undefined)
    expect(part).toEqual(cut(each.expected, { ...from, ...to }, window))
    const crop = { left: 2, top: 1, width: from.width - 3, height: from.height - 2 }
    const alone = cut(each.pixels, from, crop)
    expect(resize(each.pixels, { ...from, crop }, to, each.filter)).toEqual(resize(alone, { ...from, ...crop }, to, each.filter))
  }
})

test('wrong lengths, and boxes and crops that reach outside, are refused', () => {
  const from = { channels: 1, height: 4, width: 5 }
  const to = { height: 2, width: 2 }
  const pixels = new Uint8Array(20)
  expect(resize(pixels, from, to, 'box', [0, 0, 5, 4])).toEqual(new Uint8Array(4))
  expect(() => resize(new Uint8Array(19), from, to, 'box')).toThrow('expected 1x4x5 pixels, got 19')
  for (const box of [
    [0, 0, 5.1, 4],
    [-1, 0, 5, 4],
    [2, 0, 2, 4],
    [0, Number.NaN, 5, 4],
  ] as const)
    expect(() => resize(pixels, from, to, 'box', box)).toThrow(`expected a box in 5x4, got ${box.join(', ')}`)
  expect(() => resize(pixels, { ...from, crop: { left: 1, top: 0, width: 5, height: 4 } }, to, 'box')).toThrow('resize: expected')
  expect(() => resize(pixels, from, { ...to, crop: { left: 0, top: 1, width: 2, height: 2 } }, 'box')).toThrow('resize: expected')
})

function cut(
  pixels: Uint8Array,
  { channels, height, width }: { readonly channels: number; readonly height: number; readonly width: number },
  crop: { readonly left: number; readonly top: number; readonly height: number; readonly width: number },
): Uint8Array {
  const rows: number[] = []
  for (let channel = 0; channel < channels; channel++) {
    for (let y = crop.top; y < crop.top + crop.height; y++) {
      const start = (channel * height + y) * width + crop.left
      rows.push(...pixels.subarray(start, start + crop.width))
    }
  }
  return Uint8Array.from(rows)
}
