/** What the sources at hand do not say of what several recipes share, and what is taken in its place. */
import type { Scale } from './recipe.ts'

const SEEDS = 'the number of seeds'

/** DDIM on CIFAR-10, without the number of inference steps. */
export const UNKNOWN_DDIM = [
  'learning rate, its warm-up, EMA and dropout: those of the code base, tqch/ddpm-torch, are taken',
  'the number of training steps: those of paper 1, Table 5 (163.8k) are taken',
  'the tool behind the FID: the code base compares images that are not rounded with the statistics of TTUR, by the network of pytorch-fid; here rounded images, resized as pytorch-fid does, are compared with the training images',
  SEEDS,
]

export const UNKNOWN_INFERENCE_STEPS = 'the number of inference steps behind the FID: 50, the default of the code base, is taken'

export const UNKNOWN_FLOW = ['which of the code base, torchcfm, the vanilla runs are: independent noise ("icfm") is taken', SEEDS]

const CONSISTENCY = [
  'the updates over which the number of noise levels grows: the 800,000 of the code base are taken',
  'whether noise is assigned over the whole batch or on each device: the whole batch is taken',
  "the number of training steps: 100,000 are taken, as under the papers' pictures of samples of CIFAR-10 and CelebA; of Tiny-ImageNet nothing was found",
  "the tool behind the FID: clean-fid's legacy_tensorflow, as in the code base of flow matching, is taken",
  SEEDS,
]

export const UNKNOWN_CONSISTENCY = [
  "learning rate and EMA: those of the code base's launch line are taken",
  "the code base's network has FIR resampling and a residual progressive input, which diffusers has no blocks for: its plan from diffusers' blocks is taken",
  ...CONSISTENCY,
]

export const UNKNOWN_CONSISTENCY_64 = [
  'the settings on CelebA and Tiny-ImageNet: those of the ImageNet-64 line of the code base, openai/consistency_models, are taken, without its start from a teacher, in float32 rather than float16, and with one EMA (0.9999) of its three',
  'resolution and crop: 64 x 64, and the middle 178 pixels of CelebA, are taken',
  'which copy of Tiny-ImageNet: zh-plus/tiny-imagenet on the Hub is taken',
  ...CONSISTENCY,
]

/** Each once, at the scale of the paper; the small scale copies nothing that could be unknown. */
export function unknownAtPaperScale(scale: Scale, ...lists: readonly (string | readonly string[])[]): readonly string[] {
  return scale === 'paper' ? [...new Set(lists.flat())] : []
}

export const NUMBERS_NOT_FOUND = "The numbers of the paper's table were not found: these are ours alone."
export const CURVES_NOT_FOUND = "The values of the paper's curves were not found: these are ours alone."
export const SPEED_IN_STEPS = "The paper's speed is a ratio of training steps, not of time."
