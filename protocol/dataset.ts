/** The data sets: one section for each kind. Files are decoded once, into the cache; what is random happens in batch(step). */
import { z } from 'zod'

const horizontalFlip = z.boolean().default(false).describe('mirror each sample with probability 1/2')

const imageScale = z
  .number()
  .positive()
  .default(1)
  .describe('multiplies the images, not the noise (Improved Immiscible Diffusion): the log-SNR of every timestep rises by 2 ln imageScale')

const randomCropPadding = z
  .int32()
  .min(0)
  .max(4096)
  .default(0)
  .describe('pads each side by so many pixels, then cuts each sample out at a place of its own; 0: none')

const paddingMode = z
  .enum(['constant', 'edge', 'reflect'])
  .default('constant')
  .describe("what the padding is, by torchvision's names; constant is black")

const randomResizedCrop = z
  .number()
  .gt(0)
  .max(1)
  .default(1)
  .describe('the least share of the area: each sample is a random square of at least that, resized back by resizeFilter; 1: none')

const resizeFilter = z
  .enum(['box', 'bilinear', 'bicubic', 'lanczos'])
  .default('bilinear')
  .describe("by Pillow's names, and bit for bit what Pillow computes")

/** What happens to each sample, keyed by its number; all kinds of pixels have it. */
const augmentation = { horizontalFlip, imageScale, randomCropPadding, paddingMode, randomResizedCrop, resizeFilter }

const path = z.string().min(1).describe('file or folder')
const fetched = path.nullable().default(null)

const resolution = z
  .int32()
  .min(1)
  .max(16_384)
  .nullable()
  .default(null)
  .describe('the shorter side is resized to it by resizeFilter, then the centre is cut out; null: all images have one size and keep it')

const color = z.enum(['rgb', 'gray']).default('rgb').describe("three channels, or one by Pillow's weights (ITU-R 601-2)")

export const digitsDataset = z
  .strictObject({ kind: z.literal('digits'), ...augmentation })
  .meta({ id: 'DigitsDataset' })
  .describe('1,797 grey 8x8 images of 10 classes, embedded')

export const emojiDataset = z
  .strictObject({
    kind: z.literal('emoji'),
    resolution: z.int32().min(1).max(32).default(32).describe('height and width; below 32 by area averaging'),
    ...augmentation,
  })
  .meta({ id: 'EmojiDataset' })
  .describe('1,412 colour images of 7 classes on white, 32x32, embedded')

export const cifar10Dataset = z
  .strictObject({
    kind: z.literal('cifar10'),
    path: fetched.describe('tar.gz or folder, binary or Python version; null: what `immiscible data fetch cifar10` downloaded'),
    split: z.enum(['train', 'test', 'all']).default('train'),
    ...augmentation,
  })
  .meta({ id: 'Cifar10Dataset' })
  .describe('50,000 (train) and 10,000 (test) colour images of 10 classes, 32x32')

export const cifar100Dataset = z
  .strictObject({
    kind: z.literal('cifar100'),
    path: fetched.describe('tar.gz or folder, binary or Python version; null: what `immiscible data fetch cifar100` downloaded'),
    split: z.enum(['train', 'test', 'all']).default('train'),
    labels: z.enum(['fine', 'coarse']).default('fine').describe('100 classes, or the 20 above them'),
    ...augmentation,
  })
  .meta({ id: 'Cifar100Dataset' })
  .describe('as cifar10, of 100 classes')

export const celebaDataset = z
  .strictObject({
    kind: z.literal('celeba'),
    path: fetched.describe(
      'folder with img_align_celeba (folder or zip), list_eval_partition.txt and list_attr_celeba.txt; null: what `immiscible data fetch celeba` downloaded',
    ),
    split: z.enum(['train', 'valid', 'test', 'all']).default('train'),
    centerCrop: z
      .int32()
      .min(1)
      .max(178)
      .default(178)
      .describe('side of the square cut out of the middle of 178x218: 178, or 140 for the face alone'),
    resolution: z.int32().min(1).max(178).default(64).describe('the square is resized to it by resizeFilter'),
    attribute: z
      .string()
      .min(1)
      .nullable()
      .default(null)
      .describe('of list_attr_celeba.txt, as Smiling: class 1 where it holds, else 0; null: no labels'),
    ...augmentation,
  })
  .meta({ id: 'CelebaDataset' })
  .describe('202,599 aligned faces, 178x218')

export const imageFolderDataset = z
  .strictObject({
    kind: z.literal('image-folder'),
    path: path.describe('folder, zip, tar or tar.gz of PNG, JPEG and WebP files; each sub-folder is a class, in the order of their names'),
    resolution,
    color,
    ...augmentation,
  })
  .meta({ id: 'ImageFolderDataset' })
  .describe('images of your own')

