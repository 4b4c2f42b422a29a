/** Numbers of a data set, beside NumPy's of the same bytes. */
import { expect, test } from 'vitest'
import { cacheSource, openCached } from '../../../ts/dataset/cache/index.ts'
import { countClasses, measureDataset, type ChannelStatistics } from '../../../ts/dataset/statistics.ts'
import { datasetOf } from '../../../ts/dataset/stored.ts'
import { runPython } from '../../fixture/python.ts'
import { useTemporaryHome } from '../../fixture/home.ts'

useTemporaryHome()

/** By part and channel. */
const NUMPY = `
images = arrays[0].reshape(args["shape"]).astype(np.float64) / args["scale"]
answer = [
    [dict(mean=x.mean(), std=x.std(), min=x.min(), max=x.max()) for x in (images[:, part, channel] for channel in range(images.shape[2]))]
    for part in range(images.shape[1])
]
`

const NUM_IMAGES = 700

test('of pixels: in [0, 1], over all pixels of all images', async () => {
  // Channels that differ, and not all 256 values in each.
  const pixels = Uint8Array.from({ length: NUM_IMAGES * 60 }, (_, at) => 20 + ((at * at * 7 + (Math.floor(at / 20) % 3) * 40) % 151))
  const dataset = datasetOf('pixels', [NUM_IMAGES, 3, 4, 5], pixels)
  const [{ part, channels }, ...others] = await measureDataset(dataset)
  expect([part, others]).toEqual(['pixels', []])
  const [expected] = await runPython<ChannelStatistics[][]>(NUMPY, { shape: [NUM_IMAGES, 1, 3, 20], scale: 255 }, [pixels])
  expectClose(channels, expected)
  expect(countClasses(dataset)).toEqual([])
})

test('of latents: each part for itself, as exact where the mean is far from 0', async () => {
  const numbers = Float32Array.from({ length: NUM_IMAGES * 4 * 2 * 6 }, (_, at) => 1e4 + Math.sin(at * at) * (1 + (Math.floor(at / 6) % 8)))
  const bytes = new Uint8Array(numbers.buffer)
  const { folder, record } = await cacheSource({
    name: 'latents',
    source: 'here',
    licence: 'none',
    identity: 0,
    decode: async () => ({
      imageShape: [2, 2, 3],
      classNames: [],
      numImages: NUM_IMAGES,
      dtype: 'float32',
      hasStd: true,
      hasMirrored: true,
      chunks: [{ data: bytes }],
    }),
  })
  const expected = await runPython<ChannelStatistics[][]>(NUMPY, { shape: [NUM_IMAGES, 4, 2, 6], scale: 1 }, [numbers])
  for (const memoryBytes of [Infinity, 0]) {
    const statistics = await measureDataset(openCached(folder, record, memoryBytes))
    expect(statistics.map(({ part }) => part)).toEqual(['mean', 'std', 'mean_mirrored', 'std_mirrored'])
    for (const [at, { channels }] of statistics.entries()) expectClose(channels, expected[at])
  }
})

function expectClose(actual: readonly ChannelStatistics[], expected: readonly ChannelStatistics[]): void {
  expect(actual).toHaveLength(expected.length)
  for (const [channel, numbers] of expected.entries()) {
    for (const name of ['mean', 'std', 'min', 'max'] as const) {
      expect(Math.abs(actual[channel][name] / numbers[name] - 1), `${name} of channel ${channel}`).toBeLessThan(1e-9)
    }
  }
}

test('images are counted by class, also where one has none', () => {
  const dataset = datasetOf('labelled', [4, 1, 1, 1], new Uint8Array(4), Int32Array.of(2, 0, 2, 2), ['cat', 'dog', 'eel'])
  expect(countClasses(dataset)).toEqual([
    { name: 'cat', numImages: 1 },
    { name: 'dog', numImages: 0 },
    { name: 'eel', numImages: 3 },
  ])
})

test('it can be stopped', async () => {
  const dataset = datasetOf('pixels', [NUM_IMAGES, 1, 1, 1], new Uint8Array(NUM_IMAGES))
  await expect(measureDataset(dataset, { signal: AbortSignal.abort() })).rejects.toThrow('aborted')
})
