/** What a config asks of its data set: labels to be told, images that its network can halve, pixels where only pixels will do. */
import type { ConfigProblem, TrainConfig } from '../protocol/index.ts'
import type { Dataset } from './dataset/dataset.ts'
import { checkPretrained } from './pretrained.ts'
import { checkVae } from './vae.ts'

/** What of a config does not fit the data. */
export function checkData(config: TrainConfig, dataset: Dataset): ConfigProblem[] {
  return [...checkPadding(config.dataset, dataset), ...checkLatents(config, dataset), ...checkNetwork(config, dataset)]
}

/** A reflection has no second bank to come back from. */
function checkPadding({ paddingMode, randomCropPadding }: TrainConfig['dataset'], { name, imageShape }: Dataset): ConfigProblem[] {
  const [, height, width] = imageShape
  const most = Math.min(height, width) - 1
  if (paddingMode !== 'reflect' || randomCropPadding <= most) return []
  const message = `expected at most ${most} with paddingMode 'reflect' and the ${height} x ${width} of ${name}, got ${randomCropPadding}`
  return [{ path: 'dataset.randomCropPadding', message }]
}

/** A latent cannot be cropped or mirrored as pixels can: its neighbours are not those of a picture. */
function checkLatents({ dataset: section, evaluation, objective }: TrainConfig, dataset: Dataset): ConfigProblem[] {
  const vae = 'vae' in section && section.vae !== null ? checkVae(section.vae, dataset) : []
  if (dataset.dtype !== 'float32') return vae
  const { horizontalFlip, randomCropPadding, randomResizedCrop } = section
  const expect = (holds: boolean, path: string, expected: string, why: string, got: unknown): ConfigProblem[] =>
    holds ? [] : [{ path, message: `expected ${expected}, since ${dataset.name} holds latents${why}, got ${String(got)}` }]
  const { hasMirrored } = dataset.stored.record
  return [
    ...expect(!horizontalFlip || hasMirrored, 'dataset.horizontalFlip', 'false', ' without those of the mirror images', horizontalFlip),
    ...expect(randomCropPadding === 0, 'dataset.randomCropPadding', '0', ', which cannot be cropped', randomCropPadding),
    ...expect(randomResizedCrop === 1, 'dataset.randomResizedCrop', '1', ', which cannot be cropped', randomResizedCrop),
    ...expect(
      !('loss' in objective && objective.loss === 'lpips'),
      'objective.loss',
      "'l2' or 'pseudo_huber'",
      ' and lpips looks at pixels',
      'lpips',
    ),
    ...expect(evaluation.everySteps === 0, 'evaluation.everySteps', '0', ', and samples are compared as pixels', evaluation.everySteps),
    ...vae,
  ]
}

function checkNetwork({ conditioning, network }: TrainConfig, dataset: Dataset): ConfigProblem[] {
  if (conditioning.classLabels && !dataset.labels) {
    return [{ path: 'conditioning.classLabels', message: `expected false, since ${dataset.name} has no labels, got true` }]
  }
  if (network.kind === 'pretrained') return checkPretrained(network.initFrom, dataset, conditioning.classLabels ? dataset.numClasses : 0)
  if (network.kind === 'module') return []
  const [, height, width] = dataset.imageShape
  const numLevels = network.blockOutChannels.length
  const side = 2 ** (numLevels - 1)
  if (height % side === 0 && width % side === 0) return []
  const got = `${height} x ${width} of ${dataset.name}`
  const message = `expected at most as many levels as images can be halved for: ${numLevels} need sides divisible by ${side}, got ${got}`
  return [{ path: 'network.blockOutChannels', message }]
}
