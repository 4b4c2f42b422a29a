/** What others report: of assignments as `analyzeAssignment` measures them, and of trained models; each value with its source, and how sure it is that the source says so. */

export interface PaperValue {
  readonly source: string
  /**
   * P: read in the authors' own repository or abstract. S: from a third party's reading of the full text; no table of either paper could be read at first hand.
   * D: measured for this project with NumPy and SciPy, by other code than this.
   */
  readonly trust: 'P' | 'S' | 'D'
  /** What of ours it stands beside. */
  readonly strategies: readonly string[]
  readonly quantity: 'distanceChange' | 'assignMs'
  /** A share (-0.0193 is -1.93 %) or milliseconds. */
  readonly value: number
  /** null: any, it does not depend on it. */
  readonly batchSize: number | null
  /** Noises per image; null: not stated. */
  readonly candidates: number | null
  /** What images, as far as it is stated. */
  readonly data: string
  /** null: a distance needs none. */
  readonly hardware: string | null
  /** Set where the images were Gaussian: comparable with Gaussian images of this RMS and these dimensions only. */
  readonly gaussian?: { readonly imageRms: number; readonly dims: number }
}

/** A number of a table or figure, as the source has it, by where it stands in a recipe's table. */
export interface PaperResult {
  /** Of the recipe that it stands in: `paper2-table8`. */
  readonly recipe: string
  /** By the labels of the recipe's table. */
  readonly row: string
  readonly column: string
  readonly value: number
  readonly source: string
  /** As of PaperValue. C: read in a caption of the paper. */
  readonly trust: 'P' | 'S' | 'C'
}

/** A row of paper 1, Table 1, in words; null: not found. */
export interface PaperSetting {
  /** The arm of recipe `paper1-table1`. */
  readonly experiment: string
  readonly data: string
  readonly resolution: string | null
  readonly batch: string
  readonly hardware: string
  readonly codeBase: string
  readonly source: string
  /** As of PaperValue; code bases are P throughout. */
  readonly trust: 'P' | 'S'
}

const EXACT = ['linear', 'paper-linear', 'quantized']
const NEAREST = ['nearest', 'paper-knn']
const PAPER_1 = 'Li et al. 2024, arXiv 2406.12303'
const PAPER_2 = 'Li et al. 2025, arXiv 2505.18521'

type Series = readonly (readonly [batchSize: number, value: number])[]

const linearChange: Series = [
  [128, -0.0193],
  [256, -0.0216],
  [512, -0.0232],
  [1024, -0.0244],
]
const linearMs: Series = [
  [128, 5.4],
  [256, 6.7],
  [512, 8.8],
]
const nearestMs: Series = [
  [128, 0.2],
  [256, 0.2],
  [512, 0.3],
]
/** The best number of candidates, distance change, model, data. */
const nearestChange = [
  [8, -0.0158, 'DDIM', 'CIFAR-10, DDIM, 3072 dims'],
  [4, -0.011, 'FM', 'CIFAR-10, flow matching, 3072 dims'],
  [4, -0.011, 'CM', 'CIFAR-10, consistency model, 3072 dims'],
  [64, -0.0232, 'SD', 'ImageNet latents, Stable Diffusion, 4096 dims'],
] as const
const gaussianLinear: Series = [
  [128, -0.0178],
  [256, -0.0199],
  [512, -0.0211],
  [1024, -0.0226],
]
/** Candidates, and the change at an RMS of 0.5 and of 1. */
const gaussianNearest = [
  [2, -0.0078, -0.006],
  [4, -0.0133, -0.011],
  [8, -0.0181, -0.0161],
  [16, -0.0215, -0.02],
  [32, -0.0261, -0.023],
] as const

const UNSTATED = 'not stated'

