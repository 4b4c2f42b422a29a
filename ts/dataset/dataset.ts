/** What every data source is to the rest: numbered images of one shape, with labels or without. */
import type { DatasetInfo } from '../../protocol/index.ts'

export interface Dataset {
  readonly name: string
  readonly numImages: number
  /** Channels, height, width. */
  readonly imageShape: readonly [number, number, number]
  /** One class per image, 0 <= label < numClasses. */
  readonly labels?: Int32Array
  /** 0 without labels. */
  readonly numClasses: number
  /** Hex digest of shape, images and labels: a run resumes only on the same data. */
  readonly sha256: string
  /** Writes the pixels of one image, uint8 in channel, height, width order, at `offset` of `out`. */
  read(index: number, out: Uint8Array, offset: number): void
}

/** What a worker is told of it: it never reads the data itself. */
export function describeDataset({ name, sha256, numImages, imageShape, numClasses }: Dataset): DatasetInfo {
  return { name, sha256, numImages, imageShape: [...imageShape], numClasses }
}
