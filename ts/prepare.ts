/** From what a user gives to what a run needs: the checked config, its data set, its strategy. Nothing is written yet. */
import { resolve } from 'node:path'
import { resolveConfig, type TrainConfig, type TrainConfigInput } from '../protocol/index.ts'
import type { AssignmentStrategy } from './assignment/assignment.ts'
import { checkData } from './conditions.ts'
import { isOwnDataset, sectionOfOwn, type OwnDataset } from './dataset/custom.ts'
import type { Dataset } from './dataset/dataset.ts'
import { openDataset, openOwn, type BuildOptions } from './dataset/table.ts'
import { ConfigError } from './errors.ts'
import { pinFiles } from './pin.ts'
import { checkPoolFits } from './pipeline/source.ts'
import { isOwnStrategy, prepareStrategy, sectionOf, type OwnStrategy } from './strategy.ts'

/** The config of a run, where `assignment` may also be a strategy object of your own, which runs on this thread, and `dataset` a data set of your own. */
export type TrainInput = Omit<TrainConfigInput, 'assignment' | 'dataset'> & {
  readonly dataset: TrainConfigInput['dataset'] | OwnDataset
  readonly assignment?: TrainConfigInput['assignment'] | OwnStrategy
}

/** A run goes on from any folder. */
function withAbsolutePaths(section: TrainConfig['dataset']): TrainConfig['dataset'] {
  const dataset = { ...section }
  if ('path' in dataset && dataset.path !== null) dataset.path = resolve(dataset.path)
  if (dataset.kind === 'arrays') {
    if (dataset.vae !== null) dataset.vae = resolve(dataset.vae)
    if (dataset.labels?.endsWith('.npy')) dataset.labels = resolve(dataset.labels)
  }
  return dataset
}

/** A section alone, checked and complete. Throws a ConfigError. */
export function resolveDataset(dataset: TrainConfigInput['dataset']): TrainConfig['dataset'] {
  const resolved = resolveConfig({ dataset, outputDir: 'unused' })
  if ('problems' in resolved) throw new ConfigError(resolved.problems)
  return withAbsolutePaths(resolved.config.dataset)
}

/** The checked config, files pinned and paths absolute; and what of the input is no part of it. Throws a ConfigError. */
export function resolveInput(input: TrainInput): { config: TrainConfig; ownStrategy?: OwnStrategy; ownDataset?: OwnDataset } {
  const { assignment, dataset } = input
  const ownStrategy = isOwnStrategy(assignment) ? assignment : undefined
  const ownDataset = isOwnDataset(dataset) ? dataset : undefined
  const resolved = resolveConfig({
    ...input,
    ...(ownStrategy && { assignment: sectionOf(ownStrategy) }),
    ...(ownDataset && { dataset: sectionOfOwn(ownDataset) }),
  })
  if ('problems' in resolved) throw new ConfigError(resolved.problems)
  const files = pinFiles(resolved.config)
  const config = { ...files, dataset: withAbsolutePaths(files.dataset) }
  if (config.assignment.kind === 'custom' && !ownStrategy) {
    throw new ConfigError([
      { path: 'assignment', message: `expected the strategy object '${config.assignment.name}' itself, got only its name` },
    ])
  }
  return { config, ...(ownStrategy && { ownStrategy }), ...(ownDataset && { ownDataset }) }
}

/** The checked config, its data, and the caller's strategy object where there is one. */
export async function prepare(
  input: TrainInput,
  options: BuildOptions = {},
): Promise<{ config: TrainConfig; dataset: Dataset; strategy: AssignmentStrategy | undefined }> {
  const { config: pinned, ownStrategy, ownDataset } = resolveInput(input)
  const opening = { ...options, memoryBytes: pinned.pipeline.datasetBytes }
  const dataset = ownDataset ? (await openOwn(ownDataset, opening)).dataset : await openDataset(pinned.dataset, opening)
  const config = pinned.dataset.kind === 'custom' ? { ...pinned, dataset: { ...pinned.dataset, sha256: dataset.sha256 } } : pinned
  const { numImages: numHeldOut } = config.validation
  if (numHeldOut >= dataset.numImages) {
    const message = `expected less than the ${dataset.numImages} images of ${dataset.name}, since those are never trained on, got ${numHeldOut}`
    throw new ConfigError([{ path: 'validation.numImages', message }])
  }
  const numTrained = dataset.numImages - numHeldOut
  const [field, size] =
    config.globalBatchSize > numTrained ? ['globalBatchSize', config.globalBatchSize] : ['assignment.poolSize', config.assignment.poolSize]
  if (size > numTrained) {
    const held = numHeldOut > 0 ? ` that are left of ${dataset.numImages} with ${numHeldOut} held out (validation.numImages)` : ''
    throw new ConfigError([{ path: field, message: `expected at most the ${numTrained} images of ${dataset.name}${held}, got ${size}` }])
  }
  const problems = checkData(config, dataset)
  if (problems.length > 0) throw new ConfigError(problems)
  const strategy = await prepareStrategy(config, dataset, ownStrategy)
  checkPoolFits(config, dataset, strategy)
  return { config, dataset, strategy }
}
