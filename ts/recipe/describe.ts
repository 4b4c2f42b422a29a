/** What a recipe is before it is run: how much it trains, what it needs, and how much of the paper's side is known. */
import { PAPER_RESULTS, type AnalysisDataset } from '../index.ts'
import { recipeCost, type Cost } from './cost.ts'
import type { Recipe, Scale, TrainSettings } from './recipe.ts'

export interface RecipeDescription {
  readonly id: string
  readonly title: string
  readonly source: string
  readonly scale: Scale
  /** Arms that can run, and those that cannot with the reason. */
  readonly numArms: number
  readonly blocked: readonly { readonly arm: string; readonly why: string }[]
  readonly seeds: number
  /** Of all runs; 0 where nothing is trained. */
  readonly cost: Cost
  /** Data sets that do not come with the package, by their kinds or repositories, and `LPIPS` for its weights. */
  readonly needs: readonly string[]
  /** Numbers of the paper that stand beside ours. */
  readonly numKnown: number
  readonly unknown: readonly string[]
}

const EMBEDDED = new Set(['digits', 'emoji', 'gaussian'])

export function describeRecipe(recipe: Recipe, scale: Scale, seeds: number): RecipeDescription {
  const arms = recipe.arms(scale)
  const datasets = recipe.datasets?.(scale) ?? []
  const able = arms.filter(({ blocked }) => blocked === undefined)
  return {
    id: recipe.id,
    title: recipe.title,
    source: recipe.source,
    scale,
    numArms: able.length,
    blocked: arms.flatMap(({ label, blocked }) => (blocked === undefined ? [] : [{ arm: label, why: blocked }])),
    seeds: able.length > 0 ? seeds : 0,
    cost: recipeCost(recipe, scale, seeds),
    needs: [...new Set([...able.flatMap(({ settings }) => needsOf(settings)), ...datasets.flatMap(needsOfData)])],
    numKnown: PAPER_RESULTS.filter(({ recipe: id }) => id === recipe.id).length,
    unknown: recipe.unknown(scale),
  }
}

function needsOf({ dataset, objective }: TrainSettings): string[] {
  const isLpips = typeof objective === 'object' && 'loss' in objective && objective.loss === 'lpips'
  return [...needsOfData(dataset as AnalysisDataset), ...(isLpips ? ['LPIPS'] : [])]
}

function needsOfData(dataset: AnalysisDataset): string[] {
  if ('repo' in dataset && dataset.repo) return [dataset.repo]
  return EMBEDDED.has(dataset.kind) ? [] : [dataset.kind]
}