export const PAPER_VALUES: readonly PaperValue[] = [
  ...linearChange.map(([batchSize, value]): PaperValue => ({
    source: `${PAPER_1}, Table 2`,
    trust: 'S',
    strategies: EXACT,
    quantity: 'distanceChange',
    value,
    batchSize,
    candidates: 1,
    data: UNSTATED,
    hardware: null,
  })),
  ...linearMs.map(([batchSize, value]): PaperValue => ({
    source: `${PAPER_1}, Table 2; ${PAPER_2}, Table 2`,
    trust: 'S',
    strategies: EXACT,
    quantity: 'assignMs',
    value,
    batchSize,
    candidates: 1,
    data: UNSTATED,
    hardware: 'A6000 or A5000: sources differ',
  })),
  {
    source: `${PAPER_1}, abstract and Table 2`,
    trust: 'P',
    strategies: EXACT,
    quantity: 'assignMs',
    value: 22.8,
    batchSize: 1024,
    candidates: 1,
    data: UNSTATED,
    hardware: 'A6000',
  },
  ...nearestMs.map(([batchSize, value]): PaperValue => ({
    source: `${PAPER_2}, Table 2`,
    trust: 'S',
    strategies: NEAREST,
    quantity: 'assignMs',
    value,
    batchSize,
    candidates: null,
    data: UNSTATED,
    hardware: 'A6000 or A5000: sources differ',
  })),
  {
    source: `${PAPER_2}, README and Table 2`,
    trust: 'P',
    strategies: NEAREST,
    quantity: 'assignMs',
    value: 0.7,
    batchSize: 1024,
    candidates: null,
    data: UNSTATED,
    hardware: 'A6000',
  },
  ...nearestChange.map(([candidates, value, , data]): PaperValue => ({
    source: `${PAPER_2}, Table 7`,
    trust: 'S',
    strategies: NEAREST,
    quantity: 'distanceChange',
    value,
    batchSize: null,
    candidates,
    data,
    hardware: null,
  })),
  ...gaussianLinear.map(([batchSize, value]): PaperValue => ({
    source: 'SciPy, this project',
    trust: 'D',
    strategies: EXACT,
    quantity: 'distanceChange',
    value,
    batchSize,
    candidates: 1,
    data: 'Gaussian, RMS 0.5, 3072 dims',
    hardware: null,
    gaussian: { imageRms: 0.5, dims: 3072 },
  })),
  ...[0.5, 1].flatMap((imageRms, at) =>
    gaussianNearest.map(([candidates, ...changes]): PaperValue => ({
      source: 'NumPy, this project',
      trust: 'D',
      strategies: NEAREST,
      quantity: 'distanceChange',
      value: changes[at],
      batchSize: null,
      candidates,
      data: `Gaussian, RMS ${imageRms}, 3072 dims`,
      hardware: null,
      gaussian: { imageRms, dims: 3072 },
    })),
  ),
]

const STABLE_DIFFUSION_BASE = 'diffusers text_to_image'

/** The experiments of paper 1; of the P rows the resolution is S. */
export const PAPER_SETTINGS: readonly PaperSetting[] = (
  [
    ['CM CIFAR-10', 'CIFAR-10', '32', '512', '4 A6000', 'openai/consistency_models_cifar10 (JAX)', 'S'],
    ['CM CelebA', 'CelebA', null, '1024', '8 A800', 'openai/consistency_models', 'S'],
    ['CM Tiny-ImageNet', 'Tiny-ImageNet', null, '2048', '16 A800', 'openai/consistency_models', 'S'],
    ['DDIM CIFAR-10', 'CIFAR-10', '32', '256', '1 A5000', 'tqch/ddpm-torch', 'S'],
    ['SD unconditional', '10 % of ImageNet', '256', '512', '4 A6000', STABLE_DIFFUSION_BASE, 'S'],
    ['SD class-conditional', 'ImageNet-1k', '256', '2048 = 256 x 8', '8 A800', STABLE_DIFFUSION_BASE, 'P'],
    ['SD fine-tuned', 'ImageNet-1k', '256', '512 = 128 x 4', '4 A6000', STABLE_DIFFUSION_BASE, 'P'],
  ] as const
).map(([experiment, data, resolution, batch, hardware, codeBase, trust]) => {
  return { experiment, data, resolution, batch, hardware, codeBase, source: `${PAPER_1}, Table 1`, trust }
})

