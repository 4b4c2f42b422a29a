/** What every recipe must be: settings that a run accepts, names that make folders, and the numbers of the papers where they belong. */
import { beforeAll, describe, expect, test, vi } from 'vitest'
import { resolveConfig } from '../../../protocol/index.ts'
import {
  PAPER_RESULTS,
  PAPER_SETTINGS,
  type AnalysisInput,
  type AnalysisRow,
  type AssignmentAnalysis,
  type Denoising,
  type DenoisingModel,
  type Gaussianity,
  type GaussianityInput,
  type Miscibility,
  type NoiseLayer,
  type PaperResult,
} from '../../../ts/index.ts'
import type { drawPlot } from '../../../ts/plot.ts'
import { DEVICES } from '../../../ts/recipe/cost.ts'
import { describeRecipe, type RecipeDescription } from '../../../ts/recipe/describe.ts'
import type { Arm, Recipe, Report, Scale } from '../../../ts/recipe/recipe.ts'
import { RECIPES } from '../../../ts/recipe/table.ts'
import { scriptedContext } from '../../fixture/recipe-runs.ts'

// What measures is stood in for, at once and without data or models: here it matters where the papers' numbers stand, not what ours are.
type DrawPlot = typeof drawPlot
vi.mock('../../../ts/plot.ts', () => ({ drawPlot: vi.fn<DrawPlot>() }))
vi.mock('../../../ts/denoising.ts', () => ({
  drawDenoising: async (models: readonly DenoisingModel[]): Promise<Partial<Denoising>> => ({
    models: models.map(({ label }) => ({ label }) as NoiseLayer),
  }),
}))
vi.mock('../../../ts/miscibility.ts', () => ({
  measureMiscibility: async (): Promise<Partial<Miscibility>> => ({ distance: 1, floor: interval, corrected: interval, confidentShare: 1 }),
}))
vi.mock('../../../ts/gaussianity.ts', () => ({
  measureGaussianity: async ({ strategies = [] }: GaussianityInput): Promise<Partial<Gaussianity>> => ({
    dims: 3072,
    expectedKl: 1,
    rows: strategies.map(() => ({ strategy: '', kl: 1, deviation: 0, meanSquaredNorm: 1 })),
  }),
}))
vi.mock('../../../ts/analysis/assignment.ts', () => ({
  analyzeAssignment: async ({ dataset, strategies = [] }: AnalysisInput): Promise<AssignmentAnalysis> => ({
    dataset: { name: dataset?.kind ?? '', numImages: null, dims: 1, imageRms: 1 },
    numSeeds: 1,
    cpu: '',
    rows: strategies.map((strategy) => ({ strategy, distanceChange: { mean: 0, halfWidth: null } }) as AnalysisRow),
    comparisons: [],
  }),
}))
const interval = { value: 0, low: 0, high: 0 }

const SCALES: readonly Scale[] = ['paper', 'small']
const cases = RECIPES.flatMap((recipe) => SCALES.map((scale) => [recipe.id, scale, recipe] as const))

/** What is wrong with the arms, were they trained with `--lpips FILE`. */
function findProblems(arms: readonly Arm[]): string[] {
  return arms.flatMap(({ label, settings }) => {
    const { objective } = settings
    const isLpips = typeof objective === 'object' && 'loss' in objective && objective.loss === 'lpips'
    const named = isLpips ? { ...objective, lpipsWeights: '/lpips.safetensors' } : objective
    const resolved = resolveConfig({ ...settings, objective: named, seed: 0, outputDir: '/unused' })
    return 'problems' in resolved ? resolved.problems.map(({ path, message }) => `${label}: ${path}: ${message}`) : []
  })
}

/** Names that share a folder, or are no names of folders. */
function findBadLabels(arms: readonly Arm[]): string[] {
  const folders = arms.map(({ label }) => label.toLowerCase().replaceAll(/[^a-z0-9.]+/g, '-'))
  return arms
    .map(({ label }) => label)
    .filter((label, at) => !/^[A-Za-z0-9][A-Za-z0-9 =.-]*$/.test(label) || label.endsWith(' ') || folders.indexOf(folders[at]) !== at)
}

describe.each(cases)('%s at scale %s', (_id, scale, recipe) => {
  const arms = recipe.arms(scale)
  test('the settings of every arm are a config', () => expect(findProblems(arms)).toEqual([]))
  test('labels are unique and name folders', () => expect(findBadLabels(arms)).toEqual([]))
  test('what is blocked says why', () => expect(arms.filter(({ blocked }) => blocked === '')).toEqual([]))
  test('every arm that runs is measured after its last step', () => {
    const running = arms.filter(({ blocked }) => blocked === undefined)
    const left = running.map(({ settings: { evaluation, maxTrainSteps = NaN } }) => maxTrainSteps % (evaluation?.everySteps ?? NaN))
    expect(left).toEqual(running.map(() => 0))
  })
})

