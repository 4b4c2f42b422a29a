/** The order and the number of pools, with a solver that answers when it is told to: every interleaving can be had. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { prepareAhead } from '../../../ts/pipeline/ahead.ts'

interface Held {
  readonly index: number
}

/** Pools that are begun by the code under test and solved by the test; `outstanding` counts what is in memory by the caller's own rule. */
function handSolver() {
  const working = new Map<number, PromiseWithResolvers<Held>>()
  const begun: number[] = []
  return {
    working,
    begun,
    solve(index: number): Promise<Held> {
      if (working.has(index)) throw new Error(`pool ${index} is being solved already`)
      begun.push(index)
      const answer = Promise.withResolvers<Held>()
      working.set(index, answer)
      return answer.promise
    },
    async finish(index: number): Promise<void> {
      working.get(index)?.resolve({ index })
      working.delete(index)
      await settled()
    },
  }
}

const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

test('the one asked for and the next ones are begun, in order, as far as there is room', async () => {
  const solver = handSolver()
  const { pool } = prepareAhead({ capacity: 3, lastPool: 100, solve: solver.solve })
  const zero = pool(0)
  expect(solver.begun).toEqual([0, 1, 2])
  await solver.finish(1) // before its turn
  await solver.finish(0)
  expect(await zero).toEqual({ index: 0 })
  expect(solver.begun).toEqual([0, 1, 2]) // 0 is in use, 1 is held, 2 is being solved: no room
  expect(await pool(1)).toEqual({ index: 1 })
  expect(solver.begun).toEqual([0, 1, 2, 3])
})

test('nothing is begun beyond the last pool, unless it is asked for', () => {
  const solver = handSolver()
  const { pool } = prepareAhead({ capacity: 4, lastPool: 5, solve: solver.solve })
  void pool(4)
  expect(solver.begun).toEqual([4, 5])
  void pool(9)
  expect(solver.begun).toEqual([4, 5, 9])
})

test('after a jump the useless pools keep their room until they are done', async () => {
  const solver = handSolver()
  const { pool } = prepareAhead({ capacity: 2, lastPool: 100, solve: solver.solve })
  void pool(10)
  const zero = pool(0)
  expect(solver.begun).toEqual([10, 11])
  await solver.finish(11)
  expect(solver.begun).toEqual([10, 11, 0])
  await solver.finish(0)
  expect(await zero).toEqual({ index: 0 })
})

test('a pool that is wanted again while it is being solved is not solved twice', async () => {
  const solver = handSolver()
  const { pool } = prepareAhead({ capacity: 2, lastPool: 100, solve: solver.solve })
  void pool(3)
  void pool(50)
  const again = pool(3)
  await solver.finish(3)
  expect(await again).toEqual({ index: 3 })
  expect(solver.begun.filter((index) => index === 3)).toEqual([3])
})

test('who waits for a pool elsewhere gets it, although all the room is held for steps to come', async () => {
  const solver = handSolver()
  const { pool } = prepareAhead({ capacity: 1, lastPool: 100, solve: solver.solve })
  void pool(10)
  const twenty = pool(20)
  void pool(10)
  await solver.finish(10)
  await solver.finish(20)
  expect(await twenty).toEqual({ index: 20 })
})

test('a pool that is forgotten is solved again when it is asked for; one on its way is not forgotten', async () => {
  const solver = handSolver()
  const { pool, forget } = prepareAhead({ capacity: 2, lastPool: 100, solve: solver.solve })
  void pool(3)
  forget(3)
  void pool(3)
  expect(solver.begun).toEqual([3, 4])
  await solver.finish(3)
  forget(3)
  void pool(3)
  expect(solver.begun).toEqual([3, 4, 3])
})

test('a failure is the answer of its own pool only', async () => {
  const { pool } = prepareAhead({
    capacity: 3,
    lastPool: 100,
    solve: (index) => (index === 1 ? Promise.reject(new Error('pool 1 is bad')) : Promise.resolve({ index })),
  })
  expect(await pool(0)).toEqual({ index: 0 })
  await expect(pool(1)).rejects.toThrow('pool 1 is bad')
  expect(await pool(2)).toEqual({ index: 2 })
})

/** Walks at random (on by one, jumps, answers in any order) and returns the most pools that were in memory at a time. */
async function walk(capacity: number, moves: readonly number[], open: typeof prepareAhead<Held>): Promise<number> {
  const solver = handSolver()
  const held = new Set<number>()
  let most = 0
  const { pool } = open({
    capacity,
    lastPool: 1000,
    solve(index) {
      const answer = solver.solve(index)
      // Finished pools outside the window have gone, and the furthest held one where somebody waited and nothing was being solved.
      for (const old of held) if (old < inUse || old >= inUse + capacity) held.delete(old)
      if (solver.working.size === 1 && held.size === capacity) held.delete(Math.max(...held))
      most = Math.max(most, solver.working.size + held.size)
      return answer
    },
  })
  let inUse = 0
  const answers: [number, Promise<Held>][] = []
  for (const move of moves) {
    if (move >= 0 && solver.working.size > 0) {
      const index = [...solver.working.keys()][move % solver.working.size]
      held.add(index)
      await solver.finish(index)
    } else {
      inUse = move % 3 === 0 ? Math.abs(move) % 40 : inUse + 1
      answers.push([inUse, pool(inUse)])
    }
  }
  while (solver.working.size > 0) for (const index of solver.working.keys()) await solver.finish(index)
  for (const [index, answer] of answers) expect((await answer).index).toBe(index)
  return most
}

const moves = fc.array(fc.integer({ min: -60, max: 60 }), { maxLength: 60 })

test('whatever is asked for in whatever order, there are never more pools than room, and each answer comes', async () => {
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 1, max: 6 }), moves, async (capacity, path) => {
      expect(await walk(capacity, path, prepareAhead)).toBeLessThanOrEqual(capacity)
    }),
    { numRuns: 150 },
  )
})

test('control: one that forgets the pools on their way after a jump is caught', async () => {
  const forgetful: typeof prepareAhead<Held> = ({ capacity, solve }) => {
    const pools = new Map<number, Promise<Held>>()
    function pool(index: number): Promise<Held> {
      for (const known of pools.keys()) if (known < index || known >= index + capacity) pools.delete(known)
      for (let ahead = index; ahead < index + capacity; ahead++) if (!pools.has(ahead)) pools.set(ahead, solve(ahead))
      return pools.get(index) as Promise<Held>
    }
    return { pool, forget: () => undefined }
  }
  expect(await walk(3, [-1, -33, 0, 0, 0], forgetful)).toBeGreaterThan(3)
})
