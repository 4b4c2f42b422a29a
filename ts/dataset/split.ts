/** Which images of a data set are trained on, and which are held out to measure the loss on. */
import { shuffledIndex } from '../random/shuffle.ts'
import { STREAM } from '../random/stream.ts'

/** Numbers of the whole data set: images keep them, so that what belongs to one by its number stays with it. */
export interface Split {
  /** In order. */
  readonly train: Int32Array
  /** The first of a keyed shuffle: asking for more of them holds out the same ones and others. */
  readonly heldOut: Int32Array
}

/** A function of its arguments alone: every thread, every resume has the same. 0 <= numHeldOut <= numImages. */
export function splitImages(numImages: number, numHeldOut: number, seed: number): Split {
  const heldOut = Int32Array.from({ length: numHeldOut }, (_, position) => shuffledIndex(seed, 0, numImages, position, STREAM.heldOut))
  const isHeldOut = new Uint8Array(numImages)
  for (const image of heldOut) isHeldOut[image] = 1
  const train = new Int32Array(numImages - numHeldOut)
  for (let image = 0, at = 0; image < numImages; image++) if (!isHeldOut[image]) train[at++] = image
  return { train, heldOut }
}
