/** What happens to the pixels of a sample: against a plain reading of torchvision's crops, and the same for a sample wherever it is asked for. */
import { expect, test } from 'vitest'
import type { DatasetConfig, TrainConfigInput } from '../../../protocol/index.ts'
import { createStrategy } from '../../../ts/assignment/table.ts'
import { checkData } from '../../../ts/conditions.ts'
import { datasetOf } from '../../../ts/dataset/stored.ts'
import { plainKernel } from '../../../ts/kernel/plain.ts'
import { createAugment } from '../../../ts/pipeline/augment.ts'
import { createPoolSource } from '../../../ts/pipeline/source.ts'
import { testConfig } from '../../fixture/config.ts'
import { equalCountsScore } from '../../fixture/statistics.ts'

const SHAPE = [2, 5, 7] as const
const [CHANNELS, HEIGHT, WIDTH] = SHAPE
/** No two pixels alike, and none black. */
const IMAGE = Uint8Array.from({ length: CHANNELS * HEIGHT * WIDTH }, (_, at) => at + 1)

function configOf(changes: Partial<DatasetConfig>): DatasetConfig {
  return testConfig({ dataset: { kind: 'digits', ...changes } as { kind: 'digits' } }).dataset
}

function shown(changes: Partial<DatasetConfig>, sample: number, isMirrored = false, seed = 3): number[] {
  const pixels = IMAGE.slice()
  createAugment(configOf(changes), [...SHAPE], seed)(pixels, sample, isMirrored)
  return [...pixels]
}

/** Pads, then cuts out at (left, top): written without any folding of indices. */
function cropOf(left: number, top: number, padding: number, mode: DatasetConfig['paddingMode']): number[] {
  const lineOf = (length: number): number[] => {
    const inner = Array.from({ length }, (_, at) => at)
    if (mode === 'edge') return [...Array<number>(padding).fill(0), ...inner, ...Array<number>(padding).fill(length - 1)]
    if (mode === 'constant') return [...Array<number>(padding).fill(-1), ...inner, ...Array<number>(padding).fill(-1)]
    return [...inner.slice(1, padding + 1).toReversed(), ...inner, ...inner.slice(-padding - 1, -1).toReversed()]
  }
  const [rows, columns] = [lineOf(HEIGHT).slice(top, top + HEIGHT), lineOf(WIDTH).slice(left, left + WIDTH)]
  return Array.from({ length: CHANNELS }, (_, plane) =>
    rows.flatMap((y) => columns.map((x) => (x < 0 || y < 0 ? 0 : IMAGE[(plane * HEIGHT + y) * WIDTH + x]))),
  ).flat()
}

test('as it is, where nothing is asked for', () => expect(shown({}, 5)).toEqual([...IMAGE]))

test('mirrored: each line backwards', () => {
  const lines = Array.from({ length: CHANNELS * HEIGHT }, (_, line) => [...IMAGE.subarray(line * WIDTH, (line + 1) * WIDTH)].toReversed())
  expect(shown({}, 5, true)).toEqual(lines.flat())
})

test.each(['constant', 'edge', 'reflect'] as const)(
  'a random crop of the image padded by %s is one of the (2p + 1)^2 crops, each as often',
  (paddingMode) => {
    const padding = 2
    const places = Array.from({ length: 25 }, (_, at) => String(cropOf(at % 5, Math.floor(at / 5), padding, paddingMode)))
    expect(new Set(places).size).toBe(25)
    const counts = new Uint32Array(25)
    for (let sample = 0; sample < 5000; sample++) {
      const place = places.indexOf(String(shown({ randomCropPadding: padding, paddingMode }, sample)))
      expect(place).toBeGreaterThanOrEqual(0)
      counts[place]++
    }
    expect(Math.abs(equalCountsScore(counts))).toBeLessThan(4.5)
  },
)

test('padding as wide as the image is refused for a reflection, and no trouble otherwise', () => {
  const dataset = datasetOf('numbers', [64, ...SHAPE], new Uint8Array(64 * IMAGE.length))
  const network: TrainConfigInput['network'] = {
    blockOutChannels: [8],
    downBlockTypes: ['DownBlock2D'],
    upBlockTypes: ['UpBlock2D'],
    normNumGroups: 4,
  }
  const problemsOf = (randomCropPadding: number, paddingMode: DatasetConfig['paddingMode']) =>
    checkData(testConfig({ dataset: { kind: 'digits', randomCropPadding, paddingMode }, network }), dataset)
  const message = "expected at most 4 with paddingMode 'reflect' and the 5 x 7 of numbers, got 5"
  expect(problemsOf(5, 'reflect')).toEqual([{ path: 'dataset.randomCropPadding', message }])
  expect(problemsOf(4, 'reflect')).toEqual([])
  const padding = 9
  const places = Array.from({ length: 19 * 19 }, (_, at) => [at % 19, Math.floor(at / 19)] as const)
  for (const paddingMode of ['constant', 'edge'] as const) {
    expect(problemsOf(padding, paddingMode)).toEqual([])
    const crops = new Set(places.map(([left, top]) => String(cropOf(left, top, padding, paddingMode))))
    for (let sample = 0; sample < 40; sample++) expect(crops).toContain(String(shown({ randomCropPadding: padding, paddingMode }, sample)))
  }
})

