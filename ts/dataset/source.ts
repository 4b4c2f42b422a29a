/** What a source of images is before it is decoded: adding one is a file that exports `open…` and a row of the table. */
import type { DatasetRecord } from '../../protocol/index.ts'

/** Some images, in order. */
export interface Chunk {
  /** Whole images as they are stored: uint8 pixels or little-endian float32 latents, in channel, height, width order. */
  readonly data: Uint8Array
  /** One for each image; in every chunk or in none. */
  readonly labels?: ArrayLike<number>
}

/** What is known when decoding begins. */
export interface Decoding {
  /** Channels, height, width. */
  readonly imageShape: readonly [number, number, number]
  /** In the order of their numbers; may be empty without labels. */
  readonly classNames: readonly string[]
  /** For progress; undefined: nobody knows yet. */
  readonly numImages: number | undefined
  readonly dtype?: DatasetRecord['dtype']
  /** What latents were multiplied by; default 1. */
  readonly scalingFactor?: number
  readonly hasStd?: boolean
  readonly hasMirrored?: boolean
  /** Read once, from the first image to the last. */
  readonly chunks: AsyncIterable<Chunk> | Iterable<Chunk>
  /** Asked when all chunks were read: what decoding changed, with counts. */
  notes?(): readonly string[]
}

export interface DecodeOptions {
  readonly signal?: AbortSignal | undefined
}

export interface DatasetSource {
  /** Short, as it is printed and names the cache's folder: letters, digits, dots, dashes. */
  readonly name: string
  /** For people: the path or address. */
  readonly source: string
  readonly licence: string
  /** What the decoded bytes depend on, as JSON: files with sizes and times (`fileIdentity`), options. Another identity is decoded anew. */
  readonly identity: unknown
  /** The same, of the files as they are by now: asked when all is decoded. */
  identityNow?(): unknown
  /** Throws a DATASET error that names the file (and the member of an archive), what was expected and what came. */
  decode(options: DecodeOptions): Promise<Decoding>
}
