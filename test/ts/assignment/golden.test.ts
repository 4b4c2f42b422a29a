import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { GOLDEN_FILE, goldenValues } from '../../golden/generate.ts'

test('random numbers and assignments have the bits of the golden file (written anew by `node test/golden/generate.ts`)', () => {
  expect(goldenValues()).toEqual(JSON.parse(readFileSync(GOLDEN_FILE, 'utf8')))
})
