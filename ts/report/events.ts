/** events.jsonl, read as a stream: a run may have a hundred thousand events, and may be writing one now. */
import { createReadStream, existsSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { RunEvent } from '../../protocol/index.ts'

/** In the order in which they were written. A line that a crash cut short, or that is being written, is passed over. */
export async function* readRunEvents(runFolder: string): AsyncGenerator<RunEvent> {
  const file = join(runFolder, 'events.jsonl')
  if (!existsSync(file)) return
  for await (const line of createInterface({ input: createReadStream(file), crlfDelay: Infinity })) {
    const event = parseLine(line)
    if (event) yield event
  }
}

function parseLine(line: string): RunEvent | undefined {
  try {
    const event: unknown = JSON.parse(line)
    const isEvent = typeof event === 'object' && event !== null && 'kind' in event && 'time' in event
    return isEvent ? (event as RunEvent) : undefined
  } catch {
    return undefined
  }
}
