import { describe, expect, test } from 'vitest'
import type { AssignmentConfig } from '../../../protocol/index.ts'
import type { AssignmentStrategy } from '../../../ts/assignment/assignment.ts'
import { independent } from '../../../ts/assignment/independent.ts'
import { linear } from '../../../ts/assignment/linear.ts'
import { quantized } from '../../../ts/assignment/quantized.ts'
import { createStrategy, STRATEGIES } from '../../../ts/assignment/table.ts'
import { checkStrategy, testStrategy } from '../../../ts/testing/index.ts'
import { testConfig } from '../../fixture/config.ts'

for (const { kind } of STRATEGIES) {
  const { assignment } = testConfig({ assignment: { kind } as AssignmentConfig })
  testStrategy(kind, () => createStrategy(assignment))
}

type Assign = AssignmentStrategy['assign']

/** `linear` with something done before and after. */
const changed = (assign: (inner: Assign, ...given: Parameters<Assign>) => ReturnType<Assign>, more: Partial<AssignmentStrategy> = {}) => {
  const inner = linear()
  return (): AssignmentStrategy => ({ ...inner, ...more, assign: (...given) => assign(inner.assign, ...given) })
}

describe('control: a strategy with one planted fault is caught, and the complaint names the fault', () => {
  let calls = 0
  const cases: readonly [fault: string, create: () => AssignmentStrategy, complaint: RegExp][] = [
    [
      'gives one noise to two images',
      changed((assign, pool, images, noise, noiseIndex) => {
        const report = assign(pool, images, noise, noiseIndex)
        noiseIndex[0] = noiseIndex[noiseIndex.length - 1]
        return report
      }),
      /expected a permutation \(no row twice\)/,
    ],
    [
      'forgets the last image of an odd number',
      changed((assign, pool, images, noise, noiseIndex) => {
        const report = assign(pool, images, noise, noiseIndex)
        if (noiseIndex.length % 2 === 1) noiseIndex[noiseIndex.length - 1] = -1
        return report
      }),
      /expected a noise row from 0 to 0, got -1/,
    ],
    [
      'inverts the permutation',
      changed((assign, pool, images, noise, noiseIndex) => {
        const report = assign(pool, images, noise, noiseIndex)
        noiseIndex.slice().forEach((row, image) => (noiseIndex[row] = image))
        return report
      }),
      /is noiseIndex inverted\?/,
    ],
    [
      'counts its calls',
      changed((assign, pool, images, noise, noiseIndex) => {
        const report = assign(pool, images, noise, noiseIndex)
        if (calls++ % 2 === 1) noiseIndex.reverse()
        return report
      }),
      /expected the first answer again, got another/,
    ],
    [
      'starts from a random place',
      () => {
        const turn = Math.floor(Math.random() * 1000)
        return changed((_assign, _pool, { rows }, _noise, noiseIndex) => {
          for (let image = 0; image < rows; image++) noiseIndex[image] = (image + turn) % rows
          return {}
        })()
      },
      /expected the same answer of a new instance, got another/,
    ],
    [
      'centres the images in place',
      changed((assign, pool, images, noise, noiseIndex) => {
        images.data.fill(images.data[0])
        return assign(pool, images, noise, noiseIndex)
      }),
      /got a write to images/,
    ],
    [
      'sorts the noise in place',
      changed((assign, pool, images, noise, noiseIndex) => {
        noise.data.sort()
        return assign(pool, images, noise, noiseIndex)
      }),
      /got a write to noise/,
    ],
    [
      'moves the labels',
      changed((assign, pool, images, noise, noiseIndex) => {
        pool.labels?.reverse()
        return assign(pool, images, noise, noiseIndex)
      }),
      /got a write to pool\.labels/,
    ],
    [
      'clears the flips',
      changed((assign, pool, images, noise, noiseIndex) => {
        pool.flips.fill(0)
        return assign(pool, images, noise, noiseIndex)
      }),
      /got a write to pool\.flips/,
    ],
    [
      'writes past noiseIndex',
      changed((assign, pool, images, noise, noiseIndex) => {
        new Int32Array(noiseIndex.buffer, noiseIndex.byteOffset)[noiseIndex.length] = 0
        return assign(pool, images, noise, noiseIndex)
      }),
      /got a write to what lies around noiseIndex/,
    ],
    [
      'replaces a matrix of the pool',
      changed((assign, pool, images, noise, noiseIndex) => {
        Object.assign(images, { rows: 1 })
        return assign(pool, images, noise, noiseIndex)
      }),
      /Cannot assign to read only property 'rows'/,
    ],
    [
      'certifies what it did not reach',
      () => ({ ...independent(), assign: (...given) => ({ ...independent().assign(...given), dualGap: 0 }) }),
      /dualGap: expected at least 1\.0000, the share of the gain that it misses, got 0/,
    ],
    [
      'reports more than all',
      changed((assign, ...given) => ({ ...assign(...given), dualGap: 1.5 })),
      /report\.dualGap: expected a share from 0 to 1, got 1\.5/,
    ],
    [
      'answers later',
      changed(((assign: Assign, ...given: Parameters<Assign>) => Promise.resolve(assign(...given))) as never),
      /expected an answer at once, got a promise/,
    ],
    [
      'reads labels that are not there',
      changed((assign, pool, ...given) => (pool.labels?.length === 0 ? {} : (pool.labels as Int32Array).at(0), assign(pool, ...given))),
      /undefined/,
    ],
    [
      'draws noises by chance',
      changed((assign, ...given) => assign(...given), {
        noiseKeys: (_pool, keys) => keys.fill(BigInt(Math.floor(Math.random() * 2 ** 40))),
      }),
      /noiseKeys: expected the same keys again/,
    ],
    [
      'draws a noise twice',
      changed((assign, ...given) => assign(...given), { noiseKeys: (_pool, keys) => keys.fill(7n) }),
      /noiseKeys: expected distinct keys, got one twice/,
    ],
    ['has no name', changed((assign, ...given) => assign(...given), { name: '' }), /name: expected a string that is not empty/],
    [
      'wants half a candidate',
      changed((assign, ...given) => assign(...given), { candidatesPerImage: 0.5 }),
      /candidatesPerImage: expected an integer of at least 1, got 0\.5/,
    ],
    [
      'cannot be made',
      () => {
        throw new Error('no memory')
      },
      /threw no memory/,
    ],
  ]
  test.each(cases)('%s', (_fault, create, complaint) => {
    expect(checkStrategy(create).join('\n')).toMatch(complaint)
  })
})

