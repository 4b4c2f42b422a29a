/** What a recipe is before it is run: how much it trains, what it needs, and how much of the paper's side is known. */
import { PAPER_RESULTS } from '../index.ts'
import { countRecipePasses } from './cost.ts'
import type { Recipe, Scale } from './recipe.ts'

export interface RecipeDescription {
  readonly id: string
  readonly title: string
  readonly source: string
  readonly scale: Scale
  /** Arms that can run, and those that cannot with the reason. */
  readonly numArms: number
  readonly blocked: readonly { readonly arm: string; readonly why: string }[]
  readonly seeds: number
  /** Images that go forward through a network in all runs, as Cost counts them; 0: nothing is trained. */
  readonly forwardPasses: number
  /** Data sets and files that do not come with the package. */
  readonly needs: readonly string[]
  /** Numbers of the paper that stand beside ours. */
  readonly numKnown: number
  readonly unknown: readonly string[]
}

const FETCHED = new Set(['cifar10', 'cifar100', 'celeba', 'idx'])

export function describeRecipe(recipe: Recipe, scale: Scale, seeds: number): RecipeDescription {
  const arms = recipe.arms(scale)
  const able = arms.filter(({ blocked }) => blocked === undefined)
  return {
    id: recipe.id,
    title: recipe.title,
    source: recipe.source,
    scale,
    numArms: able.length,
    blocked: arms.flatMap(({ label, blocked }) => (blocked === undefined ? [] : [{ arm: label, why: blocked }])),
    seeds: able.length > 0 ? seeds : 0,
    forwardPasses: countRecipePasses(recipe, scale, seeds),
    needs: [...new Set(able.flatMap(needsOf))],
    numKnown: PAPER_RESULTS.filter(({ recipe: id }) => id === recipe.id).length,
    unknown: recipe.unknown(scale),
  }
}

function needsOf({ settings }: ReturnType<Recipe['arms']>[number]): string[] {
  const dataset = settings.dataset as { readonly kind: string; readonly path?: string; readonly repo?: string }
  const { objective } = settings
  const isLpips = typeof objective === 'object' && 'loss' in objective && objective.loss === 'lpips'
  return [
    ...(FETCHED.has(dataset.kind) ? [`${dataset.kind} (immiscible data fetch ${dataset.kind})`] : []),
    ...(dataset.repo !== undefined ? [`${dataset.repo} of the Hub (immiscible data fetch ${dataset.repo})`] : []),
    ...(dataset.path !== undefined ? [`${dataset.path} (--path ${dataset.kind}=...)`] : []),
    ...(isLpips ? ['LPIPS weights (--lpips)'] : []),
  ]
}
