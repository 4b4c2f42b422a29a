/** describeTraining(): what a config takes in arithmetic and memory, before anything is trained. */
import { openDataset } from './dataset/table.ts'
import { resolveInput, type TrainInput } from './prepare.ts'
import { runTool } from './worker/tool.ts'

export interface DescribeOptions {
  /** Channels, height, width of the images. Default: those of the data set, which is opened for them unless it is an object of your own. */
  readonly imageShape?: readonly [number, number, number]
  /** Beside `imageShape`, of a data set with labels; default 0. */
  readonly numClasses?: number
  /** Progress of the one-time installation of Python packages, a line at a time. */
  readonly onSetup?: (line: string) => void
}

export interface TrainingCost {
  readonly numParameters: number
  /** Of one image through the network, a multiplication and an addition counted as two. A pass back takes about twice as many; a consistency objective goes forward twice. */
  readonly forwardFlops: number
  /** What stays in memory for the whole training, float32. */
  readonly stateBytes: {
    readonly weights: number
    readonly gradients: number
    /** Two moments of each weight. */
    readonly optimizer: number
    readonly ema: number
    /** Of an objective that has a target network. */
    readonly target?: number
    readonly total: number
  }
  /**
   * What each image of a micro-batch adds to what the forward pass keeps for the pass back, in the run's precision: counted without data, and
   * without what one device or another takes besides.
   */
  readonly activationBytes: number
}

/** Rejects with a ConfigError where the config is wrong, a WorkerError where the network does not fit the images. Nothing is written or trained. */
export async function describeTraining(input: TrainInput, options: DescribeOptions = {}): Promise<TrainingCost> {
  const { config, ownDataset } = resolveInput(input)
  const { imageShape, numClasses = 0, onSetup = () => undefined } = options
  const data = imageShape
    ? { imageShape, numClasses, dtype: 'uint8' }
    : (ownDataset ?? (await openDataset(config.dataset, { memoryBytes: 0 })))
  const isLatent = 'dtype' in data && data.dtype === 'float32'
  const request = { config, imageShape: data.imageShape, numClasses: data.numClasses ?? 0, isLatent }
  return (await runTool('describe', request, { onSetup })) as TrainingCost
}
