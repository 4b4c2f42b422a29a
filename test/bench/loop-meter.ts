/** How long this process's event loop was kept: by what it saw of a clock, by time not spent waiting, and by CPU time of its own. */
import { createHistogram, monitorEventLoopDelay, performance, type RecordableHistogram } from 'node:perf_hooks'

const RESOLUTION_MS = 1

/** Milliseconds. */
export interface LoopFigures {
  /**
   * What libuv's timer of 1 ms saw: the time from one call to the next, so about 1 ms of each figure is the timer's own,
   * and it holds what other processes took of the cores.
   */
  readonly delayP50Ms: number
  readonly delayP99Ms: number
  readonly delayMaxMs: number
  /** Between two looks about 1 ms apart, how long the loop was not waiting for work: no block in between was longer. Holds being preempted. */
  readonly activeP99Ms: number
  readonly activeMaxMs: number
  /** CPU time of the main thread alone between two looks: without being preempted, but also without a wait for the disk. 0 before Node 23.9. */
  readonly cpuP99Ms: number
  readonly cpuMaxMs: number
  /** Share of one core that the main thread took, this meter's own looks included. */
  readonly cpuShare: number
}

/** Starts to look at this thread's event loop, once a millisecond; the answer stops it. Takes the same memory however long it runs. */
export function meterLoop(): () => LoopFigures {
  const delay = monitorEventLoopDelay({ resolution: RESOLUTION_MS })
  const [active, cpu] = [createHistogram(), createHistogram()]
  const first = look()
  let before = first
  const timer = setInterval(() => {
    const now = look()
    record(active, now.active - before.active)
    record(cpu, now.cpu - before.cpu)
    before = now
  }, RESOLUTION_MS).unref()
  delay.enable()
  return () => {
    delay.disable()
    clearInterval(timer)
    const [now, ms] = [look(), (nanoseconds: number): number => nanoseconds / 1e6]
    return {
      delayP50Ms: ms(delay.percentile(50)),
      delayP99Ms: ms(delay.percentile(99)),
      delayMaxMs: ms(delay.max),
      activeP99Ms: ms(active.percentile(99)),
      activeMaxMs: ms(active.max),
      cpuP99Ms: ms(cpu.percentile(99)),
      cpuMaxMs: ms(cpu.max),
      cpuShare: (now.cpu - first.cpu) / (now.time - first.time),
    }
  }
}

function record(histogram: RecordableHistogram, ms: number): void {
  histogram.record(Math.max(1, Math.round(ms * 1e6)))
}

function look(): { time: number; active: number; cpu: number } {
  const { user, system } = 'threadCpuUsage' in process ? process.threadCpuUsage() : { user: 0, system: 0 }
  return { time: performance.now(), active: performance.eventLoopUtilization().active, cpu: (user + system) / 1000 }
}

/** The value that a share of all values does not exceed; NaN of nothing. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted.length === 0 ? NaN : sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)]
}
