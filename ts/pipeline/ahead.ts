/** Which pools to solve, and when: the one that is asked for and the next few, never more of them in memory than there is room for. */

export interface AheadOptions<T> {
  /** Pools that may exist at a time, being solved or held, the one in use among them. At least 1. */
  readonly capacity: number
  /** No pool after this one is solved unless it is asked for. */
  readonly lastPool: number
  solve(index: number): Promise<T>
}

interface Pool<T> {
  readonly answer: PromiseWithResolvers<T>
  isAsked: boolean
  isBegun: boolean
  isDone: boolean
}

export interface Ahead<T> {
  /** Answers that pool and has the next ones solved meanwhile. Any index may be asked for; going on by one is fast. */
  pool(index: number): Promise<T>
  /** A solved pool is of no use any more: whoever asks for it again gets it solved again. */
  forget(index: number): void
}

/**
 * A pool that is being solved when a jump makes it useless keeps its room until it is done.
 */
export function prepareAhead<T>({ capacity, lastPool, solve }: AheadOptions<T>): Ahead<T> {
  const pools = new Map<number, Pool<T>>()
  let inUse = 0

  function want(index: number): Pool<T> {
    let pool = pools.get(index)
    if (!pool) {
      pool = { answer: Promise.withResolvers<T>(), isAsked: false, isBegun: false, isDone: false }
      // Whoever asks for the pool sees the failure; one that nobody asks for must not end the process.
      pool.answer.promise.catch(() => undefined)
      pools.set(index, pool)
    }
    return pool
  }

  function dropUnwanted(): void {
    for (const [index, { isAsked, isBegun, isDone }] of pools) {
      const isWanted = index >= inUse && index < inUse + capacity
      if (!isWanted && (isDone || (!isBegun && !isAsked))) pools.delete(index)
    }
  }

  function beginWaiting(): void {
    const waiting = [...pools].filter(([, { isBegun }]) => !isBegun)
    waiting.sort(([a, { isAsked }], [b, other]) => Number(other.isAsked) - Number(isAsked) || a - b)
    const begun = [...pools].filter(([, { isBegun }]) => isBegun)
    let room = capacity - begun.length
    // All of it is held for steps to come, while somebody waits for a pool elsewhere: the furthest must go.
    if (room === 0 && waiting[0]?.[1].isAsked && begun.every(([, { isDone }]) => isDone)) {
      pools.delete(Math.max(...begun.map(([index]) => index)))
      room = 1
    }
    for (const [index, pool] of waiting.slice(0, room)) begin(index, pool)
  }

  function begin(index: number, pool: Pool<T>): void {
    pool.isBegun = true
    void solve(index)
      .then(pool.answer.resolve, pool.answer.reject)
      .finally(() => {
        pool.isDone = true
        dropUnwanted()
        beginWaiting()
      })
  }

  return {
    pool(index) {
      inUse = index
      dropUnwanted()
      const { answer } = Object.assign(want(index), { isAsked: true })
      for (let ahead = index + 1; ahead < index + capacity && ahead <= lastPool; ahead++) want(ahead)
      beginWaiting()
      return answer.promise
    },
    forget(index) {
      if (pools.get(index)?.isDone) pools.delete(index)
    },
  }
}
