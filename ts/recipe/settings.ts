/** The papers' training settings (Li et al. 2024, Table 1; the code bases they name) and those of the small scale, as far as they are known. */
import type { Scale, TrainSettings } from './recipe.ts'

/** DDIM on CIFAR-10: tqch/ddpm-torch's cifar10.json at the papers' batch size. EMA there warms up as (1 + n) / (10 + n), as ours does. */
export const PAPER_DDIM = {
  dataset: { kind: 'cifar10', horizontalFlip: true },
  objective: { kind: 'ddim' },
  network: 'ddpm-cifar10',
  optimizer: { kind: 'adam', learningRate: 0.0002, lrWarmupSteps: 5000, adamWeightDecay: 0 },
  ema: { decay: 0.9999 },
  globalBatchSize: 256,
  maxTrainSteps: 163_800,
  sampling: { everySteps: 0, numInferenceSteps: 50, useClippedModelOutput: true },
  evaluation: { everySteps: 23_400, numImages: 50_000 },
  checkpoint: { everySteps: 23_400 },
} satisfies TrainSettings

/** Flow on CIFAR-10: torchcfm's example at the papers' batch size; its EMA does not warm up. */
export const PAPER_FLOW = {
  dataset: { kind: 'cifar10', horizontalFlip: true },
  objective: { kind: 'flow' },
  network: 'flow-cifar10',
  optimizer: { kind: 'adam', learningRate: 0.0002, lrWarmupSteps: 5000, adamWeightDecay: 0 },
  ema: { decay: 0.9999, minDecay: 0.9999 },
  globalBatchSize: 256,
  maxTrainSteps: 200_000,
  sampling: { everySteps: 0, numInferenceSteps: 50 },
  evaluation: { everySteps: 20_000, numImages: 50_000 },
  checkpoint: { everySteps: 20_000 },
} satisfies TrainSettings

/** Consistency training on CIFAR-10: openai/consistency_models_cifar10, the launch line of CT. LPIPS needs a file of weights (`--lpips`). */
export const PAPER_CONSISTENCY = {
  dataset: { kind: 'cifar10', horizontalFlip: true },
  objective: { kind: 'consistency', preset: 'original', loss: 'lpips', discretizationSteps: 800_000 },
  network: 'consistency-32',
  optimizer: { kind: 'radam', learningRate: 0.0004, lrScheduler: 'constant', adamWeightDecay: 0, maxGradNorm: 1e9 },
  ema: { decay: 0.9999, minDecay: 0.9999 },
  globalBatchSize: 512,
  maxTrainSteps: 100_000,
  sampling: { everySteps: 0, numInferenceSteps: 1 },
  evaluation: { everySteps: 10_000, numImages: 50_000 },
  checkpoint: { everySteps: 10_000 },
} satisfies TrainSettings

/** 64 x 64: openai/consistency_models' ImageNet-64 line, the nearest that there is; neither paper's own is known. */
const PAPER_CONSISTENCY_64 = {
  ...PAPER_CONSISTENCY,
  objective: { kind: 'consistency', preset: 'original', loss: 'lpips', s1: 200, startEma: 0.95, discretizationSteps: 800_000 },
  network: 'consistency-64',
  optimizer: { ...PAPER_CONSISTENCY.optimizer, learningRate: 0.0001 },
} satisfies TrainSettings

export const PAPER_CONSISTENCY_CELEBA = {
  ...PAPER_CONSISTENCY_64,
  dataset: { kind: 'celeba', resolution: 64, horizontalFlip: true },
  globalBatchSize: 1024,
} satisfies TrainSettings

export const PAPER_CONSISTENCY_TINY_IMAGENET = {
  ...PAPER_CONSISTENCY_64,
  dataset: { kind: 'parquet', repo: 'zh-plus/tiny-imagenet', resolution: 64, horizontalFlip: true },
  globalBatchSize: 2048,
} satisfies TrainSettings

/** Class-conditional latents, from scratch: the papers' settings for Stable Diffusion with another network, so that no FID of theirs is a target for it. */
export const PAPER_LATENTS = {
  dataset: { kind: 'arrays', path: 'imagenet-latents.safetensors', horizontalFlip: true },
  objective: { kind: 'ddim', betaSchedule: 'scaled_linear', betaStart: 0.00085, betaEnd: 0.012 },
  network: 'ddpm-cifar10',
  conditioning: { classLabels: true, labelDropout: 0 },
  optimizer: { kind: 'adamw', learningRate: 0.0001, lrScheduler: 'constant', adamWeightDecay: 0.01 },
  ema: { decay: 0.9999 },
  globalBatchSize: 2048,
  maxTrainSteps: 20_000,
  sampling: { everySteps: 0, numInferenceSteps: 20 },
  checkpoint: { everySteps: 2500 },
} satisfies TrainSettings

/** Half the samples of the digits: as many as the reference, so that their count biases both sides of a comparison alike. */
const NUM_JUDGED = 898

const SMALL = {
  dataset: { kind: 'digits' },
  network: { preset: 'tiny', blockOutChannels: [16, 32] },
  optimizer: { learningRate: 0.002 },
  ema: { decay: 0.995 },
  globalBatchSize: 128,
  maxTrainSteps: 1000,
  evaluation: { everySteps: 125, numImages: NUM_JUDGED },
  checkpoint: { everySteps: 250, totalLimit: 1 },
  tracking: { reportTo: [] },
} satisfies TrainSettings

export const SMALL_DDIM = {
  ...SMALL,
  // On 8x8 images the linear schedule spends most of its steps on noise that hides everything.
  objective: { kind: 'ddim', betaSchedule: 'squaredcos_cap_v2' },
  sampling: { everySteps: 0, numInferenceSteps: 20 },
} satisfies TrainSettings

/** The velocity of Salimans & Ho 2022 in place of the noise: at the noisiest timesteps an error in predicted noise is a many times larger one in the image. */
export const SMALL_DDIM_V = {
  ...SMALL_DDIM,
  objective: { ...SMALL_DDIM.objective, predictionType: 'v_prediction' },
} satisfies TrainSettings

export const SMALL_FLOW = {
  ...SMALL,
  objective: { kind: 'flow' },
  sampling: { everySteps: 0, numInferenceSteps: 20 },
} satisfies TrainSettings

export const SMALL_CONSISTENCY = {
  ...SMALL,
  // Of four settings that were tried (seed 0), the one with which independent noise ends nearest to real images: few noise levels suit so few steps.
  objective: { kind: 'consistency', s0: 4, s1: 16 },
  optimizer: { learningRate: 0.004, lrScheduler: 'cosine' },
  sampling: { everySteps: 0, numInferenceSteps: 1 },
} satisfies TrainSettings

/** In colour, and as small; half the images are judged, as of the digits. */
export const SMALL_CONSISTENCY_EMOJI = {
  ...SMALL_CONSISTENCY,
  dataset: { kind: 'emoji', resolution: 8 },
  evaluation: { ...SMALL.evaluation, numImages: 706 },
} satisfies TrainSettings

export const DDIM = { paper: PAPER_DDIM, small: SMALL_DDIM } satisfies Record<Scale, TrainSettings>
export const FLOW = { paper: PAPER_FLOW, small: SMALL_FLOW } satisfies Record<Scale, TrainSettings>
