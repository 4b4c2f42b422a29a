/** What an arm's network is built for: the shape of its images, known without its data. */
import type { TrainSettings } from './recipe.ts'

/** An arm's network and the images that it is built for; all arms that share them cost as much a pass. */
export interface NetworkShape {
  readonly network: NonNullable<TrainSettings['network']>
  readonly imageShape: readonly [channels: number, height: number, width: number]
  readonly numClasses: number
}

export function networkShapeOf({ network = 'tiny', dataset }: TrainSettings): NetworkShape {
  return { network, ...shapeOf(dataset as { kind: string; resolution?: number }) }
}

function shapeOf({ kind, resolution = 64 }: { kind: string; resolution?: number }): Omit<NetworkShape, 'network'> {
  switch (kind) {
    case 'digits':
      return { imageShape: [1, 8, 8], numClasses: 10 }
    case 'cifar10':
      return { imageShape: [3, 32, 32], numClasses: 10 }
    default:
      return { imageShape: [3, resolution, resolution], numClasses: 0 }
  }
}