test('a random resized crop is a part of the image, of its shape, resized back; each share of the area as often', () => {
  // A ramp along both axes says where it was cut out: the resize of a ramp is a ramp, but for its edges.
  const [height, width] = [40, 64]
  const ramp = Uint8Array.from({ length: 2 * height * width }, (_, at) => {
    const [x, y] = [at % width, Math.floor((at % (height * width)) / width)]
    return at < height * width ? 3 * x + 10 : 5 * y + 10
  })
  const least = 0.25
  const config = configOf({ randomResizedCrop: least, resizeFilter: 'bilinear' })
  const augment = createAugment(config, [2, height, width], 3)
  const counts = new Uint32Array(5)
  for (let sample = 0; sample < 1000; sample++) {
    const pixels = ramp.slice()
    augment(pixels, sample, false)
    const at = (plane: number, y: number, x: number): number => pixels[(plane * height + y) * width + x]
    // From a fifth of it to another, clear of both edges.
    const across = ((at(0, 20, 54) - at(0, 20, 10)) / 3) * (width / 44)
    const down = ((at(1, 35, 30) - at(1, 5, 30)) / 5) * (height / 30)
    const [shareAcross, shareDown] = [across / width, down / height]
    expect(Math.abs(shareAcross - shareDown), 'nothing is stretched').toBeLessThan(0.03)
    const left = (at(0, 20, 32) - 10) / 3 + 0.5 - across / 2
    const top = (at(1, 20, 30) - 10) / 5 + 0.5 - down / 2
    expect(Math.min(left, top)).toBeGreaterThan(-1.5)
    expect(left + across).toBeLessThan(width + 1.5)
    expect(top + down).toBeLessThan(height + 1.5)
    const area = (shareAcross * shareDown - least) / (1 - least)
    counts[Math.max(0, Math.min(4, Math.floor(area * 5)))]++
  }
  for (const count of counts) expect(Math.abs(count - 200)).toBeLessThan(80)
})

test('with a least share of 1 nothing is cut', () => expect(shown({ randomResizedCrop: 1 }, 7)).toEqual([...IMAGE]))

test('a crop is of the seed and the sample alone', () => {
  const crop = { randomCropPadding: 2 }
  expect(shown(crop, 11)).toEqual(shown(crop, 11))
  const samples = Array.from({ length: 40 }, (_, sample) => String(shown(crop, sample)))
  expect(new Set(samples).size).toBeGreaterThan(10)
  const otherSeed = Array.from({ length: 40 }, (_, sample) => String(shown(crop, sample, false, 4)))
  expect(otherSeed).not.toEqual(samples)
})

test('batch(step) shows each sample as its number says, before anything is assigned; held-out images stay as they are', () => {
  const dataset = datasetOf(
    'numbers',
    [64, 1, 4, 4],
    Uint8Array.from({ length: 1024 }, (_, at) => at % 256),
  )
  const changes = { randomCropPadding: 1, horizontalFlip: true }
  const config = testConfig({
    dataset: { kind: 'digits', ...changes },
    globalBatchSize: 8,
    validation: { numImages: 8 },
    maxTrainSteps: 30,
  })
  const source = createPoolSource(config, dataset, createStrategy(config.assignment), plainKernel)
  const again = createPoolSource(config, dataset, createStrategy(config.assignment), plainKernel)
  const imagesOf = (pool: number, from = source): Uint8Array => from.pool(pool)[0].tensors[0].data
  expect(imagesOf(9, again)).toEqual(imagesOf(9))
  const originals = new Set(Array.from({ length: 64 }, (_, index) => String(imageAt(index))))
  function imageAt(index: number): Uint8Array {
    const out = new Uint8Array(16)
    dataset.read(index, out, 0)
    return out
  }
  const rows = [0, 1, 2, 3].flatMap((pool) => Array.from({ length: 8 }, (_, row) => imagesOf(pool).slice(row * 16, (row + 1) * 16)))
  const changed = rows.filter((row) => !originals.has(String(row)))
  expect(changed.length).toBeGreaterThan(20)
  const [heldOut] = source.heldOutPool(0)
  for (let row = 0; row < 8; row++) expect(originals.has(String(heldOut.tensors[0].data.slice(row * 16, (row + 1) * 16)))).toBe(true)
})
