/** Many encoded images in order, a few of them at once: what a source of files, archives or columns hands over. */
import { availableParallelism } from 'node:os'
import { ImmiscibleError } from '../../errors.ts'
import type { Chunk } from '../source.ts'
import type { DecodedImage, ImageDecoder } from './decode.ts'

export interface EncodedImage {
  /** For errors: the file, or archive and member. */
  readonly name: string
  /** The file, or how it is read when its turn comes. */
  readonly bytes: Uint8Array | (() => Promise<Uint8Array>)
  /** For every image, or for none. */
  readonly label?: number | undefined
}

export interface ImageChunk extends Chunk {
  /** Channels, height, width; the same in every chunk. */
  readonly imageShape: readonly [number, number, number]
}

/** Images that are read and decoded at once: as many as there are cores, and one ahead. */
const WINDOW = availableParallelism() + 1
const CHUNK_BYTES = 2 ** 20

/**
 * Decodes them in their order, in chunks of about 1 MiB; at most `WINDOW` encoded images are in memory at once. Throws a DATASET error for the first
 * one that cannot be decoded, or is of another size than the first; the signal's reason when it is aborted. Closes the decoder at its end.
 */
export async function* decodeInOrder(
  items: AsyncIterable<EncodedImage> | Iterable<EncodedImage>,
  decoder: ImageDecoder,
  signal?: AbortSignal,
): AsyncGenerator<ImageChunk> {
  let first: { readonly name: string; readonly image: DecodedImage } | undefined
  let data = new Uint8Array(0)
  let labels: number[] = []
  let length = 0
  const flush = (): ImageChunk => {
    const { pixels, width, height } = (first as NonNullable<typeof first>).image
    const chunk = { data: data.subarray(0, length), imageShape: [pixels.length / (width * height), height, width] as const }
    const isLabelled = labels.length > 0
    const filled = isLabelled ? { ...chunk, labels } : chunk
    data = new Uint8Array(data.length)
    labels = []
    length = 0
    return filled
  }
  for await (const { name, image, label } of inOrder(items, decoder, signal)) {
    if (!first) {
      first = { name, image }
      data = new Uint8Array(image.pixels.length * Math.max(1, Math.floor(CHUNK_BYTES / image.pixels.length)))
    }
    if (image.width !== first.image.width || image.height !== first.image.height) {
      const [expected, got] = [first.image, image].map(({ width, height }) => `${width}x${height}`)
      throw new ImmiscibleError(
        'DATASET',
        `${name}: expected an image of ${expected}, as ${first.name}, got ${got}: set dataset.resolution to bring all to one size`,
      )
    }
    data.set(image.pixels, length)
    length += image.pixels.length
    if (label !== undefined) labels.push(label)
    if (length === data.length) yield flush()
  }
  if (length > 0) yield flush()
}

/** The shape of the first chunk, and all chunks: for images that keep their size. undefined: there are none. */
export async function peekShape(
  chunks: AsyncGenerator<ImageChunk>,
): Promise<{ readonly imageShape: ImageChunk['imageShape']; readonly chunks: AsyncGenerator<ImageChunk> } | undefined> {
  const { value, done } = await chunks.next()
  if (done) return undefined
  return {
    imageShape: value.imageShape,
    chunks: (async function* () {
      try {
        yield value
        yield* chunks
      } finally {
        await chunks.return(undefined)
      }
    })(),
  }
}

interface Decoded extends Pick<EncodedImage, 'name' | 'label'> {
  readonly image: DecodedImage
}

async function* inOrder(
  items: AsyncIterable<EncodedImage> | Iterable<EncodedImage>,
  decoder: ImageDecoder,
  signal: AbortSignal | undefined,
): AsyncGenerator<Decoded> {
  const running: Promise<Decoded>[] = []
  try {
    for await (const item of items) {
      signal?.throwIfAborted()
      const decoding = decodeOne(item, decoder)
      // Each is awaited in its turn; one that fails before is not unhandled.
      decoding.catch(() => undefined)
      running.push(decoding)
      if (running.length >= WINDOW) yield await (running.shift() as Promise<Decoded>)
    }
    for (const decoding of running) {
      signal?.throwIfAborted()
      yield await decoding
    }
  } finally {
    await decoder.close?.()
  }
}

async function decodeOne({ name, bytes, label }: EncodedImage, decoder: ImageDecoder): Promise<Decoded> {
  return { name, label, image: await decoder.decode(bytes instanceof Uint8Array ? bytes : await bytes(), name) }
}
