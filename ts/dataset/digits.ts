/** Handwritten digits: 1,797 grey 8x8 images with labels, from UCI optdigits (Alpaydin and Kaynak 1998). */
import type { Dataset } from './dataset.ts'
import { loadEmbedded } from './embedded.ts'

export function loadDigits(): Dataset {
  return loadEmbedded('digits')
}
