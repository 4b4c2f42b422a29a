/** `immiscible/testing`: the conformance suite for authors of strategies, for vitest. The built-in strategies pass it. */
import { describe, expect, test } from 'vitest'
import { CHECKS, runCheck, type CheckOptions, type CreateStrategy } from './check.ts'

export { checkStrategy, type CheckOptions, type CreateStrategy } from './check.ts'

/**
 * Registers the tests of a strategy:
 *
 *     import { testStrategy } from 'immiscible/testing'
 *     import mine from './mine.ts'
 *     testStrategy('mine', () => mine())
 *
 * @param create makes a new instance at each call
 */
export function testStrategy(name: string, create: CreateStrategy, options: CheckOptions = {}): void {
  describe(`strategy ${name}`, () => {
    test.each(CHECKS)('$name', (check) => {
      expect(runCheck(check, create, options)).toEqual([])
    })
  })
}
