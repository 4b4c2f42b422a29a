/** Recipes that measure trained models or noise: what is asked for, and where the answers stand. The measurements have tests of their own. */
import { expect, test, vi } from 'vitest'
import type { AnalysisRow, AssignmentAnalysis, Denoising, Gaussianity, Miscibility, NoiseLayer } from '../../../ts/index.ts'
import { analyzeAssignment } from '../../../ts/analysis/assignment.ts'
import { drawDenoising } from '../../../ts/denoising.ts'
import { measureGaussianity } from '../../../ts/gaussianity.ts'
import { measureMiscibility } from '../../../ts/miscibility.ts'
import { paper1Figure3 } from '../../../ts/recipe/paper/paper1-figure3.ts'
import { paper2Section42 } from '../../../ts/recipe/paper/paper2-section4-2.ts'
import { paper2Section43 } from '../../../ts/recipe/paper/paper2-section4-3.ts'
import { paper2Table7 } from '../../../ts/recipe/paper/paper2-table7.ts'
import { cellsOf } from '../../fixture/recipe-tables.ts'
import { scriptedContext } from '../../fixture/recipe-runs.ts'

type Functions = {
  analyzeAssignment: typeof analyzeAssignment
  drawDenoising: typeof drawDenoising
  measureGaussianity: typeof measureGaussianity
  measureMiscibility: typeof measureMiscibility
}
vi.mock('../../../ts/analysis/assignment.ts', () => ({ analyzeAssignment: vi.fn<Functions['analyzeAssignment']>() }))
vi.mock('../../../ts/denoising.ts', () => ({ drawDenoising: vi.fn<Functions['drawDenoising']>() }))
vi.mock('../../../ts/gaussianity.ts', () => ({ measureGaussianity: vi.fn<Functions['measureGaussianity']>() }))
vi.mock('../../../ts/miscibility.ts', () => ({ measureMiscibility: vi.fn<Functions['measureMiscibility']>() }))

const value = (): number => 1

test('paper 1, Figure 3: a picture of both models for each seed, and shares over seeds', async () => {
  vi.mocked(drawDenoising).mockImplementation(async (models, output) => {
    const layers = models.map(({ label, folder }) => {
      const imageShare = Number(folder.slice(-1)) + (label === 'immiscible' ? 0.5 : 0)
      return { label, imageShare, meanShare: 0.25, noiseShare: 0.125, noiseR2: 1 } as NoiseLayer
    })
    return { png: output, models: layers } satisfies Denoising
  })
  const { tables, pictures } = await paper1Figure3.report(scriptedContext(paper1Figure3, { seeds: [0, 1], folder: '/out', value }))
  expect(vi.mocked(drawDenoising).mock.calls.map(([models, output, options]) => [models, output, options?.numInferenceSteps])).toEqual(
    [0, 1].map((seed) => {
      const models = ['vanilla', 'immiscible'].map((label) => ({ label, folder: `${label}-${seed}` }))
      return [models, `/out/denoising-seed-${seed}.png`, 20]
    }),
  )
  expect(pictures.map(({ file }) => file)).toEqual(['denoising-seed-0.png', 'denoising-seed-1.png'])
  expect(cellsOf(tables[0])).toEqual([
    ['', 'image', 'mean image', 'noise', 'fit by noise'],
    ['vanilla', 0.5, 0.25, 0.125, 1],
    ['immiscible', 1, 0.25, 0.125, 1],
  ])
})

