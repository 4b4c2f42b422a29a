/** What every data source is to the rest: numbered images of one shape, with labels or without. */
import type { DatasetInfo, DatasetRecord } from '../../protocol/index.ts'

export interface Dataset {
  readonly name: string
  readonly numImages: number
  /** Channels, height, width. */
  readonly imageShape: readonly [number, number, number]
  /** uint8: pixels. float32: latents, as the network sees them. */
  readonly dtype: DatasetRecord['dtype']
  /** One class per image, 0 <= label < numClasses. */
  readonly labels?: Int32Array
  /** 0 without labels. */
  readonly numClasses: number
  /** Hex digest of shape, images and labels: a run resumes only on the same data. */
  readonly sha256: string
  /** How another thread opens it. */
  readonly stored: StoredDataset
  /** Writes the bytes of one image as it is stored (`recordBytes`), in channel, height, width order, at `offset` of `out`. Throws a DATASET error where its file has changed. */
  read(index: number, out: Uint8Array, offset: number): void
}

/** A data set as it crosses to another thread: nothing of it is copied. */
export interface StoredDataset {
  readonly record: StoredRecord
  /** In shared memory; int32. */
  readonly labels: Int32Array | undefined
  /** All images, one after the other: in shared memory, or in a file with the CRC-32 of each. */
  readonly images: Uint8Array | { readonly path: string; readonly checksums: Uint32Array }
}

/** What reading needs of the record; the shape may be anybody's. */
export interface StoredRecord extends Pick<
  DatasetRecord,
  'name' | 'numImages' | 'dtype' | 'scalingFactor' | 'hasStd' | 'hasMirrored' | 'classNames' | 'sha256'
> {
  readonly imageShape: readonly [number, number, number]
}

/** Numbers of an image. */
export function countNumbers({ imageShape }: Pick<Dataset, 'imageShape'>): number {
  return imageShape.reduce((product, size) => product * size, 1)
}

/** What a worker is told of it: it never reads the data itself. */
export function describeDataset({ name, sha256, numImages, imageShape, numClasses, dtype, stored }: Dataset): DatasetInfo {
  return { name, sha256, numImages, imageShape: [...imageShape], numClasses, dtype, scalingFactor: stored.record.scalingFactor }
}
