/** What is trained: one schema per objective, with the values behind its presets. */
import { z } from 'zod'
import { absolutePath, pythonModule } from './file.ts'
import { jsonOptions } from './json.ts'

const positiveInt = z.int32().min(1)

export const ddimObjective = z
  .strictObject({
    kind: z.literal('ddim'),
    predictionType: z
      .enum(['epsilon', 'v_prediction'])
      .default('epsilon')
      .describe('what the network predicts: the noise, or v (Salimans & Ho 2022)'),
    numTrainTimesteps: positiveInt.default(1000).describe('timesteps of the schedule'),
    betaSchedule: z.enum(['linear', 'scaled_linear', 'squaredcos_cap_v2']).default('linear').describe('squaredcos_cap_v2: cosine'),
    betaStart: z.number().positive().lt(1).default(0.0001).describe('beta of the first timestep; not of squaredcos_cap_v2'),
    betaEnd: z.number().positive().lt(1).default(0.02).describe('beta of the last timestep; not of squaredcos_cap_v2'),
    snrGamma: z.number().positive().nullable().default(null).describe('min-SNR weighting (Hang et al. 2023), 5 in the paper; null: none'),
  })
  .meta({ id: 'DdimObjective' })
  .describe('the DDPM regression, sampled by DDIM')

export const consistencyObjective = z
  .strictObject({
    kind: z.literal('consistency'),
    preset: z
      .enum(['improved', 'original'])
      .describe('the values of the fields that are not given: Song & Dhariwal 2023, or Song et al. 2023 as on CIFAR-10'),
    sigmaMin: z.number().positive().describe('the lowest noise level'),
    sigmaMax: z.number().positive().describe('the highest noise level'),
    rho: z.number().positive().describe('how the levels crowd towards the lowest (Karras et al. 2022)'),
    sigmaData: z.number().positive().describe('standard deviation of the images'),
    discretization: z.enum(['sqrt', 'doubling']).describe('how the number of levels N(k) grows from s0 to s1'),
    s0: z.int32().min(2).describe('levels at the first update'),
    s1: z.int32().min(2).describe('the most levels'),
    discretizationSteps: positiveInt.describe(
      'K of N(k): the optimiser updates over which N grows; later it stays. Default: maxTrainSteps',
    ),
    levelSampling: z.enum(['uniform', 'lognormal']).describe('how a level is drawn for each image'),
    pMean: z.number().describe('of lognormal: mean of ln sigma'),
    pStd: z.number().positive().describe('of lognormal: standard deviation of ln sigma'),
    targetEma: z.enum(['adaptive', 'none']).describe('none: the target network is the network itself, without gradient'),
    startEma: z.number().min(0).lt(1).describe('mu0 of the adaptive target EMA'),
    weighting: z.enum(['uniform', 'inverse_gap']).describe('inverse_gap: 1 / (sigma_{i+1} - sigma_i)'),
    loss: z.enum(['l2', 'pseudo_huber', 'lpips']).describe('distance between the two outputs'),
    huberC: z.number().positive().nullable().describe('null: 0.00054 sqrt(d)'),
    lpipsWeights: z.string().nullable().describe("a safetensors file of lpips.LPIPS(net='vgg').state_dict(), for loss lpips"),
    lpipsSha256: z.string().nullable().describe('of that file, taken when the run is made'),
  })
  .meta({ id: 'ConsistencyObjective' })
  .describe('consistency training, sampled in one step or a few')

export const flowObjective = z
  .strictObject({
    kind: z.literal('flow'),
    timeSampling: z.enum(['uniform', 'logit_normal']).default('uniform').describe('how a time is drawn for each image'),
    logitMean: z.number().default(0).describe('of logit_normal'),
    logitStd: z.number().positive().default(1).describe('of logit_normal'),
    numTrainTimesteps: positiveInt.default(1000).describe('of flow: the network is told t times this'),
  })
  .meta({ id: 'FlowObjective' })
  .describe('rectified flow, sampled by Euler or dopri5')

export const moduleObjective = z
  .strictObject({
    kind: z.literal('module'),
    module: z
      .string()
      .min(1)
      .describe('a Python file, or the dotted name of a module that the worker can import; its build() makes the objective'),
    sha256: z.string().nullable().default(null).describe('of the file, taken when the run is made; null for a dotted name'),
    options: jsonOptions.describe('handed to build()'),
  })
  .meta({ id: 'ModuleObjective' })
  .describe("an objective of the user's own")

export const objectiveConfig = z
  .discriminatedUnion('kind', [ddimObjective, consistencyObjective, flowObjective, moduleObjective])
  .meta({ id: 'ObjectiveConfig' })

export type ObjectiveConfig = z.infer<typeof objectiveConfig>
type Consistency = z.infer<typeof consistencyObjective>

const KARRAS_LEVELS = { sigmaMin: 0.002, sigmaMax: 80, rho: 7, sigmaData: 0.5 }

/** The values behind each preset of the consistency objective. What one of them does not use is at the other's value. */
export const CONSISTENCY_PRESETS: Record<Consistency['preset'], Omit<Consistency, 'kind' | 'preset' | 'discretizationSteps'>> = {
  improved: {
    ...KARRAS_LEVELS,
    discretization: 'doubling',
    s0: 10,
    s1: 1280,
    levelSampling: 'lognormal',
    pMean: -1.1,
    pStd: 2,
    targetEma: 'none',
    startEma: 0.9,
    weighting: 'inverse_gap',
    loss: 'pseudo_huber',
    huberC: null,
    lpipsWeights: null,
    lpipsSha256: null,
  },
  original: {
    ...KARRAS_LEVELS,
    discretization: 'sqrt',
    s0: 2,
    s1: 150,
    levelSampling: 'uniform',
    pMean: -1.1,
    pStd: 2,
    targetEma: 'adaptive',
    startEma: 0.9,
    weighting: 'uniform',
    loss: 'l2',
    huberC: null,
    lpipsWeights: null,
    lpipsSha256: null,
  },
}

type Section<T extends z.ZodType> = z.input<T>
type ConsistencyInput = { kind: 'consistency' } & Partial<Section<typeof consistencyObjective>>

/** What a user writes: a section, fields with defaults left out, its name alone, or `{ module }`. */
export type ObjectiveInput =
  | Section<typeof ddimObjective>
  | ConsistencyInput
  | Section<typeof flowObjective>
  | Section<typeof moduleObjective>
  | Omit<Section<typeof moduleObjective>, 'kind'>
  | 'ddim'
  | 'consistency'
  | 'flow'

/** What was written as a section; what makes no sense stays as it is, for the schema to report. */
export function expandObjective(written: unknown, defaults: { readonly maxTrainSteps: number }): unknown {
  const section = typeof written === 'string' ? { kind: written } : written
  if (typeof section !== 'object' || section === null || Array.isArray(section)) return section
  const given = section as Record<string, unknown>
  const isModule = given['kind'] === 'module' || (given['kind'] === undefined && 'module' in given)
  if (isModule && 'module' in given) return { ...given, kind: 'module', module: pythonModule(given['module']) }
  if (given['kind'] !== 'consistency') return given
  const preset = given['preset'] ?? 'improved'
  const values = Object.hasOwn(CONSISTENCY_PRESETS, preset as PropertyKey)
    ? CONSISTENCY_PRESETS[preset as Consistency['preset']]
    : CONSISTENCY_PRESETS.improved
  const lpipsWeights = absolutePath(given['lpipsWeights'] ?? values.lpipsWeights)
  return { ...values, discretizationSteps: defaults.maxTrainSteps, ...given, preset, lpipsWeights }
}