/** Of recipes, rows and columns that a source gives a number for; what is not here was not found. */
export const PAPER_RESULTS: readonly PaperResult[] = [
  ...byBatch('paper1-table2', 'distance change, %', 'distanceChange', EXACT),
  ...byBatch('paper1-table2', 'assignment, ms', 'assignMs', EXACT),
  ...resultsOf('paper1-figure1', `${PAPER_1}, caption of Fig. 1`, 'C', [['paper-linear', 'distance change, %', -2]]),
  ...resultsOf('paper1-figure4', `${PAPER_1}, abstract ("up to")`, 'P', [
    ['CIFAR-10 immiscible', 'speed', 3],
    ['CelebA immiscible', 'speed', 1.3],
  ]),
  ...resultsOf('paper1-figure4', `${PAPER_1}, Sec. 5`, 'S', [['Tiny-ImageNet immiscible', 'speed', 1.2]]),
  ...byBatch('paper2-table2', 'LA, ms', 'assignMs', EXACT),
  ...byBatch('paper2-table2', 'KNN, ms', 'assignMs', NEAREST),
  ...resultsOf('paper2-table3', `${PAPER_2}, Table 3`, 'S', [
    ['vanilla', 'DDIM', 6.63],
    ['KNN', 'DDIM', 4.45],
    ['LA', 'DDIM', 5.14],
    ['vanilla', 'FM', 4.92],
    ['KNN', 'FM', 3.56],
    ['LA', 'FM', 5.02],
    ['vanilla', 'CM', 10.22],
    ['KNN', 'CM', 9.16],
    ['LA', 'CM', 8.54],
  ]),
  ...resultsOf('paper2-table4', `${PAPER_2}, Table 4`, 'S', [
    ['base', '100k', 6.1],
    ['base', '200k', 5.07],
    ['base with ID', '100k', 4.28],
    ['base with ID', '200k', 3.68],
    ['reference 14', '100k', 6.43],
    ['reference 14', '200k', 5.38],
    ['reference 14 with ID', '100k', 4.75],
    ['reference 14 with ID', '200k', 3.93],
    ['reference 4', '100k', 5.58],
    ['reference 4', '200k', 5.41],
    ['reference 4 with ID', '100k', 4.26],
    ['reference 4 with ID', '200k', 3.86],
  ]),
  ...resultsOf(
    'paper2-table7',
    `${PAPER_2}, Table 7`,
    'S',
    nearestChange.map(([candidates, value, model]) => [`${model}, k = ${candidates}`, 'distance change, %', percent(value)]),
  ),
  ...resultsOf('paper2-table8', `${PAPER_2}, Table 8`, 'S', [
    ['k = 2', 'best FID', 4.94],
    ['k = 4', 'best FID', 4.77],
    ['k = 8', 'best FID', 4.45],
    ['k = 16', 'best FID', 4.85],
    ['k = 32', 'best FID', 5.19],
    ['baseline', 'best FID', 6.63],
  ]),
  ...resultsOf('paper2-section4-2', `${PAPER_2}, Sec. 4.2`, 'S', [
    ['vanilla', 'distance', 0.92],
    ['KNN', 'distance', 2.17],
    ['LA', 'distance', 4.11],
  ]),
  ...resultsOf('paper2-section4-3', `${PAPER_2}, Sec. 4.3`, 'S', [
    ['independent', 'KL', 48.25],
    ['nearest of 8', 'KL', 48.6],
  ]),
]

function resultsOf(
  recipe: string,
  source: string,
  trust: PaperResult['trust'],
  cells: readonly (readonly [row: string, column: string, value: number])[],
): PaperResult[] {
  return cells.map(([row, column, value]) => ({ recipe, row, column, value, source, trust }))
}

/** Values of the papers as a column over batch sizes: shares as %. */
function byBatch(recipe: string, column: string, quantity: PaperValue['quantity'], strategies: readonly string[]): PaperResult[] {
  return PAPER_VALUES.flatMap((known) => {
    const { source, trust, value, batchSize } = known
    if (trust === 'D' || known.quantity !== quantity || known.strategies !== strategies || batchSize === null) return []
    return [{ recipe, row: String(batchSize), column, value: quantity === 'distanceChange' ? percent(value) : value, source, trust }]
  })
}

/** Without what binary fractions add. */
function percent(share: number): number {
  return Number((100 * share).toPrecision(12))
}