test('control: wrong settings and bad labels are found', () => {
  const { settings } = RECIPES.flatMap((recipe) => recipe.arms('small'))[0]
  expect(findProblems([{ label: 'bad', settings: { ...settings, maxTrainSteps: 0 } }])).toEqual([expect.stringContaining('maxTrainSteps')])
  const arm = (label: string): Arm => ({ label, settings })
  expect(findBadLabels([arm('k = 2'), arm('K=2'), arm('a/b'), arm(' c'), arm('d')])).toEqual(['K=2', 'a/b', ' c'])
})

test('small arms are short: at most 1,000 steps, of 128 images that are 8x8', () => {
  for (const { settings, blocked } of RECIPES.flatMap((recipe) => recipe.arms('small'))) {
    if (blocked !== undefined) continue
    expect(settings.maxTrainSteps).toBeLessThanOrEqual(1000)
    expect(settings.globalBatchSize).toBeLessThanOrEqual(128)
    expect([{ kind: 'digits' }, { kind: 'emoji', resolution: 8 }].some((small) => matches(settings.dataset, small))).toBe(true)
  }
})

function matches(dataset: unknown, expected: Readonly<Record<string, unknown>>): boolean {
  return Object.entries(expected).every(([key, value]) => (dataset as Record<string, unknown>)[key] === value)
}

describe("the papers' numbers", () => {
  const shown: PaperResult[] = []

  beforeAll(async () => {
    for (const [, scale, recipe] of cases) shown.push(...resultsIn(await reportOf(recipe, scale)))
  })

  test('each stands in a table of the recipe that it names', () => {
    expect(PAPER_RESULTS.length).toBeGreaterThan(30)
    expect(findStray(PAPER_RESULTS, shown)).toEqual([])
  })

  test('no row and column has two', () => {
    const places = PAPER_RESULTS.map(({ recipe, row, column }) => `${recipe}: ${row}, ${column}`)
    expect(new Set(places).size).toBe(places.length)
  })

  test('control: a result of another row, column or recipe is found', () => {
    const [good] = PAPER_RESULTS
    const strays = [
      { ...good, row: 'nobody' },
      { ...good, column: 'nothing' },
      { ...good, recipe: 'paper3-table1' },
    ]
    expect(findStray([good, ...strays], shown)).toEqual(strays)
  })
})

function reportOf(recipe: Recipe, scale: Scale): Promise<Report> {
  return recipe.report(scriptedContext(recipe, { scale, seeds: [0, 1], value: ({ step }) => 1 + 1 / step }))
}

function resultsIn({ tables }: Report): PaperResult[] {
  return tables.flatMap(({ rows }) => rows.flatMap(({ figures }) => figures.flatMap(({ paper }) => paper ?? [])))
}

/** Results that no table shows. */
function findStray(results: readonly PaperResult[], shown: readonly PaperResult[]): PaperResult[] {
  return results.filter(
    ({ recipe, row, column }) => !shown.some((other) => other.recipe === recipe && other.row === row && other.column === column),
  )
}

test('ids are unique, and those of the issue', () => {
  expect(RECIPES.map(({ id }) => id)).toEqual([
    ...['table1', 'table2', 'table4', 'table5', 'figure1', 'figure3', 'figure4', 'figure5', 'figure7', 'figure8'].map(
      (name) => `paper1-${name}`,
    ),
    ...['table2', 'table3', 'table4', 'table7', 'table8', 'figure8', 'section4-2', 'section4-3'].map((name) => `paper2-${name}`),
  ])
})

test("rows of paper 1's Table 1 are arms of its recipe", () => {
  const recipe = RECIPES.find(({ id }) => id === 'paper1-table1')
  for (const scale of SCALES)
    expect(recipe?.arms(scale).map(({ label }) => label)).toEqual(PAPER_SETTINGS.map(({ experiment }) => experiment))
})

test('what the list says of a recipe: time by the scale, and what has to be fetched, also where nothing is trained', () => {
  const described = (id: string, scale: Scale): RecipeDescription =>
    describeRecipe(RECIPES.find((recipe) => recipe.id === id) as Recipe, scale, 2)
  expect(described('paper1-table2', 'paper')).toMatchObject({ numArms: 0, seeds: 0, needs: ['cifar10'], cost: { seconds: 0 } })
  expect(described('paper1-figure1', 'small').needs).toEqual([])
  expect(described('paper2-table3', 'paper').needs).toEqual(['cifar10', 'LPIPS'])
  expect(described('paper1-figure4', 'paper').needs).toEqual(['cifar10', 'LPIPS', 'celeba', 'zh-plus/tiny-imagenet'])
  // Arms of 128, 256 and 512, each twice, over two seeds: 163,800 steps there and twice as much back, and seven times 50,000 samples of 50 calls.
  const { cost } = described('paper1-figure8', 'paper')
  expect(cost.forwardPasses).toBe(2 * 2 * (3 * 163_800 * (128 + 256 + 512) + 3 * 7 * 50_000 * 50))
  expect(cost.seconds).toBeCloseTo((cost.petaflops * 1e15) / DEVICES.paper.flopsPerSecond, 3)
  expect(described('paper2-table8', 'small').cost.seconds).toBeGreaterThan(60)
})
