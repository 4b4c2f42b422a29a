/** A virtual machine: time that moves from event to event, processes that die and sleep, and a trace of all of it, decided by one seed. */
import { createHash } from 'node:crypto'
import type { Time } from '../../../ts/worker/time.ts'

export interface Random {
  /** An integer in [0, limit). */
  below(limit: number): number
  /** An integer in [low, high]. */
  between(low: number, high: number): number
  chance(probability: number): boolean
  pick<T>(list: readonly T[]): T
}

/** Mulberry32: 32 bits of state, enough for choosing faults. */
export function createRandom(seed: number): Random {
  let state = seed >>> 0
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0
    let word = Math.imul(state ^ (state >>> 15), state | 1)
    word ^= word + Math.imul(word ^ (word >>> 7), word | 61)
    return ((word ^ (word >>> 14)) >>> 0) / 2 ** 32
  }
  const below = (limit: number): number => Math.floor(next() * limit)
  return {
    below,
    between: (low, high) => low + below(high - low + 1),
    chance: (probability) => next() < probability,
    pick: (list) => list[below(list.length)],
  }
}

/** Two things go on in a process: what it computes and waits for, and what comes in. After a sleep either may go on first. */
export type Thread = 'main' | 'io'

interface Event {
  at: number
  readonly order: number
  readonly process: Process | undefined
  readonly thread: Thread
  readonly isTimer: boolean
  /** What the process's clock had lost when this was planned. */
  lostMs: number
  readonly action: () => void
  isCancelled: boolean
}

export interface Process {
  readonly name: string
  readonly isAlive: boolean
  isAsleep(thread: Thread): boolean
  readonly time: Time
  after(ms: number, action: () => void, thread?: Thread): void
  /** What another process or the network does to this one: it has no clock of its own to lose. */
  receive(ms: number, action: () => void): void
  sleep(ms: number): Promise<void>
  /** Nothing of it happens any more; whatever it awaits never comes. */
  kill(): void
  /** As SIGSTOP. */
  pause(): void
  /** As SIGCONT, once for each pause. clockLostMs: the machine was suspended, and its monotonic clock stood still for so long. */
  resume(clockLostMs?: number): void
  /** As SIGCONT from somebody else: however often it was paused, it goes on. */
  wakeUp(): void
}

export interface World {
  readonly now: number
  /** Milliseconds since 1970; jumps as it is told. */
  readonly wall: number
  readonly random: Random
  readonly numEvents: number
  jumpWall(ms: number): void
  spawn(name: string, wakeLagMs: number): Process
  /** Something that belongs to no process. */
  after(ms: number, action: () => void): void
  trace(line: string): void
  /** Runs events until `isOver`, there are none left, or time is up. Between two of them every promise that can go on does. */
  run(isOver: () => boolean, limitMs: number): Promise<void>
  /** SHA-256 (hex) of everything that happened so far, in order. */
  digest(): string
}

export function createWorld(seed: number, onTrace: (line: string) => void = () => undefined): World {
  const random = createRandom(seed)
  const hash = createHash('sha256')
  const queue: Event[] = []
  /** What was due while its process slept. */
  const deferred = new Map<Process, Event[]>()
  let now = 0
  let wallAhead = 1_700_000_000_000
  let numPlanned = 0
  let numEvents = 0

  function plan(ms: number, action: () => void, process?: Process, thread: Thread = 'main', isTimer = true): Event {
    const lostMs = process ? now - process.time.now() : 0
    const event = { at: now + Math.max(0, ms), order: numPlanned++, process, thread, isTimer, lostMs, action, isCancelled: false }
    enqueue(event)
    return event
  }

  function enqueue(event: Event): void {
    let low = 0
    for (let high = queue.length; low < high;) {
      const middle = (low + high) >>> 1
      const other = queue[middle]
      if (other.at < event.at || (other.at === event.at && other.order < event.order)) low = middle + 1
      else high = middle
    }
    queue.splice(low, 0, event)
  }

  function spawn(name: string, wakeLagMs: number): Process {
    let isAlive = true
    const asleep = new Set<Thread>()
    let numHolds = 0
    let numPauses = 0
    let lostMs = 0
    const after = (ms: number, action: () => void, thread?: Thread): Event => plan(ms, action, process, thread)
    const process: Process = {
      name,
      get isAlive() {
        return isAlive
      },
      isAsleep: (thread) => asleep.has(thread),
      time: {
        now: () => now - lostMs,
        after: (ms, action) => void after(ms, action),
        every(ms, action) {
          let current: Event
          const again = (): void => {
            current = after(ms, () => {
              again()
              action()
            })
          }
          again()
          return () => {
            current.isCancelled = true
          }
        },
        sleep: (ms) => process.sleep(ms),
      },
      after: (ms, action, thread) => void after(ms, action, thread),
      receive: (ms, action) => void plan(ms, action, process, 'io', false),
      sleep: (ms) => new Promise((resolve) => after(ms, resolve)),
      kill() {
        isAlive = false
      },
      pause() {
        numHolds++
        numPauses++
        asleep.add('main').add('io')
      },
      resume(clockLostMs = 0) {
        lostMs += clockLostMs
        if (numHolds === 0 || --numHolds > 0) return
        const pause = numPauses
        for (const thread of ['main', 'io'] as const) {
          plan(random.below(wakeLagMs + 1), () => {
            if (pause === numPauses) wake(thread)
          })
        }
      },
      wakeUp() {
        numHolds = Math.min(numHolds, 1)
        process.resume()
      },
    }
    function wake(thread: Thread): void {
      asleep.delete(thread)
      const waiting = deferred.get(process) ?? []
      deferred.set(
        process,
        waiting.filter((event) => event.thread !== thread),
      )
      for (const event of waiting) if (event.thread === thread) enqueue(event)
    }
    deferred.set(process, [])
    return process
  }

  function take(event: Event): boolean {
    const { process } = event
    if (event.isCancelled || process?.isAlive === false) return false
    if (process?.isAsleep(event.thread)) {
      deferred.get(process)?.push(event)
      return false
    }
    const lost = process && event.isTimer ? now - process.time.now() - event.lostMs : 0
    if (lost > 0) {
      enqueue(Object.assign(event, { at: event.at + lost, lostMs: event.lostMs + lost }))
      return false
    }
    return true
  }

  function trace(line: string): void {
    hash.update(`${now} ${line}\n`)
    onTrace(`${String(now).padStart(7)} ${line}`)
  }

  return {
    get now() {
      return now
    },
    get wall() {
      return now + wallAhead
    },
    random,
    get numEvents() {
      return numEvents
    },
    jumpWall(ms) {
      wallAhead += ms
    },
    spawn,
    after: (ms, action) => void plan(ms, action),
    trace,
    async run(isOver, limitMs) {
      for (;;) {
        const event = queue[0]
        if (event === undefined || event.at > limitMs || isOver()) return
        queue.shift()
        now = Math.max(now, event.at)
        if (!take(event)) continue
        numEvents++
        hash.update(`${now} ${event.order}\n`)
        event.action()
        // An immediate runs when no promise can go on any more.
        await new Promise((resolve) => setImmediate(resolve))
      }
    },
    digest: () => hash.copy().digest('hex'),
  }
}
