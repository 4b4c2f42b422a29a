/** Dry runs: arms are trained for two real steps on random images, at the papers' size too; what cannot run says why and stops nothing. */
import { expect, test } from 'vitest'
import { dryRun } from '../../ts/recipe/dry-run.ts'
import { NETWORK_COSTS } from '../../ts/recipe/network-costs.ts'
import { paper2Table8 } from '../../ts/recipe/paper/paper2-table8.ts'
import type { Recipe } from '../../ts/recipe/recipe.ts'
import { PAPER_CONSISTENCY } from '../../ts/recipe/settings.ts'
import { TINY_RECIPE } from '../fixture/tiny-recipe.ts'
import { TINY } from './run.ts'

const SECONDS = 1000

test(
  'each network once; arms that differ in their assignment share it; one that cannot run says why',
  { timeout: 600 * SECONDS },
  async () => {
    const { seed: _seed, ...settings } = TINY
    const recipe: Recipe = {
      ...TINY_RECIPE,
      arms: (scale) => [
        { label: 'too deep', settings: { ...settings, network: 'ddpm-cifar10', dataset: { kind: 'emoji', resolution: 12 } } },
        ...TINY_RECIPE.arms(scale),
        ...TINY_RECIPE.arms(scale)
          .slice(0, 1)
          .map((arm) => ({ label: 'larger', settings: { ...arm.settings, globalBatchSize: 16 } })),
      ],
    }
    const { rows } = await dryRun(recipe, { scale: 'small' })
    expect(rows.map(({ arm, isBlocked }) => [arm, isBlocked])).toEqual([
      ['too deep', true],
      ['as drawn', false],
      ['assigned', false],
      ['never', true],
      ['larger', false],
    ])
    const [tooDeep, asDrawn, assigned, never, larger] = rows
    expect(tooDeep.note).toMatch(/sides divisible by 8/)
    expect(asDrawn.losses).toHaveLength(2)
    for (const loss of asDrawn.losses ?? []) expect(loss).toBeGreaterThan(0)
    expect(asDrawn.training?.numParameters).toBeGreaterThan(1000)
    expect(assigned.note).toContain('"as drawn"')
    expect(assigned.training).toEqual(asDrawn.training)
    expect(never.note).toBe('it is here to be passed over')
    // 40 steps of 8 images, there and twice as much back, and 32 samples of 2 calls, four times.
    expect(asDrawn.cost?.forwardPasses).toBe(3 * 40 * 8 + 4 * 32 * 2)
    expect(larger.cost?.forwardPasses).toBe(3 * 40 * 16 + 4 * 32 * 2)
  },
)

test('the network of CIFAR-10 at the size of the papers', { timeout: 600 * SECONDS }, async () => {
  const { rows } = await dryRun(paper2Table8, { scale: 'paper' })
  expect(rows.map(({ isBlocked }) => isBlocked)).toEqual(rows.map(() => false))
  expect(rows[0].training?.numParameters).toBe(35_746_307)
  const listed = NETWORK_COSTS.find(({ network }) => network === 'ddpm-cifar10')
  expect(rows[0].training, 'network-costs.ts is not of now: npm run network-costs').toMatchObject({
    numParameters: listed?.numParameters,
    forwardFlops: listed?.forwardFlops,
  })
  expect(rows[0].losses).toHaveLength(2)
  expect(rows[0].cost?.forwardPasses).toBe(3 * 163_800 * 256 + 7 * 50_000 * 50)
})

test('without the weights of LPIPS another loss stands in, and the row says so', { timeout: 600 * SECONDS }, async () => {
  const settings = { ...PAPER_CONSISTENCY, network: TINY.network, dataset: { kind: 'digits' } as const }
  const { rows } = await dryRun({ ...TINY_RECIPE, arms: () => [{ label: 'consistency', settings }] }, { scale: 'paper' })
  expect(rows[0]).toMatchObject({ isBlocked: false, note: expect.stringContaining('--lpips') as string })
})
