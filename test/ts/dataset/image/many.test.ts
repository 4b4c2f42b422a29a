/** Many images: in order whatever takes how long, few at once, of one size. */
import { setTimeout as sleep } from 'node:timers/promises'
import { availableParallelism } from 'node:os'
import { expect, test } from 'vitest'
import type { ImageDecoder } from '../../../../ts/dataset/image/decode.ts'
import { decodeInOrder, peekShape, type EncodedImage, type ImageChunk } from '../../../../ts/dataset/image/many.ts'
import { ImmiscibleError } from '../../../../ts/errors.ts'

/** The first byte is its width, the second how long it takes; 0: it fails. */
const decoder: ImageDecoder = {
  async decode(bytes, name) {
    const [width, ms] = bytes
    await sleep(ms)
    if (width === 0) throw new ImmiscibleError('DATASET', `${name}: broken`)
    return { pixels: new Uint8Array(3 * width * 2).fill(Number(name)), width, height: 2 }
  },
  notes: () => [],
}

const item = (name: number, width = 2, ms = (name * 7) % 5): EncodedImage => ({ name: String(name), bytes: Uint8Array.of(width, ms) })
async function collect(chunks: AsyncIterable<ImageChunk>): Promise<ImageChunk[]> {
  const all: ImageChunk[] = []
  for await (const chunk of chunks) all.push(chunk)
  return all
}
const firstBytes = (chunks: readonly ImageChunk[], size: number): number[] =>
  chunks.flatMap(({ data }) => Array.from({ length: data.length / size }, (_, at) => data[at * size]))

test('the order is that of the items, labels included, in chunks of about 1 MiB', async () => {
  const items = Array.from({ length: 40 }, (_, at) => ({ ...item(at), label: at % 3 }))
  const chunks = await collect(decodeInOrder(items, decoder))
  expect(firstBytes(chunks, 12)).toEqual(items.map((_, at) => at))
  expect(chunks.flatMap(({ labels }) => Array.from(labels ?? []))).toEqual(items.map(({ label }) => label))
  expect(chunks[0].imageShape).toEqual([3, 2, 2])
  const large: ImageDecoder = { ...decoder, decode: async () => ({ pixels: new Uint8Array(3 * 300 * 400), width: 400, height: 300 }) }
  const sizes = (
    await collect(
      decodeInOrder(
        [1, 2, 3, 4].map((at) => item(at)),
        large,
      ),
    )
  ).map(({ data }) => data.length / 360_000)
  expect(sizes).toEqual([2, 2])
})

test('few are read at once, and no more than the consumer asks for', async () => {
  let running = 0
  let most = 0
  let read = 0
  const items = Array.from({ length: 100 }, (_, at) => ({
    name: String(at),
    bytes: async () => {
      read++
      most = Math.max(most, ++running)
      await sleep(1)
      return Uint8Array.of(2, 0)
    },
  }))
  const counting: ImageDecoder = {
    ...decoder,
    decode: async () => {
      running--
      return { pixels: new Uint8Array(3 * 2 ** 20), width: 2 ** 10, height: 2 ** 10 }
    },
  }
  const chunks = decodeInOrder(items, counting)
  await chunks.next()
  expect(read).toBeLessThanOrEqual(availableParallelism() + 2)
  await collect(chunks)
  expect(read).toBe(100)
  expect(most).toBeLessThanOrEqual(availableParallelism() + 1)
})

test('images of several sizes are refused by the names of two; of one size they are not', async () => {
  const items = [item(0), item(1), item(2, 3), item(3)]
  await expect(collect(decodeInOrder(items, decoder))).rejects.toThrow('2: expected an image of 2x2, as 0, got 3x2: set dataset.resolution')
  await expect(collect(decodeInOrder(items.with(2, item(2)), decoder))).resolves.toHaveLength(1)
})

test('the first broken one is named, not the first that fails', async () => {
  const items = [item(0), item(1, 0, 30), item(2, 0, 0), item(3)]
  await expect(collect(decodeInOrder(items, decoder))).rejects.toThrow('1: broken')
})

test('an aborted one ends, and closes what it reads from', async () => {
  const abort = new AbortController()
  let isClosed = false
  async function* endless(): AsyncGenerator<EncodedImage> {
    try {
      for (let at = 0; ; at++) {
        if (at === 20) abort.abort(new Error('enough'))
        yield item(at % 200)
      }
    } finally {
      isClosed = true
    }
  }
  await expect(collect(decodeInOrder(endless(), decoder, abort.signal))).rejects.toThrow('enough')
  expect(isClosed).toBe(true)
})

test('the shape can be looked at first, and no image is lost', async () => {
  const items = Array.from({ length: 9 }, (_, at) => item(at))
  const peeked = await peekShape(decodeInOrder(items, decoder))
  expect(peeked?.imageShape).toEqual([3, 2, 2])
  expect(firstBytes(await collect(peeked?.chunks as AsyncGenerator<ImageChunk>), 12)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8])
  expect(await peekShape(decodeInOrder([], decoder))).toBeUndefined()
})
