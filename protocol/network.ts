/** The network that is trained: a diffusers UNet2DModel by preset or by field, one that was trained before, or the user's own. */
import { z } from 'zod'
import { absolutePath, pythonModule } from './file.ts'
import { jsonOptions } from './json.ts'

const positiveInt = z.int32().min(1)
const downBlock = z.enum(['DownBlock2D', 'AttnDownBlock2D', 'ResnetDownsampleBlock2D'])
const upBlock = z.enum(['UpBlock2D', 'AttnUpBlock2D', 'ResnetUpsampleBlock2D'])

export const unetNetwork = z
  .strictObject({
    kind: z.literal('unet'),
    preset: z
      .enum(['tiny', 'ddpm-cifar10', 'flow-cifar10', 'consistency-32', 'consistency-64'])
      .describe('the values of the fields that are not given'),
    blockOutChannels: z.array(positiveInt).min(1).describe('channels of each level, finest first'),
    layersPerBlock: positiveInt.describe('residual layers of each level'),
    downBlockTypes: z.array(downBlock).min(1).describe('one for each level, finest first'),
    upBlockTypes: z.array(upBlock).min(1).describe('one for each level, coarsest first'),
    attentionHeadDim: positiveInt.nullable().describe('channels of an attention head; null: one head'),
    normNumGroups: positiveInt.describe('groups of each group norm'),
    attnNormNumGroups: positiveInt
      .nullable()
      .describe("of the middle block's attention; null: normNumGroups, and no norm there with resnetTimeScaleShift 'scale_shift'"),
    normEps: z.number().positive().describe('added to the variance in each norm'),
    downsampleType: z.enum(['conv', 'resnet']).describe('how a level is halved'),
    upsampleType: z.enum(['conv', 'resnet']).describe('how a level is doubled'),
    downsamplePadding: z.int32().min(0).describe('of conv; 0 pads right and bottom alone'),
    flipSinToCos: z.boolean().describe('cosines first in the embedding of the time'),
    freqShift: z.int32().min(0).describe('of the frequencies in the embedding of the time'),
    resnetTimeScaleShift: z.enum(['default', 'scale_shift']).describe('how the time enters a residual layer: added, or as scale and shift'),
    dropout: z.number().min(0).lt(1).describe('share of activations dropped in each residual layer'),
  })
  .meta({ id: 'UnetNetwork' })
  .describe('a diffusers UNet2DModel, in its own words')

export const pretrainedNetwork = z
  .strictObject({
    kind: z.literal('pretrained'),
    initFrom: z.string().min(1).describe('a pipeline folder: its unet/ gives the architecture and the first weights'),
    sha256: z.string().nullable().default(null).describe('of config and weights there, taken when the run is made'),
  })
  .meta({ id: 'PretrainedNetwork' })
  .describe('a UNet2DModel that was trained before')

export const moduleNetwork = z
  .strictObject({
    kind: z.literal('module'),
    module: z
      .string()
      .min(1)
      .describe('a Python file, or the dotted name of a module that the worker can import; its build() makes the network'),
    sha256: z.string().nullable().default(null).describe('of the file, taken when the run is made; null for a dotted name'),
    options: jsonOptions.describe('handed to build()'),
  })
  .meta({ id: 'ModuleNetwork' })
  .describe("a network of the user's own")

export const networkConfig = z.discriminatedUnion('kind', [unetNetwork, pretrainedNetwork, moduleNetwork]).meta({ id: 'NetworkConfig' })

export type NetworkConfig = z.infer<typeof networkConfig>
type Unet = z.infer<typeof unetNetwork>

/** Where neither a preset nor another kind is named. */
export const DEFAULT_NETWORK = 'tiny'

/** diffusers' own defaults for what the presets do not say. */
const UNET_DEFAULTS = {
  attnNormNumGroups: null,
  normEps: 1e-5,
  downsampleType: 'conv',
  upsampleType: 'conv',
  downsamplePadding: 1,
  flipSinToCos: true,
  freqShift: 0,
  resnetTimeScaleShift: 'default',
} as const

