/** What others report for what `analyzeAssignment` measures: each value with its source, and how sure it is that the source says so. */

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

/** A number of a table or figure about trained models, as the source has it. */
export interface PaperResult {
  /** Of the recipe that it stands in: `paper2-table8`. */
  readonly recipe: string
  /** By the labels of the recipe's table. */
  readonly row: string
  readonly column: string
  readonly value: number
  readonly source: string
  /** As of PaperValue. */
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
/** Candidates, distance change, data. */
const nearestChange = [
  [8, -0.0158, 'CIFAR-10, DDIM, 3072 dims'],
  [4, -0.011, 'CIFAR-10, flow matching, 3072 dims'],
  [4, -0.011, 'CIFAR-10, consistency model, 3072 dims'],
  [64, -0.0232, 'ImageNet latents, Stable Diffusion, 4096 dims'],
] as const
const gaussianLinear: Series = [
  [128, -0.0178],
  [256, -0.0199],
  [512, -0.0211],
  [1024, -0.0226],
]
/** By candidates. */
const gaussianNearest: readonly (readonly [imageRms: number, series: Series])[] = [
  [
    0.5,
    [
      [2, -0.0078],
      [4, -0.0133],
      [8, -0.0181],
      [16, -0.0215],
      [32, -0.0261],
    ],
  ],
  [
    1,
    [
      [2, -0.006],
      [4, -0.011],
      [8, -0.0161],
      [16, -0.02],
      [32, -0.023],
    ],
  ],
]

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
  ...nearestChange.map(([candidates, value, data]): PaperValue => ({
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
  ...gaussianNearest.flatMap(([imageRms, series]) =>
    series.map(([candidates, value]): PaperValue => ({
      source: 'NumPy, this project',
      trust: 'D',
      strategies: NEAREST,
      quantity: 'distanceChange',
      value,
      batchSize: null,
      candidates,
      data: `Gaussian, RMS ${imageRms}, 3072 dims`,
      hardware: null,
      gaussian: { imageRms, dims: 3072 },
    })),
  ),
]

/** Of recipes, rows and columns that a source gives a number for; what is not here was not found. */
export const PAPER_RESULTS: readonly PaperResult[] = [
  ...(
    [
      ['k = 2', 4.94],
      ['k = 4', 4.77],
      ['k = 8', 4.45],
      ['k = 16', 4.85],
      ['k = 32', 5.19],
      ['baseline', 6.63],
    ] as const
  ).map(([row, value]): PaperResult => ({
    recipe: 'paper2-table8',
    row,
    column: 'best FID',
    value,
    source: `${PAPER_2}, Table 8`,
    trust: 'S',
  })),
]
