/** What a config asks of its data set: labels to be told, images that its network can halve. */
import type { ConfigProblem, TrainConfig } from '../protocol/index.ts'
import type { Dataset } from './dataset/dataset.ts'
import { checkPretrained } from './pretrained.ts'

/** What of a config does not fit the data. */
export function checkData({ conditioning, network }: TrainConfig, dataset: Dataset): ConfigProblem[] {
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
