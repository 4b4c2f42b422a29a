import { expect, test } from 'vitest'
import { createRefusals } from '../../../ts/worker/refusals.ts'

test('a flood of a million makes a page of lines, and the last has the count', () => {
  const lines: string[] = []
  const refusals = createRefusals((code, message) => lines.push(`${code}: ${message}`))
  for (let at = 0; at < 1_000_000; at++) refusals.count('UNKNOWN_KEY', `key ${at}`)
  expect(lines.length).toBeLessThan(40)
  refusals.finish()
  expect(lines.at(-1)).toBe('REFUSED_UNKNOWN_KEY: refused 1000000 so far, the last: key 999999')
  const said = lines.length
  refusals.finish()
  expect(lines).toHaveLength(said)
})

test('each new name is said at once, and one that comes again is not', () => {
  const lines: string[] = []
  const refusals = createRefusals((code, message) => lines.push(`${code}: ${message}`))
  for (const who of ['a', 'b', 'a', 'b', 'a', 'c']) refusals.count('WRONG_TOKEN', who)
  expect(lines.map((line) => line.at(-1))).toEqual(['a', 'b', 'b', 'c'])
  expect(refusals.totals.get('WRONG_TOKEN')).toBe(6)
})

test('a name as long as a message is cut', () => {
  const lines: string[] = []
  createRefusals((_, message) => lines.push(message)).count('BROKEN_PROTOCOL', 'x'.repeat(1_000_000))
  expect(lines[0]?.length).toBeLessThan(400)
})
