import { expect, test } from 'vitest'
import { createEventStream } from '../../ts/event-stream.ts'

const lost = (count: number): string => `lost ${count}`

async function collect<T>(events: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = []
  for await (const event of events) all.push(event)
  return all
}

test('events come in order, those from before the reader included', async () => {
  const stream = createEventStream<string>(8, lost)
  stream.push('a')
  const reading = collect(stream)
  await Promise.resolve()
  stream.push('b')
  setTimeout(() => {
    stream.push('c')
    stream.end()
  }, 5)
  expect(await reading).toEqual(['a', 'b', 'c'])
})

test('an unread stream keeps its capacity and says how many it dropped', async () => {
  const stream = createEventStream<number | string>(3, lost)
  for (let event = 0; event < 1000; event++) stream.push(event)
  stream.end()
  expect(await collect(stream)).toEqual(['lost 997', 997, 998, 999])
})

test('an error reaches the reader after what is left', async () => {
  const stream = createEventStream<string>(8, lost)
  stream.push('a')
  stream.end(new Error('worker gone'))
  const seen: string[] = []
  await expect(async () => {
    for await (const event of stream) seen.push(event)
  }).rejects.toThrow('worker gone')
  expect(seen).toEqual(['a'])
})
