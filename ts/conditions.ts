/** What a config asks of its data set: labels to be told, images that its network can halve. */
import type { ConfigProblem, TrainConfig } from '../protocol/index.ts'
import type { Dataset } from './dataset/dataset.ts'
import { checkPretrained } from './pretrained.ts'

/** What of a config does not fit the data. */
export function checkData(config: TrainConfig, dataset: Dataset): ConfigProblem[] {
  return [...checkPadding(config.dataset, dataset), ...checkNetwork(config, dataset)]
}

/** A reflection has no second bank to come back from. */
function checkPadding({ paddingMode, randomCropPadding }: TrainConfig['dataset'], { name, imageShape }: Dataset): ConfigProblem[] {
  const [, height, width] = imageShape
  const most = Math.min(height, width) - 1
  if (paddingMode !== 'reflect' || randomCropPadding <= most) return []
  const message = `expected at most ${most} with paddingMode 'reflect' and the ${height} x ${width} of ${name}, got ${randomCropPadding}`
  return [{ path: 'dataset.randomCropPadding', message }]
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