export const parquetDataset = z
  .strictObject({
    kind: z.literal('parquet'),
    path: path.nullable().default(null).describe('parquet file, or folder of them; null with repo'),
    repo: z
      .string()
      .regex(/^[\w.-]+(\/[\w.-]+)?$/, 'expected OWNER/NAME')
      .nullable()
      .default(null)
      .describe('data set on the Hub, from its cache (HF_HOME): `immiscible data fetch OWNER/NAME` downloads it'),
    revision: z
      .string()
      // No part of dots alone: it is a path in the Hub's cache.
      .regex(/^(?!\.{1,2}(\/|$))[\w.-]+(\/(?!\.{1,2}(\/|$))[\w.-]+)*$/, 'expected a branch, tag or commit')
      .default('main')
      .describe('of repo: branch, tag or commit'),
    split: z.string().min(1).default('train').describe('files whose name begins with it; a single file is taken whole'),
    imageColumn: z.string().min(1).nullable().default(null).describe('null: the only one with images'),
    labelColumn: z.string().min(1).nullable().default(null).describe('of integers; null: label or labels, or none'),
    resolution,
    color,
    ...augmentation,
  })
  .meta({ id: 'ParquetDataset' })
  .describe('parquet files with encoded images, as on the Hugging Face Hub')

export const arraysDataset = z
  .strictObject({
    kind: z.literal('arrays'),
    path: path.describe('npy, npz or safetensors file'),
    images: z.string().min(1).nullable().default(null).describe("name of the array; null: images, x, x_train or arr_0, or latents' mean"),
    labels: z
      .string()
      .min(1)
      .nullable()
      .default(null)
      .describe('name of the array, or an npy file of its own; null: labels, y, y_train or arr_1, or none'),
    layout: z.enum(['auto', 'nchw', 'nhwc']).default('auto').describe('auto: by which axis has 1 or 3 entries, for uint8'),
    scalingFactor: z
      .number()
      .positive()
      .nullable()
      .default(null)
      .describe("multiplies float latents; null: the file's own (safetensors metadata)"),
    posterior: z
      .enum(['sample', 'mean'])
      .default('sample')
      .describe('of latents with a std beside their mean: a new draw for each sample, keyed by its number, or the mean alone'),
    vae: z
      .string()
      .min(1)
      .nullable()
      .default(null)
      .describe(
        'of latents: a local folder with a diffusers AutoencoderKL (safetensors), by which sample grids and the pipeline decode them; null: grids show the first channels',
      ),
    ...augmentation,
  })
  .meta({ id: 'ArraysDataset' })
  .describe('images in an array: uint8 [N, H, W], [N, H, W, C] or [N, C, H, W]; or float latents [N, C, H, W]')

export const idxDataset = z
  .strictObject({
    kind: z.literal('idx'),
    path: fetched.describe('folder with the four files, plain or .gz; null: what `immiscible data fetch` downloaded of `name`'),
    name: z.enum(['mnist', 'fashion-mnist']).default('mnist').describe('of the family'),
    split: z.enum(['train', 'test', 'all']).default('train'),
    ...augmentation,
  })
  .meta({ id: 'IdxDataset' })
  .describe('the MNIST family: 60,000 (train) and 10,000 (test) grey 28x28 images of 10 classes')

export const customDataset = z
  .strictObject({
    kind: z.literal('custom'),
    name: z.string().min(1),
    sha256: z
      .string()
      .regex(/^[0-9a-f]{64}$/)
      .nullable()
      .default(null)
      .describe('of shape, images and labels; filled in'),
    ...augmentation,
  })
  .meta({ id: 'CustomDataset' })
  .describe('an object or async iterator, from TypeScript')

export const datasetConfig = z
  .discriminatedUnion('kind', [
    digitsDataset,
    emojiDataset,
    cifar10Dataset,
    cifar100Dataset,
    celebaDataset,
    imageFolderDataset,
    parquetDataset,
    arraysDataset,
    idxDataset,
    customDataset,
  ])
  .meta({ id: 'DatasetConfig' })

export type DatasetConfig = z.infer<typeof datasetConfig>

export interface DatasetKind {
  readonly kind: DatasetConfig['kind']
  readonly description: string
  /** What it is made from: what comes with the package, a download of `immiscible data fetch` (or a path), a path, or an object in TypeScript. */
  readonly from: 'embedded' | 'fetched' | 'path' | 'object'
}

/** What can be trained on, in the order of the schema. */
export const DATASET_KINDS: readonly DatasetKind[] = datasetConfig.options.map(({ shape, description = '' }) => ({
  kind: shape.kind.value,
  description,
  from:
    shape.kind.value === 'custom' ? 'object' : !('path' in shape) ? 'embedded' : shape.path.safeParse(null).success ? 'fetched' : 'path',
}))
