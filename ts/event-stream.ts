/** A bounded stream of events: whoever does not read loses the oldest ones and is told how many, and memory stays as it is. */

export interface EventStream<T> extends AsyncIterable<T> {
  push(event: T): void
  /** No more events; with an error, readers get it after what is left. */
  end(error?: Error): void
}

/** @param lost makes the event that stands in for `count` dropped ones. */
export function createEventStream<T>(capacity: number, lost: (count: number) => T): EventStream<T> {
  const kept: T[] = []
  let numLost = 0
  let finish: { readonly error?: Error } | undefined
  let wake = Promise.withResolvers<void>()

  return {
    push(event) {
      if (kept.length >= capacity) {
        kept.shift()
        numLost++
      }
      kept.push(event)
      wake.resolve()
    },
    end(error) {
      finish = error ? { error } : {}
      wake.resolve()
    },
    async *[Symbol.asyncIterator]() {
      for (;;) {
        if (numLost > 0) {
          const count = numLost
          numLost = 0
          yield lost(count)
        } else if (kept.length > 0) {
          yield kept.shift() as T
        } else if (finish) {
          if (finish.error) throw finish.error
          return
        } else {
          wake = Promise.withResolvers<void>()
          await wake.promise
        }
      }
    },
  }
}