/** The values behind each preset. */
export const NETWORK_PRESETS: Record<Unet['preset'], Omit<Unet, 'kind' | 'preset'>> = {
  tiny: {
    ...UNET_DEFAULTS,
    blockOutChannels: [32, 64],
    layersPerBlock: 1,
    downBlockTypes: ['DownBlock2D', 'AttnDownBlock2D'],
    upBlockTypes: ['AttnUpBlock2D', 'UpBlock2D'],
    attentionHeadDim: 8,
    normNumGroups: 8,
    dropout: 0,
  },
  // The CIFAR-10 network of Ho et al. 2020, as google/ddpm-cifar10-32 has it: 35.7 million parameters.
  'ddpm-cifar10': {
    ...UNET_DEFAULTS,
    blockOutChannels: [128, 256, 256, 256],
    layersPerBlock: 2,
    downBlockTypes: ['DownBlock2D', 'AttnDownBlock2D', 'DownBlock2D', 'DownBlock2D'],
    upBlockTypes: ['UpBlock2D', 'UpBlock2D', 'AttnUpBlock2D', 'UpBlock2D'],
    attentionHeadDim: null,
    normNumGroups: 32,
    normEps: 1e-6,
    downsamplePadding: 0,
    flipSinToCos: false,
    freqShift: 1,
    dropout: 0.1,
  },
  // torchcfm's CIFAR-10 example: the same plan and number of parameters, heads of 64 channels.
  'flow-cifar10': {
    ...UNET_DEFAULTS,
    blockOutChannels: [128, 256, 256, 256],
    layersPerBlock: 2,
    downBlockTypes: ['DownBlock2D', 'AttnDownBlock2D', 'DownBlock2D', 'DownBlock2D'],
    upBlockTypes: ['UpBlock2D', 'UpBlock2D', 'AttnUpBlock2D', 'UpBlock2D'],
    attentionHeadDim: 64,
    normNumGroups: 32,
    dropout: 0.1,
  },
  // The plan of NCSN++ as Song et al. 2023 train it on CIFAR-10 (256 channels on three levels, four layers, attention of one head at 16), from diffusers' blocks.
  'consistency-32': {
    ...UNET_DEFAULTS,
    blockOutChannels: [256, 256, 256],
    layersPerBlock: 4,
    downBlockTypes: ['ResnetDownsampleBlock2D', 'AttnDownBlock2D', 'ResnetDownsampleBlock2D'],
    upBlockTypes: ['ResnetUpsampleBlock2D', 'AttnUpBlock2D', 'ResnetUpsampleBlock2D'],
    attentionHeadDim: null,
    normNumGroups: 32,
    attnNormNumGroups: 32,
    downsampleType: 'resnet',
    upsampleType: 'resnet',
    resnetTimeScaleShift: 'scale_shift',
    dropout: 0,
  },
  // As openai/diffusers-cd_imagenet64_l2, without its classes.
  'consistency-64': {
    ...UNET_DEFAULTS,
    blockOutChannels: [192, 384, 576, 768],
    layersPerBlock: 3,
    downBlockTypes: ['ResnetDownsampleBlock2D', 'AttnDownBlock2D', 'AttnDownBlock2D', 'AttnDownBlock2D'],
    upBlockTypes: ['AttnUpBlock2D', 'AttnUpBlock2D', 'AttnUpBlock2D', 'ResnetUpsampleBlock2D'],
    attentionHeadDim: 64,
    normNumGroups: 32,
    attnNormNumGroups: 32,
    downsampleType: 'resnet',
    upsampleType: 'resnet',
    resnetTimeScaleShift: 'scale_shift',
    dropout: 0,
  },
}

/** What a user writes: a preset with changes or by its name alone, `{ initFrom }`, `{ module }`. */
export type NetworkInput =
  | Partial<z.input<typeof unetNetwork>>
  | Omit<z.input<typeof pretrainedNetwork>, 'kind'>
  | z.input<typeof pretrainedNetwork>
  | Omit<z.input<typeof moduleNetwork>, 'kind'>
  | z.input<typeof moduleNetwork>
  | Unet['preset']

/** What was written as a section; what makes no sense stays as it is, for the schema to report. */
export function expandNetwork(written: unknown): unknown {
  const section = typeof written === 'string' ? { preset: written } : written
  if (typeof section !== 'object' || section === null || Array.isArray(section)) return section
  const given = section as Record<string, unknown>
  const kind = given['kind'] ?? ('initFrom' in given ? 'pretrained' : 'module' in given ? 'module' : 'unet')
  if (kind === 'pretrained' && 'initFrom' in given) return { ...given, kind, initFrom: absolutePath(given['initFrom']) }
  if (kind === 'module' && 'module' in given) return { ...given, kind, module: pythonModule(given['module']) }
  if (kind !== 'unet') return { ...given, kind }
  const preset = given['preset'] ?? DEFAULT_NETWORK
  const values = Object.hasOwn(NETWORK_PRESETS, preset as PropertyKey)
    ? NETWORK_PRESETS[preset as Unet['preset']]
    : NETWORK_PRESETS[DEFAULT_NETWORK]
  return { ...values, ...given, kind, preset }
}
