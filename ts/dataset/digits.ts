/** Handwritten digits: 1,797 grey 8x8 images with labels, from UCI optdigits (Alpaydin and Kaynak 1998). */
import type { Dataset } from './dataset.ts'
import { readEmbedded } from './embedded.ts'
import { datasetOf } from './stored.ts'

/** @param folder where the embedded files are; for tests. */
export function loadDigits(folder?: URL): Dataset {
  const { sidecar, pixels, labels } = readEmbedded('digits', 'digits.u8.bin', folder)
  return datasetOf(sidecar.name, sidecar.shape, pixels, labels, sidecar.numClasses)
}
