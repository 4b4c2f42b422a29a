/** Numbers of a data set: its pixels by channel, its images by class. All images, in one pass, one in memory at a time. */
import { setImmediate } from 'node:timers/promises'
import type { BuildOptions } from './cache/index.ts'
import type { Dataset } from './dataset.ts'
import { recordBytes } from './stored.ts'

/** Of pixels: in [0, 1], as torchvision's ToTensor has them. Of latents: as the network sees them. */
export interface ChannelStatistics {
  readonly mean: number
  /** Of all its numbers in all images, divided by how many they are. */
  readonly std: number
  readonly min: number
  readonly max: number
}

export interface DatasetStatistics {
  /** `pixels`; of latents `mean`, and as far as they are there `std`, `mean_mirrored`, `std_mirrored`. */
  readonly part: string
  /** In order. */
  readonly channels: readonly ChannelStatistics[]
}

export interface ClassCount {
  readonly name: string
  readonly numImages: number
}

/** In the order of their numbers; none without labels. */
export function countClasses({ labels, stored }: Dataset): ClassCount[] {
  if (!labels) return []
  const counts = new Int32Array(stored.record.classNames.length)
  for (const label of labels) counts[label]++
  return stored.record.classNames.map((name, label) => ({ name, numImages: counts[label] }))
}

/** Between two looks at the signal and the progress. */
const IMAGES_AT_ONCE = 512

/** Throws a DATASET error where a file has changed. */
export async function measureDataset(dataset: Dataset, { signal, onProgress }: BuildOptions = {}): Promise<DatasetStatistics[]> {
  const { name, numImages, imageShape, dtype, stored } = dataset
  const [numChannels, height, width] = imageShape
  const parts = partsOf(dataset)
  const plane = height * width
  const meters = parts.map(() => Array.from({ length: numChannels }, dtype === 'uint8' ? createPixelMeter : createNumberMeter))
  const bytes = new Uint8Array(recordBytes(stored.record))
  const numbers = dtype === 'uint8' ? bytes : new Float32Array(bytes.buffer)
  for (let index = 0; index < numImages; index++) {
    if (index % IMAGES_AT_ONCE === 0) {
      if (index > 0) onProgress?.({ name, numImages: index, total: numImages, isDone: false })
      await setImmediate(undefined, { ...(signal && { signal }) })
    }
    dataset.read(index, bytes, 0)
    for (const [at, meter] of meters.flat().entries()) meter.add(numbers.subarray(at * plane, (at + 1) * plane))
  }
  onProgress?.({ name, numImages, total: numImages, isDone: true })
  return parts.map((part, at) => ({ part, channels: meters[at].map((meter) => meter.read()) }))
}

function partsOf({ dtype, stored: { record } }: Dataset): string[] {
  if (dtype === 'uint8') return ['pixels']
  const parts = record.hasStd ? ['mean', 'std'] : ['mean']
  return record.hasMirrored ? [...parts, ...parts.map((part) => `${part}_mirrored`)] : parts
}

interface Meter {
  add(plane: Uint8Array | Float32Array): void
  read(): ChannelStatistics
}

/** Exact: there are 256 values. */
function createPixelMeter(): Meter {
  const counts = new Float64Array(256)
  return {
    add(plane) {
      for (let at = 0; at < plane.length; at++) counts[plane[at]]++
    },
    read() {
      const total = counts.reduce((sum, count) => sum + count, 0)
      const mean = counts.reduce((sum, count, value) => sum + count * value, 0) / total
      const variance = counts.reduce((sum, count, value) => sum + count * (value - mean) ** 2, 0) / total
      const [min, max] = [counts.findIndex((count) => count > 0), counts.findLastIndex((count) => count > 0)]
      return { mean: mean / 255, std: Math.sqrt(variance) / 255, min: min / 255, max: max / 255 }
    },
  }
}

/** Joins the means and variances of planes (Chan, Golub & LeVeque 1979): a sum of squares would lose the digits of a far mean. */
function createNumberMeter(): Meter {
  let [total, mean, squares, min, max] = [0, 0, 0, Infinity, -Infinity]
  return {
    add(plane) {
      let sum = 0
      for (let at = 0; at < plane.length; at++) sum += plane[at]
      const own = sum / plane.length
      let ownSquares = 0
      for (let at = 0; at < plane.length; at++) {
        ownSquares += (plane[at] - own) ** 2
        min = Math.min(min, plane[at])
        max = Math.max(max, plane[at])
      }
      const joined = total + plane.length
      squares += ownSquares + ((own - mean) ** 2 * total * plane.length) / joined
      mean += ((own - mean) * plane.length) / joined
      total = joined
    },
    read: () => ({ mean, std: Math.sqrt(squares / total), min, max }),
  }
}
