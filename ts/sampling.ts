/** How a trained pipeline may be sampled, and where it lies. */
import { existsSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { samplingConfig, type TrainConfig } from '../protocol/index.ts'
import { readRunFolder } from './report/run-folder.ts'

type Sampling = TrainConfig['sampling']

/** Where an option is not given it is as the run sampled (the seed: 0). One that the model's sampler does not have is refused. */
export interface SamplingOptions {
  readonly numImages?: number
  readonly numInferenceSteps?: number
  readonly seed?: number
  /** Of ddim: 0 is DDIM, 1 is DDPM. Above 0 does not fit a model that was trained on assigned noise: that is a warning. */
  readonly eta?: number
  /** Of ddim. */
  readonly timestepSpacing?: Sampling['timestepSpacing']
  /** Of ddim. */
  readonly useClippedModelOutput?: boolean
  /** Of flow. */
  readonly solver?: Sampling['solver']
  /** Of a class-conditional model: 1 is none, 0 the unconditional model. */
  readonly guidanceScale?: number
  /** Run the code of the user's own network that lies in a pipeline folder. Default: in a run folder whose config has such a network yes; elsewhere no. */
  readonly trustRemoteCode?: boolean
  readonly onSetup?: (line: string) => void
}

/** trustRemoteCode: unless told otherwise. */
export interface Pipeline {
  readonly pipeline: string
  readonly numImages: number
  readonly trustRemoteCode: boolean
}

/** Of a run folder, or a pipeline folder wherever it is. */
export function findPipeline(folder: string): Pipeline {
  if (existsSync(join(folder, 'model_index.json'))) {
    return { pipeline: resolve(folder), numImages: samplingConfig.parse({}).numImages, trustRemoteCode: false }
  }
  const { path, config } = readRunFolder(folder)
  return { pipeline: join(path, 'pipeline'), numImages: config.sampling.numImages, trustRemoteCode: hasOwnNetwork(config) }
}

/** Then its code is what the run was told to run; no other run has code in its pipeline. */
export const hasOwnNetwork = ({ network }: TrainConfig): boolean => network.kind === 'module'

/** What is asked of the sampler, as the worker takes it: null is as the record in the pipeline folder has it. */
export function toSettings(options: SamplingOptions): object {
  const { numInferenceSteps = null, eta = null, timestepSpacing = null, useClippedModelOutput = null } = options
  const { solver = null, guidanceScale = null } = options
  return { numInferenceSteps, eta, timestepSpacing, useClippedModelOutput, solver, guidanceScale }
}