test('paper 2, Section 4.2: each run by the noises of its seed, means over seeds', async () => {
  vi.mocked(measureMiscibility).mockImplementation(async (runFolder) => {
    const distance = 1 + ['vanilla', 'KNN', 'LA'].indexOf(runFolder.split('-')[0]) + 10 * Number(runFolder.slice(-1))
    const at = (shown: number): Miscibility['floor'] => ({ value: shown, low: 0, high: 0 })
    return { distance, floor: at(0.5), corrected: at(distance - 0.5), confidentShare: 0.75 } as Miscibility
  })
  const { tables } = await paper2Section42.report(scriptedContext(paper2Section42, { scale: 'paper', seeds: [0, 1], value }))
  expect(cellsOf(tables[0])).toEqual([
    ['', 'distance', 'by chance', 'corrected', 'confident, %'],
    ['vanilla', '6 | 0.92', 0.5, 5.5, 75],
    ['KNN', '7 | 2.17', 0.5, 6.5, 75],
    ['LA', '8 | 4.11', 0.5, 7.5, 75],
  ])
  const asked = vi.mocked(measureMiscibility).mock.calls.map(([folder, options]) => [folder, options?.seed, options?.numImages])
  expect(asked).toEqual([0, 1].flatMap((seed) => ['vanilla', 'KNN', 'LA'].map((arm) => [`${arm}-${seed}`, seed, 10_000])))
})

test("paper 2, Section 4.3: the paper's divergences stand beside images of as many numbers only", async () => {
  vi.mocked(measureGaussianity).mockImplementation(async ({ dataset, numNoises = 0, batchSize = 0, strategies = [] } = {}) => {
    const dims = dataset?.kind === 'digits' ? 64 : 3072
    const rows = strategies.map((_, at) => ({ strategy: '', kl: 2 + at, deviation: at, meanSquaredNorm: dims / 2 }))
    return {
      dataset: dataset?.kind ?? '',
      dims,
      batchSize,
      numNoises,
      seed: 0,
      expectedKl: 1.5,
      klDeviation: 1,
      rows,
    } satisfies Gaussianity
  })
  const { tables } = await paper2Section43.report(scriptedContext(paper2Section43, { value }))
  expect(tables.map(({ title }) => title)).toEqual(['digits, 64 numbers each, 50,000 noises', 'gaussian, 3072 numbers each, 50,000 noises'])
  const header = ['noise', 'KL, nats', 'deviations', 'squared norm / numbers']
  expect(cellsOf(tables[0])).toEqual([
    header,
    ['Gaussian, expected', 1.5],
    ['independent', 2, 0, 0.5],
    ['linear assignment', 3, 1, 0.5],
    ['nearest of 8', 4, 2, 0.5],
  ])
  expect(cellsOf(tables[1])).toEqual([
    header,
    ['Gaussian, expected', 1.5],
    ['independent', '2 | 48.25', 0, 0.5],
    ['linear assignment', 3, 1, 0.5],
    ['nearest of 8', '4 | 48.6', 2, 0.5],
  ])
})

test('paper 2, Table 7: the change of each k on each data set, in %, and the paper once', async () => {
  vi.mocked(analyzeAssignment).mockImplementation(async ({ dataset, strategies = [] } = {}) => {
    const isGaussian = dataset?.kind === 'gaussian'
    const rows = strategies.map((strategy) => {
      const candidatesPerImage = Number((strategy as string).split('=')[1])
      return {
        candidatesPerImage,
        distanceChange: { mean: -candidatesPerImage / (isGaussian ? 1000 : 100), halfWidth: null },
      } as AnalysisRow
    })
    const about = { name: dataset?.kind ?? '', numImages: isGaussian ? null : 10, dims: 64, imageRms: 0.5 }
    return { dataset: about, numSeeds: 10, cpu: '', rows, comparisons: [] } satisfies AssignmentAnalysis
  })
  const { tables } = await paper2Table7.report(scriptedContext(paper2Table7, { value }))
  const gaussian = 'gaussian, 64 numbers each'
  expect(cellsOf(tables[0])).toEqual([
    ['best k', 'digits, 64 numbers each, RMS 0.50', 'emoji, 64 numbers each, RMS 0.50', gaussian, gaussian, gaussian],
    ['DDIM, k = 8', '-8 | -1.58', -8, -0.8, -0.8, -0.8],
    ['FM, k = 4', '-4 | -1.1', -4, -0.4, -0.4, -0.4],
    ['CM, k = 4', '-4 | -1.1', -4, -0.4, -0.4, -0.4],
    ['SD, k = 64', '-64 | -2.32', -64, -6.4, -6.4, -6.4],
  ])
})