describe('what is allowed passes', () => {
  test.each<[string, () => AssignmentStrategy]>([
    ['noise that is negated', () => ({ ...quantized(), noiseSign: -1 })],
    [
      'noise keys of its own',
      () => ({ ...linear(), noiseKeys: (_pool, keys) => keys.forEach((key, row) => (keys[row] = key + 1_000_000n)) }),
    ],
    [
      'the last of three candidates, always',
      () => ({
        name: 'last',
        candidatesPerImage: 3,
        assign(_pool, _images, _noise, noiseIndex) {
          noiseIndex.forEach((_, image) => (noiseIndex[image] = 3 * image + 2))
          return {}
        },
      }),
    ],
  ])('%s', (_name, create) => expect(checkStrategy(create)).toEqual([]))

  test('a strategy that needs labels gets them, and one that moves noise elsewhere may say so', () => {
    const needy = changed((assign, pool, ...given) => {
      if (!pool.labels) throw new Error('no labels')
      return assign(pool, ...given)
    })
    expect(checkStrategy(needy).join()).toMatch(/no labels/)
    expect(checkStrategy(needy, { needsLabels: true })).toEqual([])
    const turned: () => AssignmentStrategy = () => ({
      ...independent(),
      assign(_pool, { rows }, _noise, noiseIndex) {
        noiseIndex.forEach((_, image) => (noiseIndex[image] = (image + 1) % rows))
        return {}
      },
    })
    expect(checkStrategy(turned).join()).toMatch(/movesElsewhere/)
    expect(checkStrategy(turned, { movesElsewhere: true })).toEqual([])
  })
})
