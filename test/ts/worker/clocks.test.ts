/** The clocks of a worker's life, and that nothing else on the orchestrator's side of it reads one. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { createClocks } from '../../../ts/worker/clocks.ts'
import { systemTime } from '../../../ts/worker/time.ts'
import { testConfig } from '../../fixture/config.ts'

const WATCH_MS = 500
const { worker } = testConfig({ worker: { startSeconds: 8, leaseSeconds: 3, stepSeconds: 2 } })

/** Asked each half second from 0 on, at the times that are not left out. */
function ask(until: number, isLeftOut: (at: number) => boolean, heardAt?: number): string | undefined {
  let now = 0
  const clocks = createClocks(worker, WATCH_MS, { ...systemTime, now: () => now })
  for (; now <= until; now += WATCH_MS) {
    if (now === heardAt) clocks.heard()
    const late = isLeftOut(now) ? undefined : clocks.late()
    if (late !== undefined) return late
  }
  return undefined
}

test('a worker that is silent for a lease is late, one that was never heard after the time to start', () => {
  expect(ask(3500, () => false, 0)).toMatch(/silent for 3 s/)
  expect(ask(3000, () => false, 0)).toBeUndefined()
  expect(ask(8500, () => false)).toMatch(/not ready within 8 s/)
})

test('time in which this process did not run, or was busy, is no silence', () => {
  const isAsleep = (at: number): boolean => at > 1000 && at < 600_000
  expect(ask(600_000, isAsleep, 0)).toBeUndefined()
  expect(ask(602_500, isAsleep, 0), 'but what came before it and after it is').toMatch(/silent for 3 s/)
  expect(ask(600_000, isAsleep)).toBeUndefined()
})

const CLOCKS = /performance\.|\bDate\b|\bset(?:Timeout|Interval|Immediate)\(|timers\/promises/

test.each(['session', 'supervisor', 'worker', 'clocks'])('%s.ts has no other time than the one that it is given', (name) => {
  expect(readFileSync(join(import.meta.dirname, '..', '..', '..', 'ts', 'worker', `${name}.ts`), 'utf8')).not.toMatch(CLOCKS)
})

test('control: the system has its time from somewhere', () => {
  expect(readFileSync(join(import.meta.dirname, '..', '..', '..', 'ts', 'worker', 'time.ts'), 'utf8')).toMatch(CLOCKS)
})
