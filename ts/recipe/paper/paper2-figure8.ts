/** Paper 2, Figure 8: images multiplied by a constant and noise left as it is, DDIM on CIFAR-10. */
import { bestReport } from '../best-report.ts'
import type { Recipe } from '../recipe.ts'
import { DDIM } from '../settings.ts'
import { CURVES_NOT_FOUND, unknownAtPaperScale, UNKNOWN_DDIM, UNKNOWN_INFERENCE_STEPS } from '../unknown.ts'

/** Of CIFAR-10, whose pixels have a standard deviation of 0.5 in [-1, 1]: 0.5, 1.0 and 2.0. */
const SCALES = [1, 2, 4]

export const paper2Figure8: Recipe = {
  id: 'paper2-figure8',
  title: 'DDIM by image scale',
  source: 'Li et al. 2025, arXiv 2505.18521, Fig. 8 and Sec. 5.6',
  unknown: (scale) =>
    unknownAtPaperScale(scale, UNKNOWN_DDIM, UNKNOWN_INFERENCE_STEPS, 'whether the noise was assigned as well: noise as drawn is taken'),
  arms(scale) {
    const settings = DDIM[scale]
    return SCALES.map((imageScale) => ({
      label: `scale ${imageScale}`,
      settings: { ...settings, dataset: { ...settings.dataset, imageScale }, assignment: 'independent' },
    }))
  },
  report: (context) =>
    bestReport(context, () => 'scale 1', [
      CURVES_NOT_FOUND,
      "The paper names the arms by the standard deviation of CIFAR-10's pixels: 0.5, 1.0 and 2.0; the larger, the lower and the earlier its FID.",
      'A scale of c is the same as a log-SNR higher by 2 ln c at every timestep.',
    ]),
}
